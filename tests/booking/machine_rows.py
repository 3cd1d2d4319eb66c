"""The rows that a machine keeps: what it asks of them, and what a fact makes of them."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from services.booking.groups import domain as groups
from services.booking.groups.store import names_due_after
from services.booking.names import domain as names
from services.booking.names.domain import Place
from services.booking.offers.domain import is_offered
from services.booking.pending.domain import is_open
from services.booking.places.domain import changed, opened
from services.booking.queue import domain as queue
from services.booking.queue.domain import Waiting
from services.booking.seats.domain import Change, Fact, Opening, Session
from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import (
    ACTIVE_STATES,
    Booking,
    BookingConfirmed,
    BookingState,
    PendingKind,
    SeatOfferMade,
    WaitlistPromoted,
)
from shared.contracts.groups import ACTIVE_GROUP_STATES, GroupBooking, GroupBookingBypassed, GroupEvent
from shared.contracts.names import BookingJoinedGroup
from tests.booking.given import is_holiday, nothing_else


class Rows:
    """A session's places and groups."""

    session: Session
    rows: dict[UUID, Booking]
    groups: dict[UUID, GroupBooking]
    of_group: dict[UUID, UUID]
    """The group whose seat a booking is, or was."""
    given: dict[UUID, int]
    """The decision that gave or offered each seat."""
    facts: list[Fact | GroupEvent]
    bypassed: set[UUID]

    def _active(self) -> list[Booking]:
        return [row for row in self.rows.values() if row.state in ACTIVE_STATES]

    def _held(self) -> list[Booking]:
        return [row for row in self._active() if row.state is BookingState.CONFIRMED or is_offered(row)]

    def _pending(self, kind: PendingKind | None = None) -> list[Booking]:
        return [row for row in self._active() if is_open(row, kind)]

    def _queue(self) -> list[Booking]:
        return sorted((row for row in self._active() if row.state is BookingState.WAITING and not is_offered(row)), key=turn)

    def _offered(self) -> list[Booking]:
        return [row for row in self._active() if is_offered(row)]

    def _active_groups(self) -> list[GroupBooking]:
        known = [group for each in self.groups if (group := self._group(each))]
        return [group for group in known if group.state in ACTIVE_GROUP_STATES]

    def _members(self, group_id: UUID) -> list[Booking]:
        return [row for row in self._active() if self.of_group.get(row.booking_id) == group_id]

    def _group(self, group_id: UUID | None) -> GroupBooking | None:
        """As a store reads it: names are counted."""
        known = self.groups.get(group_id) if group_id else None
        return known and known.model_copy(update={"seats_named": len(self._members(known.group_id))})

    def _place_of(self, agent_id: UUID) -> Place | None:
        return next((Place(row, self.of_group.get(row.booking_id)) for row in self._active() if row.agent_id == agent_id), None)

    def _came(self, place: Booking) -> int:
        """A seat that got its name from a group came when the group did, unless its agent was there before."""
        group = self.groups.get(self.of_group.get(place.booking_id, place.booking_id))
        return min(place.session_sequence, group.session_sequence) if group else place.session_sequence

    def _awaiting(self) -> list[GroupBooking]:
        return [group for group in self._active_groups() if group.seats_awaited]

    def _line(self) -> list[Waiting]:
        return [*queue.in_turn(self._queue(), self._awaiting())]

    def _free_for_newcomers(self) -> int:
        """B2: what is free, and with a queue only what its groups passed on."""
        free = max(0, self.session.capacity - self.session.held)
        return min(free, self.session.passed) if self._line() else free

    # --- what a fact makes of them ---------------------------------------------------------------------------------------------------

    def _keep_group(self, fact: GroupEvent) -> None:
        known = self.groups.get(fact.group_id)
        assert fact.version == (known.version if known else 0) + 1
        self.facts.append(fact)
        if isinstance(fact, GroupBookingBypassed):
            self.bypassed.add(fact.group_id)
        if known is None:
            known = groups.opened(cast("groups.Opening", fact))
        dated = names.dated(self.session, fact, is_holiday)
        due = names_due_after(known, dated)
        self.groups[fact.group_id] = queue.changed(known, fact).model_copy(update={"names_due_at": due})

    def _keep_joining(self, fact: Change | names.Joined | GroupEvent, group_id: UUID) -> None:
        if isinstance(fact, GroupEvent):
            self._keep_group(fact)
            return
        self._keep(fact)
        if isinstance(fact, BookingConfirmed | BookingJoinedGroup):
            self.of_group[fact.booking_id] = group_id

    def _keep(self, fact: Fact) -> None:
        known = self.rows.get(fact.booking_id)
        assert fact.version == (known.version if known else 0) + 1
        self.facts.append(fact)
        if isinstance(fact, BookingApprovalRequested | BookingConfirmed | SeatOfferMade | WaitlistPromoted):
            self.given.setdefault(fact.booking_id, fact.session_sequence)
        self.rows[fact.booking_id] = (
            changed(known, cast("Change", fact)) if known else opened(cast("Opening", fact), self.session, nothing_else())
        )


def turn(place: Booking) -> tuple[bool, int]:
    return not place.priority, place.session_sequence

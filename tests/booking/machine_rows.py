"""What a machine asks of the rows that it keeps."""

from __future__ import annotations

from uuid import UUID

from services.booking.names.domain import Place
from services.booking.pending.domain import is_open
from services.booking.queue import domain as queue
from services.booking.queue.domain import Waiting
from services.booking.seats.domain import Session, is_offered
from shared.contracts.booking import ACTIVE_STATES, Booking, BookingState, PendingKind
from shared.contracts.groups import ACTIVE_GROUP_STATES, GroupBooking


class Rows:
    """A session's places and groups."""

    session: Session
    rows: dict[UUID, Booking]
    groups: dict[UUID, GroupBooking]
    of_group: dict[UUID, UUID]
    """The group whose seat a booking is, or was."""

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


def turn(place: Booking) -> tuple[bool, int]:
    return not place.priority, place.session_sequence

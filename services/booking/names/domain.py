"""Who sits on the seats of a group: names and their date, one place per agent, seats that pass to a colleague (G2, G3). Pure.

A seat with a name is the booking of an agent like any other, with the group's id beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from services.booking.agenda.domain import Agenda, FairUseLimit, Overlap
from services.booking.deadlines.domain import IsHoliday, in_french, offer_deadline, working_days_before
from services.booking.queue.domain import leave, next_of, seats_in_words, state_of
from services.booking.seats.domain import Session
from services.booking.seats.refusals import BookingNotActive
from shared.contracts.booking import Booking, BookingCancelled, BookingConfirmed, BookingState, WaitlistLeft
from shared.contracts.groups import GroupBooking, GroupBookingConfirmed, GroupBookingResized, GroupEvent, GroupState
from shared.contracts.names import BookingJoinedGroup, GroupNamesDue, GroupSeatsNamed, GroupSeatsReleased
from shared.errors import Refused

NAMES_DAYS = 5
REMINDER_DAYS = 2
TRANSFER_NOTICE = timedelta(hours=2)

Joined = BookingConfirmed | BookingJoinedGroup


class TooManyNames(Refused):
    """Travels with `seats_unnamed`."""

    code = "too_many_names"
    title = "Il y a plus de noms que de places sans nom dans le groupe."


class NamedElsewhere(Refused):
    """Travels with `agent_id`."""

    code = "named_elsewhere"
    title = "Cette personne a déjà une place d'un groupe dans cette séance."


class NamedIsBusy(Refused):
    """Travels with `agent_id`, and says nothing of what they have elsewhere (B5, B10)."""

    code = "named_is_busy"
    title = "Cette personne a une autre séance à ces heures, ou déjà autant de formations et de visites que chacun peut réserver."


class SeatOfNoGroup(Refused):
    code = "seat_of_no_group"
    title = "Cette place n'est pas celle d'un groupe : annulez-la, elle ira à la personne suivante."


class TransferTooLate(Refused):
    """Travels with `until`."""

    code = "transfer_too_late"
    title = "Il est trop tard pour céder cette place."


class OtherOrgUnit(Refused):
    code = "other_org_unit"
    title = "Une place ne se cède qu'à une personne de la même administration."


class OrgUnitUnknown(Refused):
    """The directory has not told of the agent yet."""

    code, status, retryable, retry_after = "org_unit_unknown", 409, True, 1
    title = "L'administration de cette personne n'est pas encore connue : réessayez dans quelques instants."


@dataclass(frozen=True, slots=True)
class Place:
    """An agent's active place in the session, and the group whose seat it is, if any."""

    booking: Booking
    group_id: UUID | None


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Who is to sit on a seat: what they have in this session, what they have at all, and the id of the booking to be made."""

    agent_id: UUID
    booking_id: UUID
    place: Place | None
    agenda: Agenda


# --- dates ----------------------------------------------------------------------------------------------------------------------------


def names_due(session: Session, given_at: datetime, is_holiday: IsHoliday) -> datetime:
    """Five working days before. Who gets seats later than that, or just before, has as long as for an offer (W2)."""
    until = session.milestones.offers_until
    answered = offer_deadline(given_at, session.starts_at, until if given_at < until else session.starts_at, is_holiday)
    return max(working_days_before(session.starts_at, NAMES_DAYS, is_holiday), answered)


def reminder_at(due: datetime, is_holiday: IsHoliday) -> datetime:
    return working_days_before(due, REMINDER_DAYS, is_holiday)


def dated(session: Session, fact: GroupEvent, is_holiday: IsHoliday) -> GroupEvent:
    """A fact that gives a group seats also says until when they are kept without a name."""
    if not isinstance(fact, GroupBookingConfirmed | GroupBookingResized) or not fact.seats_added:
        return fact
    return fact.model_copy(update={"names_due_at": names_due(session, fact.decided_at, is_holiday)})


def date_again(session: Session, group: GroupBooking, now: datetime, is_holiday: IsHoliday) -> GroupNamesDue | None:
    """The session moved, and the date with it."""
    due = names_due(session, now, is_holiday)
    if not group.seats_unnamed or due == group.names_due_at:
        return None
    return GroupNamesDue(**next_of(session, group, now), names_due_at=due)


def remind(session: Session, group: GroupBooking, now: datetime) -> GroupNamesDue | None:
    if not group.seats_unnamed or group.names_due_at is None or group.names_due_at <= now:
        return None
    return GroupNamesDue(**next_of(session, group, now), names_due_at=group.names_due_at)


def release(session: Session, group: GroupBooking, now: datetime) -> GroupSeatsReleased | None:
    """What has no name goes back. A group that leaves seats unnamed waits for no more: it would be given the same ones again."""
    if not group.seats_unnamed or group.names_due_at is None or group.names_due_at > now:
        return None
    session.held -= group.seats_unnamed + group.seats_held
    if group.seats_awaited:
        leave(session)
    said = next_of(session, group, now, seats_unnamed=0, seats_awaited=0, seats_held=0)
    said["state"] = state_of(group.seats_named, 0) if group.seats_named else GroupState.RELEASED
    reason = f"{seats_in_words(group.seats_unnamed)} sans nom : aux suivants le {in_french(now)}"
    return GroupSeatsReleased(**said, seats_released=group.seats_unnamed, reason=reason)


# --- names ----------------------------------------------------------------------------------------------------------------------------


def name(
    session: Session, group: GroupBooking, wanted: Sequence[Newcomer], now: datetime
) -> Iterator[WaitlistLeft | Joined | GroupSeatsNamed]:
    """Agents on seats that have no name. Nothing if all are there."""
    session.must_be_ahead(now)
    newcomers = [each for each in wanted if each.place is None or each.place.group_id != group.group_id]
    if (many := len(newcomers)) > group.seats_unnamed:
        raise TooManyNames(f"{many} names", seats_unnamed=group.seats_unnamed)
    for newcomer in newcomers:
        left, joined = _seat(session, group, newcomer, now)
        session.held -= isinstance(joined, BookingJoinedGroup)  # of the two seats, the one without a name (G3)
        yield from (*left, joined)
    if many:
        said = next_of(session, group, now, seats_unnamed=group.seats_unnamed - many, seats_named=group.seats_named + many)
        yield GroupSeatsNamed(**said, seats_named=many)


def transfer(
    session: Session, leaving: Booking, group: GroupBooking, newcomer: Newcomer, now: datetime
) -> tuple[Sequence[WaitlistLeft], Joined, BookingCancelled]:
    """The seat passes on as it is, held all the while. A newcomer who had one of their own keeps that one, and this one is free (G3)."""
    session.must_be_ahead(now)
    if leaving.state is not BookingState.CONFIRMED:
        raise BookingNotActive(f"booking {leaving.booking_id} is {leaving.state}", state=leaving.state.value)
    if now >= (until := session.starts_at - TRANSFER_NOTICE):
        raise TransferTooLate(f"booking {leaving.booking_id} until {until.isoformat()}", until=until.isoformat())
    left, joined = _seat(session, group, newcomer, now)
    said = session.release(leaving, now) if isinstance(joined, BookingJoinedGroup) else session.next_of(leaving, now)
    reason = f"votre place a été confiée à une autre personne de votre administration, le {in_french(now)}"
    return left, joined, BookingCancelled(**said, state=BookingState.CANCELLED_BY_AGENT, reason=reason)


def dismiss(session: Session, members: Sequence[Booking], now: datetime) -> Iterator[BookingCancelled]:
    """The group is cancelled: it was not the members who were late (N1)."""
    reason = f"l'inscription de votre groupe a été annulée par son contact, le {in_french(now)}"
    for member in members:
        places = session.places(remote=member.remote)
        yield BookingCancelled(**places.release(member, now), state=BookingState.CANCELLED_BY_AGENT, reason=reason)


def must_be_of_one_unit(units: Mapping[UUID, str], one: UUID, other: UUID) -> None:
    for agent_id in (one, other):
        if agent_id not in units:
            raise OrgUnitUnknown(f"agent {agent_id}")
    if units[one] != units[other]:
        raise OtherOrgUnit(f"agents {one} and {other}")


def _seat(session: Session, group: GroupBooking, newcomer: Newcomer, now: datetime) -> tuple[Sequence[WaitlistLeft], Joined]:
    """On a seat that is held already: who has one keeps theirs, who waited leaves the queue (B3)."""
    agent_id, theirs = newcomer.agent_id, newcomer.place
    if theirs and theirs.group_id:
        raise NamedElsewhere(f"agent {agent_id} has {theirs.booking.booking_id}", agent_id=str(agent_id))
    if theirs and theirs.booking.state is BookingState.CONFIRMED:
        kept = session.next_of(theirs.booking, now)
        return (), BookingJoinedGroup(**kept, state=BookingState.CONFIRMED, group_id=group.group_id)
    try:
        newcomer.agenda.must_have_room_for(session.occasion)
        newcomer.agenda.must_be_free_for(session.occasion)
    except (FairUseLimit, Overlap) as busy:
        raise NamedIsBusy(f"agent {agent_id}", agent_id=str(agent_id)) from busy
    left = (
        [session.places(remote=theirs.booking.remote).leave(theirs.booking, "une place de groupe est à votre nom", now)] if theirs else []
    )
    about: dict[str, Any] = {"version": 1, "booking_id": newcomer.booking_id, "session_id": session.session_id, "agent_id": agent_id}
    about |= {"session_sequence": session.next_sequence(), "decided_at": now, "remote": session.remote}
    return left, BookingConfirmed(**about, state=BookingState.CONFIRMED, group_id=group.group_id)

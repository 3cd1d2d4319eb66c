"""The rules of one group: what its contact may ask, and the share of a session that groups may have (G1, G4). Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from services.booking.queue.domain import bypass, changed, give, leave, next_of, state_of
from services.booking.seats.domain import Session
from shared.contracts.groups import (
    ACTIVE_GROUP_STATES,
    GroupBooking,
    GroupBookingCancelled,
    GroupBookingConfirmed,
    GroupBookingRequested,
    GroupBookingResized,
    GroupChoice,
    GroupEvent,
    GroupState,
)
from shared.errors import Refused, VersionConflict

Opening = GroupBookingConfirmed | GroupBookingRequested


class GroupTooLarge(Refused):
    """Travels with `most`, the seats that groups may still have (G4)."""

    code = "group_too_large"
    title = "Les groupes ne peuvent pas prendre plus de la moitié des places d'une séance ouverte à tous."


class GroupExists(Refused):
    """Travels with `group_id`."""

    code = "group_exists"
    title = "Vous avez déjà inscrit un groupe à cette séance : changez son nombre de places."


class GroupUnknown(Refused):
    """Also the answer to whoever asks for another agent's group."""

    code, status = "group_unknown", 404
    title = "Ce groupe n'existe pas."


class GroupNotActive(Refused):
    """Travels with `state`."""

    code = "group_not_active"
    title = "L'inscription de ce groupe est déjà terminée."


class GroupCannotGrow(Refused):
    """Travels with `seats_free`."""

    code = "group_cannot_grow"
    title = "Il n'y a pas assez de places libres pour agrandir le groupe."


class GroupHasMoreNames(Refused):
    """Travels with `seats_named`."""

    code = "group_has_more_names"
    title = "Plus de personnes que cela sont déjà nommées : qui ne vient pas annule d'abord sa place."


def request(session: Session, group_id: UUID, contact: UUID, seats: int, choice: GroupChoice, now: datetime) -> Iterator[GroupEvent]:
    """Seats at once if there are enough, or as many as there are for who said so; otherwise a place in the queue (G1, B2).

    What the groups ahead passed on and is too little for this one stays free for whoever comes, and its contact is told (W6).
    """
    session.must_be_ahead(now)
    session.must_be_open(now)
    free = session.free_for_newcomers
    given = seats if seats <= free else free if choice is GroupChoice.PARTIAL else 0
    session.take(given)
    session.waiting += given < seats
    about: dict[str, Any] = {"version": 1, "group_id": group_id, "session_id": session.session_id, "contact_agent_id": contact}
    about |= {"choice": choice, "session_sequence": session.next_sequence(), "decided_at": now, "seats_needed": seats, "seats_held": 0}
    about |= {"seats_unnamed": given, "seats_awaited": seats - given, "state": state_of(given, seats - given)}
    rank = session.waiting
    fact = GroupBookingConfirmed(**about, seats_added=given) if given else GroupBookingRequested(**about, rank=rank)
    yield fact
    if fact.seats_awaited and session.passed:
        yield bypass(session, opened(fact), session.passed, now)


def opened(fact: Opening) -> GroupBooking:
    """The group that a first fact made."""
    said: dict[str, Any] = fact.model_dump(exclude={"reason", "decided_at", "seats_added", "rank"})
    return GroupBooking(**said, seats_named=0, requested_at=fact.decided_at)


def check_share(session: Session, seats: int, others: int, *, private: bool) -> None:
    """Groups have at most half of an open session; `others` is what they have or await already (G4)."""
    most = max(0, session.capacity // 2 - others)
    if not private and seats > most:
        raise GroupTooLarge(f"{seats} seats, groups may still have {most}", most=most)


def resize(session: Session, group: GroupBooking, seats: int, now: datetime) -> Iterator[GroupEvent]:
    """Smaller: what is awaited goes first, then what has no name. Larger: with what is free for newcomers, or not at all."""
    must_be_active(group)
    session.must_be_ahead(now)
    more = seats - size_of(group)
    resized = _grow(session, group, seats, more, now) if more > 0 else _shrink(session, group, seats, now)
    yield resized
    if resized.seats_awaited and resized.seats_awaited == resized.seats_held:
        yield give(session, changed(group, resized), 0, now, "")


def _grow(session: Session, group: GroupBooking, seats: int, more: int, now: datetime) -> GroupBookingResized:
    session.must_be_open(now)
    if more > session.free_for_newcomers:
        raise GroupCannotGrow(f"{more} more seats", seats_free=session.free_for_newcomers)
    session.take(more)
    grown = _resized(session, group, seats, now, seats_unnamed=group.seats_unnamed + more)
    return grown.model_copy(update={"seats_added": more})


def _shrink(session: Session, group: GroupBooking, seats: int, now: datetime) -> GroupBookingResized:
    """A smaller group may fit in what was passed on when it was larger."""
    if seats < group.seats_named:
        raise GroupHasMoreNames(f"{group.seats_named} names", seats_named=group.seats_named)
    unnamed = min(group.seats_unnamed, seats - group.seats_named)
    awaited = min(group.seats_awaited, seats - group.seats_named - unnamed)
    held = min(group.seats_held, awaited)
    session.held -= group.seats_unnamed - unnamed + group.seats_held - held
    if group.seats_awaited:
        session.passed = 0
        if not awaited:
            leave(session)
    return _resized(session, group, seats, now, seats_unnamed=unnamed, seats_awaited=awaited, seats_held=held)


def _resized(session: Session, group: GroupBooking, seats: int, now: datetime, **over: int) -> GroupBookingResized:
    said = next_of(session, group, now, seats_needed=seats, **over)
    return GroupBookingResized(**said, previous_seats_needed=group.seats_needed)


def end(
    session: Session, group: GroupBooking, state: GroupState, now: datetime, reason: str = "", priority_until: datetime | None = None
) -> GroupBookingCancelled:
    """Give back all that has no name, and leave the queue. Named seats are bookings, whose end is a fact of their own."""
    must_be_active(group)
    session.held -= group.seats_unnamed + group.seats_held
    if group.seats_awaited:
        leave(session)
    said = next_of(session, group, now, seats_unnamed=0, seats_awaited=0, seats_held=0)
    said["state"] = state
    return GroupBookingCancelled(**said, reason=reason, priority_until=priority_until)


def size_of(group: GroupBooking) -> int:
    return group.seats_unnamed + group.seats_named + group.seats_awaited


def must_be_at(group: GroupBooking, expected_version: int | None) -> None:
    if expected_version is not None and expected_version != group.version:
        raise VersionConflict(f"group {group.group_id} is at {group.version}", version=group.version)


def must_be_active(group: GroupBooking) -> None:
    if group.state not in ACTIVE_GROUP_STATES:
        raise GroupNotActive(f"group {group.group_id} is {group.state}", state=group.state.value)

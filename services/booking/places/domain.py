"""What the facts of its life make of a place. Pure."""

from __future__ import annotations

from services.booking.agenda.domain import Agenda
from services.booking.offers.domain import offer_after
from services.booking.pending.domain import pending_after
from services.booking.seats.domain import Change, Opening, Session
from shared.contracts.booking import Booking, WaitlistJoined
from shared.errors import VersionConflict


def opened(fact: Opening, session: Session, agenda: Agenda) -> Booking:
    """The place that a first fact made, with what the agent should know of the others (B5)."""
    queued = isinstance(fact, WaitlistJoined)
    return Booking(
        booking_id=fact.booking_id,
        session_id=fact.session_id,
        agent_id=fact.agent_id,
        state=fact.state,
        session_sequence=fact.session_sequence,
        version=fact.version,
        booked_at=fact.decided_at,
        rank=fact.rank if queued else None,
        waiting=session.waiting if queued else None,
        priority=queued and fact.priority,
        pending=pending_after(None, fact),
        overlaps=() if queued else agenda.at_the_same_hours(session.occasion),
        remote=fact.remote,
    )


def changed(booking: Booking, fact: Change) -> Booking:
    """A place after another fact of its life."""
    over = {"state": fact.state, "version": fact.version, "rank": None, "waiting": None, "offer": offer_after(booking, fact)}
    over |= {"remote": fact.remote, "pending": pending_after(booking.pending, fact), "reason": getattr(fact, "reason", "") or None}
    return booking.model_copy(update=over)


def must_be_at(booking: Booking, expected_version: int | None) -> None:
    if expected_version is not None and expected_version != booking.version:
        raise VersionConflict(f"booking {booking.booking_id} is at {booking.version}", version=booking.version)

"""What the facts of its life make of a place. Pure."""

from __future__ import annotations

from services.booking.pending.domain import pending_after
from services.booking.seats.domain import Change, Opening
from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import (
    Booking,
    OfferState,
    SeatOffer,
    SeatOfferAccepted,
    SeatOfferDeclined,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistLeft,
)
from shared.errors import VersionConflict


def opened(fact: Opening, waiting: int) -> Booking:
    """The place that a first fact made; `waiting` is the length of the queue, its newcomer included."""
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
        waiting=waiting if queued else None,
        priority=queued and fact.priority,
        pending=pending_after(None, fact),
    )


def changed(booking: Booking, fact: Change) -> Booking:
    """A place after another fact of its life."""
    over = {"state": fact.state, "version": fact.version, "rank": None, "waiting": None, "offer": offer_after(booking, fact)}
    over |= {"pending": pending_after(booking.pending, fact), "reason": getattr(fact, "reason", "") or None}
    return booking.model_copy(update=over)


def offer_after(booking: Booking, fact: Change) -> SeatOffer | None:
    if isinstance(fact, SeatOfferMade):
        offered_at = booking.offer.offered_at if booking.offer else fact.decided_at
        return SeatOffer(state=OfferState.OFFERED, deadline=fact.deadline, offered_at=offered_at)
    if booking.offer is None or (state := offer_state_after(fact)) is None:
        return booking.offer
    return booking.offer.model_copy(update={"state": state})


def offer_state_after(fact: Change | Opening) -> OfferState | None:
    """How a fact leaves the offer of its place, if there is one; None when it says nothing of it."""
    match fact:
        case SeatOfferMade():
            return OfferState.OFFERED
        case SeatOfferAccepted() | BookingApprovalRequested():
            return OfferState.ACCEPTED
        case SeatOfferDeclined():
            return OfferState.DECLINED
        case SeatOfferExpired():
            return OfferState.EXPIRED
        case WaitlistLeft():
            return OfferState.CLOSED  # who has an offer leaves by declining it: here the session ended
        case _:
            return None


def must_be_at(booking: Booking, expected_version: int | None) -> None:
    if expected_version is not None and expected_version != booking.version:
        raise VersionConflict(f"booking {booking.booking_id} is at {booking.version}", version=booking.version)

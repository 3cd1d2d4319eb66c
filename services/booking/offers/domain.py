"""What a seat that is offered from the queue adds to the place that waits for it (W2, W3). Pure."""

from __future__ import annotations

from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import (
    Booking,
    BookingEvent,
    OfferState,
    SeatOffer,
    SeatOfferAccepted,
    SeatOfferDeclined,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistLeft,
)
from shared.errors import Refused


class OfferUnknown(Refused):
    code, status = "offer_unknown", 404
    title = "Aucune place ne vous a été proposée pour cette inscription."


class OfferExpired(Refused):
    """Travels with `session_id` and the `rank` that joining again would give: 0 for a seat at once, none when it is too late (W3)."""

    code, status = "offer_expired", 410
    title = "Le délai pour répondre est passé : la place est allée à la personne suivante."


class OfferAnswered(Refused):
    """Travels with the offer's `state`."""

    code = "offer_answered"
    title = "Vous avez déjà répondu à cette proposition."


def is_offered(booking: Booking) -> bool:
    return booking.offer is not None and booking.offer.state is OfferState.OFFERED


def offer_after(booking: Booking, fact: BookingEvent) -> SeatOffer | None:
    if isinstance(fact, SeatOfferMade):
        offered_at = booking.offer.offered_at if booking.offer else fact.decided_at
        return SeatOffer(state=OfferState.OFFERED, deadline=fact.deadline, offered_at=offered_at)
    if booking.offer is None or (state := offer_state_after(fact)) is None:
        return booking.offer
    return booking.offer.model_copy(update={"state": state})


def offer_state_after(fact: BookingEvent) -> OfferState | None:
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
            return OfferState.CLOSED  # who has an offer leaves by declining it: here the session ended, or a group has a seat for them
        case _:
            return None

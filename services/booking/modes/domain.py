"""To the other mode of a hybrid session: from the room to a place at a distance, or back (B9). Pure."""

from __future__ import annotations

from datetime import datetime

from services.booking.agenda.domain import Agenda
from services.booking.offers.domain import is_offered
from services.booking.pending.domain import is_open
from services.booking.seats.domain import Session
from services.booking.seats.refusals import BookingNotActive, NoSeatToSwap
from shared.contracts.booking import ACTIVE_STATES, Booking, BookingState
from shared.contracts.modes import BookingModeChanged
from shared.errors import Refused


class AnswerAwaited(Refused):
    code = "answer_awaited"
    title = "Cette place attend encore une réponse, la vôtre ou celle de votre responsable : vous pourrez changer ensuite."


def change_mode(session: Session, booking: Booking, agenda: Agenda, now: datetime) -> BookingModeChanged:
    """A free seat of the other mode, or nothing: a rank is never exchanged for another, nor a seat for a rank (B2, B5).

    `agenda`: what the agent has beside this booking. Who takes part all the same is never late (N1), and to the room only while it may be
    booked (B6).
    """
    here, there = session.places(remote=booking.remote), session.places(remote=not booking.remote)
    if booking.state not in ACTIVE_STATES:
        raise BookingNotActive(f"booking {booking.booking_id} is {booking.state}", state=booking.state.value)
    here.must_be_ahead(now)
    waits = booking.state is BookingState.WAITING
    if is_open(booking) or is_offered(booking) or (waits and session.needs_approval):
        raise AnswerAwaited(f"booking {booking.booking_id}")
    if not there.remote:
        there.must_be_open(now)
    if not there.free_for_newcomers:
        raise NoSeatToSwap(f"session {session.session_id} has {there.held} of {there.capacity} held, {there.waiting} waiting")
    agenda.must_be_free_for(there.occasion)

    if waits:
        here.waiting -= 1
    else:
        here.held -= 1
    there.take(1)
    said = here.next_of(booking.model_copy(update={"remote": there.remote}), now)
    return BookingModeChanged(**said, state=BookingState.CONFIRMED)

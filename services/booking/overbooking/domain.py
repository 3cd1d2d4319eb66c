"""More seats given than places: nobody is removed for that alone; the lab asks for volunteers, then takes back the newest (B8). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.booking.seats.domain import Session
from shared.contracts.booking import Booking, BookingCancelled, BookingState
from shared.contracts.overbooking import VolunteerSought
from shared.errors import Refused


class NotOverCapacity(Refused):
    """Travels with `over_capacity`, the seats given beyond the places there are."""

    code = "not_over_capacity"
    title = "Cette séance n'a pas tant d'inscriptions en trop : il n'y a pas de place à reprendre."


def seek_volunteers(session: Session, seated: Sequence[Booking], now: datetime) -> list[VolunteerSought]:
    """Everybody is asked alike."""
    must_be_over_capacity(session, 1, now)
    return [
        VolunteerSought(**session.next_of(booking, now), state=BookingState.CONFIRMED, reason=booking.reason or "") for booking in seated
    ]


def withdraw(
    session: Session, newest_first: Sequence[Booking], number: int, reason: str, now: datetime, priority_until: datetime
) -> list[BookingCancelled]:  # fmt: skip
    must_be_over_capacity(session, number, now)
    return [session.withdraw(booking, reason, now, priority_until) for booking in newest_first[:number]]


def must_be_over_capacity(session: Session, number: int, now: datetime) -> None:
    session.must_be_ahead(now)
    if number > session.over_capacity:
        raise NotOverCapacity(f"{session.over_capacity} too many in {session.session_id}", over_capacity=session.over_capacity)

"""What a move asks of those who have a seat: nothing, to say whether they still come, and what their silence means (M1). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from services.booking.deadlines.domain import PARIS, IsHoliday, in_french, working_days_after
from services.booking.pending.domain import ANSWER_DAYS, asked, became, is_open
from services.booking.seats.domain import Session
from shared.contracts.approval import BookingReleased
from shared.contracts.booking import Booking, BookingState, Pending, PendingKind, PendingState
from shared.contracts.catalog import Period, VenueSheet
from shared.contracts.moves import BookingReconfirmationRequested, BookingReconfirmed
from shared.errors import Refused

TOLERATED = timedelta(minutes=30)
NOTICE = timedelta(hours=24)
PHONED_UNDER = timedelta(hours=48)
UNANSWERED = {
    PendingKind.TO_RECONFIRM: "la séance a été déplacée, et vous n'avez pas répondu avant le {}",
    PendingKind.TO_CONFIRM: "vous n'avez pas confirmé votre venue avant le {}",
}


class ReconfirmationUnknown(Refused):
    code, status = "reconfirmation_unknown", 404
    title = "Rien ne vous est demandé pour cette inscription."


class ReconfirmationExpired(Refused):
    code, status = "reconfirmation_expired", 410
    title = "Le délai pour répondre est passé : votre place a été rendue."


class ReconfirmationAnswered(Refused):
    """Travels with the `state` of the question."""

    code = "reconfirmation_answered"
    title = "Votre réponse est déjà enregistrée."


class Move(StrEnum):
    NONE = "none"
    SMALL = "small"
    """Half an hour at most, the same day in the same city: whoever comes still comes."""
    SAME_DAY = "same_day"
    OTHER_DAY = "other_day"

    @property
    def asks(self) -> bool:
        return self in (Move.SAME_DAY, Move.OTHER_DAY)


@dataclass(frozen=True, slots=True)
class Dates:
    """When and where a session takes place, as far as people plan for it."""

    city: str | None
    times: tuple[tuple[datetime, datetime], ...]

    @classmethod
    def of(cls, periods: tuple[Period, ...], venue: VenueSheet | None) -> Dates:
        return cls(venue and venue.city, tuple((period.starts_at, period.ends_at) for period in periods))

    @property
    def anywhere(self) -> Dates:
        """For who follows at a distance (B9)."""
        return replace(self, city=None)


def move(agreed: Dates, now: Dates) -> Move:
    """How far a session is from what its agents agreed to last: several small moves add up."""
    days, days_now = ([start.astimezone(PARIS).date() for start, _ in dates.times] for dates in (agreed, now))
    if days != days_now:
        return Move.OTHER_DAY
    shifts = [abs(a - b) for one, other in zip(agreed.times, now.times, strict=True) for a, b in zip(one, other, strict=True)]
    if agreed.city != now.city or max(shifts) > TOLERATED:
        return Move.SAME_DAY
    return Move.SMALL if max(shifts) else Move.NONE


def ask(session: Session, booking: Booking, how: Move, now: datetime, is_holiday: IsHoliday) -> BookingReconfirmationRequested:
    """Within three working days and 24 hours before the start; with less than that left the seat is kept in any case.

    A question whose silence gives the seat away (another day, N3) is not softened by a next move within the day.
    """
    last = session.starts_at - NOTICE
    urgent = now >= last
    deadline = session.starts_at if urgent else min(working_days_after(now, ANSWER_DAYS, is_holiday), last)
    day_changed = how is Move.OTHER_DAY
    return BookingReconfirmationRequested(
        **session.next_of(booking, now),
        state=BookingState.CONFIRMED,
        pending=asked(PendingKind.TO_RECONFIRM, now, deadline, silence_keeps=urgent or not (day_changed or _silence_releases(booking))),
        day_changed=day_changed,
        urgent=urgent,
        reason=booking.reason or "",
    )


def _silence_releases(booking: Booking) -> bool:
    return is_open(booking) and booking.pending is not None and not booking.pending.silence_keeps


def confirm(session: Session, booking: Booking, now: datetime) -> BookingReconfirmed:
    pending = booking.pending
    if pending is None or pending.kind is PendingKind.PENDING_APPROVAL:
        raise ReconfirmationUnknown(f"booking {booking.booking_id} is asked nothing")
    if pending.state is PendingState.EXPIRED or (
        pending.state is PendingState.OPEN and now >= pending.deadline and not pending.silence_keeps
    ):
        raise ReconfirmationExpired(f"the answer of {booking.booking_id} was due at {pending.deadline.isoformat()}")
    session.must_be_ahead(now)
    if pending.state is not PendingState.OPEN:
        raise ReconfirmationAnswered(f"the question of {booking.booking_id} is {pending.state}", state=pending.state.value)
    return _stays(session, booking, became(pending, PendingState.GRANTED), now)


def silence(session: Session, booking: Booking, pending: Pending, now: datetime) -> BookingReconfirmed | BookingReleased:
    """The day is the same, or it is too late to ask: the seat stays. Otherwise it serves whoever waits, and nothing is noted (N4)."""
    if pending.silence_keeps:
        return _stays(session, booking, became(pending, PendingState.KEPT), now)
    return BookingReleased(
        **session.release(booking, now),
        state=BookingState.CANCELLED_BY_LAB,
        pending=became(pending, PendingState.EXPIRED),
        reason=UNANSWERED[pending.kind].format(in_french(pending.deadline)),
    )


def _stays(session: Session, booking: Booking, pending: Pending, now: datetime) -> BookingReconfirmed:
    return BookingReconfirmed(**session.next_of(booking, now), state=BookingState.CONFIRMED, pending=pending, reason=booking.reason or "")

"""What a no-show counts, and for how long. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from services.booking.attendance.domain import Sheet
from services.booking.deadlines.domain import PARIS, IsHoliday, working_days_after
from services.booking.pending.domain import asked, is_open
from services.booking.seats.domain import Session
from shared.contracts.booking import Booking, BookingState, PendingKind
from shared.contracts.strikes import BookingConfirmationRequested, Strike, StrikeReason

HALVES = {StrikeReason.ABSENT: 2, StrikeReason.LATE_CANCELLED: 1}
MONTHS = 6
TWO_STRIKES = 4
WATCHED_FOR = timedelta(days=60)
DAYS_BEFORE, ASKED_AT = timedelta(days=3), time(9)


def strike(sheet: Sheet, booking_id: UUID, reason: StrikeReason, booked_at: datetime, now: datetime) -> Strike | None:
    """None where the lab cancelled the session, or moved it after somebody had booked (N4)."""
    if sheet.status == "cancelled" or (sheet.moved_at is not None and booked_at <= sheet.moved_at):
        return None
    about = {"booking_id": booking_id, "session_id": sheet.session_id, "reason": reason, "halves": HALVES[reason]}
    return Strike.model_validate(about | {"given_at": now, "expires_at": months_after(now, MONTHS)})


def months_after(moment: datetime, months: int) -> datetime:
    """The same day and hour in Paris, or the last day of a shorter month."""
    local = moment.astimezone(PARIS)
    year, month = divmod(local.month - 1 + months, 12)
    year, month = local.year + year, month + 1
    day = min(local.day, calendar.monthrange(year, month)[1])
    return local.replace(year=year, month=month, day=day).astimezone(moment.tzinfo)


def reached_at(strikes: Sequence[Strike]) -> datetime | None:
    """When two strikes came together, of those that count now."""
    total = 0
    for each in sorted(strikes, key=lambda each: each.given_at):
        total += each.halves
        if total >= TWO_STRIKES:
            return each.given_at
    return None


def must_confirm(strikes: Sequence[Strike], now: datetime) -> bool:
    """For sixty days after two strikes came together, and never a ban."""
    reached = reached_at(strikes)
    return reached is not None and now < reached + WATCHED_FOR


def confirmation_day(starts_at: datetime) -> datetime:
    """Three days before, at 9 h in Paris."""
    day = starts_at.astimezone(PARIS).date() - DAYS_BEFORE
    return datetime.combine(day, ASKED_AT, PARIS).astimezone(UTC)


def is_full_risk(session: Session) -> bool:
    """Full, or with a queue."""
    return session.waiting > 0 or session.held >= session.capacity


def ask_to_confirm(session: Session, booking: Booking, now: datetime, is_holiday: IsHoliday) -> BookingConfirmationRequested | None:
    """Within one working day, and while there is still somebody to give the seat to (W4). One question at a time."""
    deadline = min(working_days_after(now, 1, is_holiday), session.milestones.offers_until)
    if booking.state is not BookingState.CONFIRMED or is_open(booking) or now >= deadline:
        return None
    question = asked(PendingKind.TO_CONFIRM, now, deadline)
    return BookingConfirmationRequested(
        **session.next_of(booking, now), state=BookingState.CONFIRMED, pending=question, reason=booking.reason or ""
    )

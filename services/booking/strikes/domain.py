"""What a no-show counts, and for how long. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.booking.attendance.domain import Sheet
from services.booking.deadlines.domain import PARIS
from shared.contracts.strikes import Strike, StrikeReason

HALVES = {StrikeReason.ABSENT: 2, StrikeReason.LATE_CANCELLED: 1}
MONTHS = 6
TWO_STRIKES = 4


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

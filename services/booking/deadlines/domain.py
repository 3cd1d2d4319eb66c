"""Dates that the rules need: working hours in Paris, and from them when bookings open and close, and until when a seat is offered. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Self
from zoneinfo import ZoneInfo

from shared.contracts.catalog import ActivityType, SessionState

IsHoliday = Callable[[date], bool]

PARIS = ZoneInfo("Europe/Paris")
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")

OPENS, CLOSES = time(8), time(19)  # working hours, Monday to Friday
HOURS_OF_A_WORKING_DAY = 11

TALKS = (ActivityType.INNOVATION_THURSDAY, ActivityType.COACHING)  # the domain names no deadlines for coaching: those of a talk
VISITS = (ActivityType.LABTOUR, ActivityType.WORKSHOP_SUPPORT)  # people wait there for the group


@dataclass(frozen=True, slots=True)
class Milestones:
    """What the dates of a session imply for its seats. Half-open: each thing may happen before its instant, not at it."""

    opens_at: datetime | None
    """None is always."""
    closes_at: datetime
    """Newcomers are refused from here on; the queue goes on (B6)."""
    cancellation_cutoff: datetime
    """Last instant at which cancelling leaves no trace (N1)."""
    promotions_until: datetime | None
    """Until here a freed seat is given without a question; later, or where there is no such date, it is offered (W2)."""
    offers_until: datetime
    """No seat is offered from here on, and none is held beyond (W4)."""

    @classmethod
    def of(cls, session: SessionState, is_holiday: IsHoliday) -> Self:
        kind, start = session.activity_type, session.starts_at
        closes_at = session.closes_at or booking_closing(kind, start, is_holiday)
        return cls(
            opens_at=session.opens_at or booking_opening(start),
            closes_at=min(closes_at, start),
            cancellation_cutoff=cancellation_cutoff(kind, start, is_holiday),
            promotions_until=start - PROMOTED_UNTIL if kind in TALKS else None,
            offers_until=offer_cutoff(kind, start, is_holiday),
        )


OPENED_BEFORE = timedelta(weeks=6)
VISIT_NOTICE = timedelta(hours=72)
TALK_NOTICE = timedelta(hours=24)
TRAINING_NOTICE_DAYS = 5
PROMOTED_UNTIL = timedelta(hours=24)


def booking_opening(starts_at: datetime) -> datetime:
    """Six weeks before, at the same hour on the clocks of Paris (B6)."""
    return (starts_at.astimezone(PARIS) - OPENED_BEFORE).astimezone(starts_at.tzinfo)


def booking_closing(activity_type: ActivityType, starts_at: datetime, is_holiday: IsHoliday) -> datetime:
    """When newcomers are too late (B6)."""
    if activity_type is ActivityType.TRAINING:
        return working_days_before(starts_at, TRAINING_NOTICE_DAYS, is_holiday)
    return starts_at - (timedelta(hours=24) if activity_type in VISITS else timedelta(hours=2))


def cancellation_cutoff(activity_type: ActivityType, starts_at: datetime, is_holiday: IsHoliday) -> datetime:
    """Last instant at which cancelling leaves no trace (N1)."""
    if activity_type is ActivityType.TRAINING:
        return working_days_before(starts_at, TRAINING_NOTICE_DAYS, is_holiday)
    return starts_at - (VISIT_NOTICE if activity_type in VISITS else TALK_NOTICE)


def offer_cutoff(activity_type: ActivityType, starts_at: datetime, is_holiday: IsHoliday) -> datetime:
    """When a freed seat can no longer be offered to anybody (W4)."""
    if activity_type is ActivityType.TRAINING:
        return working_days_before(starts_at, 1, is_holiday)
    return starts_at - (timedelta(hours=24) if activity_type in VISITS else timedelta(hours=2))


def offer_deadline(now: datetime, starts_at: datetime, offers_until: datetime, is_holiday: IsHoliday) -> datetime:
    """16 working hours more than 7 days ahead, 4 from 7 down to 2, then 1; never past the cut-off (W2)."""
    ahead = starts_at - now
    hours = 16 if ahead > timedelta(days=7) else 4 if ahead >= timedelta(days=2) else 1
    return min(working_hours_after(now, hours, is_holiday), offers_until)


# --- working hours ---------------------------------------------------------------------------------------------------------------------


def working_hours_after(instant: datetime, hours: int, is_holiday: IsHoliday) -> datetime:
    """The end of so many working hours counted from this instant: at 18:30 four of them end at 11:30 the next working day."""
    local = instant.astimezone(PARIS)
    missing = timedelta(hours=hours)
    day, since = local.date(), min(max(local.time(), OPENS), CLOSES)
    while True:
        if _works(day, is_holiday):
            start = datetime.combine(day, since)
            left = datetime.combine(day, CLOSES) - start
            if left >= missing:
                return (start + missing).replace(tzinfo=PARIS).astimezone(instant.tzinfo)
            missing -= left
        day, since = day + timedelta(days=1), OPENS


def working_days_after(instant: datetime, days: int, is_holiday: IsHoliday) -> datetime:
    return working_hours_after(instant, days * HOURS_OF_A_WORKING_DAY, is_holiday)


def working_days_before(instant: datetime, days: int, is_holiday: IsHoliday) -> datetime:
    """The instant that `days` × 11 working hours separate from this one, in Paris: opening hours are counted, nights and holidays not."""
    local = instant.astimezone(PARIS)
    missing = timedelta(hours=days * HOURS_OF_A_WORKING_DAY)
    day, until = local.date(), min(max(local.time(), OPENS), CLOSES)
    while True:
        if _works(day, is_holiday):
            end = datetime.combine(day, until)
            worked = end - datetime.combine(day, OPENS)
            if worked >= missing:
                return (end - missing).replace(tzinfo=PARIS).astimezone(instant.tzinfo)
            missing -= worked
        day, until = day - timedelta(days=1), CLOSES


def _works(day: date, is_holiday: IsHoliday) -> bool:
    return day.isoweekday() <= 5 and not is_holiday(day)


def in_french(instant: datetime) -> str:
    """« 12 mars 2027 à 18 h 30 », in Paris."""
    local = instant.astimezone(PARIS)
    minutes = f" {local.minute:02}" if local.minute else ""
    return f"{'1er' if local.day == 1 else local.day} {MONTHS[local.month - 1]} {local.year} à {local.hour} h{minutes}"

"""When people are reminded of a session: on the wall clock of Paris, by rules that are settings (T5). Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from shared.contracts.catalog import ActivityType, Period, SessionState
from shared.errors import Refused

PARIS = ZoneInfo("Europe/Paris")
FRESH = timedelta(hours=12)
"""Who got their seat less than this ago has just read all about it."""
ANOTHER_TRIP = timedelta(days=7)
"""A period that begins so long after the one before is reminded of on its own: the second day of a training, four weeks later."""


class SessionNotReady(Refused):
    """Its `session.scheduled` has not arrived (E1)."""

    code, status, retryable, retry_after = "session_not_ready", 409, True, 1
    title = "Cette séance n'est pas encore ouverte aux inscriptions : réessayez dans quelques instants."


class NotConfirmed(Refused):
    code, status = "seat_not_confirmed", 403
    title = "Ces informations sont réservées aux personnes dont la place est confirmée."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """« J-2 à 9 h », never minus 48 hours: so many days before, at an hour of the clocks of Paris."""

    kind: Literal["reminder", "joining_instructions"]
    days: int
    at: time

    def __post_init__(self) -> None:
        if not 0 <= self.days <= 60:
            raise ValueError("a reminder comes 0 to 60 days before")


Rules = Mapping[ActivityType, Sequence[Rule]]

NINE = time(9)
_VISIT = (Rule(kind="joining_instructions", days=5, at=NINE), Rule(kind="reminder", days=2, at=NINE))
RULES: Rules = {
    ActivityType.INNOVATION_THURSDAY: (Rule(kind="joining_instructions", days=1, at=NINE),),
    ActivityType.TRAINING: _VISIT,
    ActivityType.LABTOUR: _VISIT,
    ActivityType.WORKSHOP_SUPPORT: _VISIT,
}


@dataclass(frozen=True, slots=True, order=True)
class Reminder:
    due_at: datetime
    starts_at: datetime
    """Of the date that it reminds of."""
    kind: Literal["reminder", "joining_instructions"]


@dataclass(frozen=True, slots=True)
class Due:
    """What a look at the clock found."""

    to_send: Sequence[Reminder]
    started: int
    """Reminders whose date had begun before anybody looked (T5)."""
    overtaken: int
    """Reminders that a later one of the same date makes needless."""
    next_at: datetime | None


def reminders_of(session: SessionState, rules: Rules) -> list[Reminder]:
    """All of a session, in order; of a cancelled one there are none."""
    if session.status == "cancelled":
        return []
    found = (
        Reminder(due_at, start, rule.kind)
        for start in _trips(session.periods)
        for rule in rules.get(session.activity_type, ())
        if (due_at := on_the_clock(start, rule)) < start
    )
    return sorted(found)


def on_the_clock(start: datetime, rule: Rule) -> datetime:
    """The days are those of the calendar and the hour is that of the clock, whatever changes of clocks lie between (T1)."""
    day = start.astimezone(PARIS).date() - timedelta(days=rule.days)
    return datetime.combine(day, rule.at, PARIS).astimezone(ZoneInfo("UTC"))


def _trips(periods: Sequence[Period]) -> Iterator[datetime]:
    before: datetime | None = None
    for period in periods:
        if before is None or period.starts_at - before >= ANOTHER_TRIP:
            yield period.starts_at
        before = period.starts_at


def look(reminders: Sequence[Reminder], since: datetime, now: datetime) -> Due:
    """What became due from `since` on. After a downtime, only the last word on each date is worth sending."""
    due = [each for each in reminders if since <= each.due_at <= now]
    late = [each for each in due if each.starts_at <= now]
    last = {each.starts_at: each for each in due if each.starts_at > now}
    return Due(
        to_send=list(last.values()),
        started=len(late),
        overtaken=len(due) - len(late) - len(last),
        next_at=next_of(reminders, now),
    )


def next_of(reminders: Sequence[Reminder], now: datetime) -> datetime | None:
    """The next one to come. What lies behind us is not made up for: a session that was brought forward has its own mail."""
    return next((each.due_at for each in reminders if each.due_at > now), None)

"""When a session's quorum is decided, and what becomes of it (M3). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

from services.booking.deadlines.domain import PARIS, IsHoliday
from services.booking.seats.domain import Session
from shared.contracts.quorum import QuorumState
from shared.errors import Refused

NOTICE = timedelta(days=7)
HOUR = time(9)


class QuorumUnknown(Refused):
    code, status = "quorum_unknown", 404
    title = "Cette séance n'a pas de quorum."


class QuorumAlreadyDecided(Refused):  # travels with its `state`
    code = "quorum_already_decided"
    title = "Le quorum de cette séance n'est plus à décider."


@dataclass(frozen=True, slots=True)
class QuorumOfSession:
    """What is decided about the day on which a session starts, in Paris."""

    needed: int
    day: date
    decides_at: datetime
    state: QuorumState
    reason: str | None = None
    kept_by: str | None = None


def decision_time(day: date, is_holiday: IsHoliday) -> datetime:
    """Seven days before that day at 9:00 in Paris; where nobody works then, at 9:00 of the last working day before."""
    decided_on = day - NOTICE
    while decided_on.isoweekday() > 5 or is_holiday(decided_on):
        decided_on -= timedelta(days=1)
    return datetime.combine(decided_on, HOUR, PARIS)


def plan(before: QuorumOfSession | None, needed: int, starts_at: datetime, now: datetime, is_holiday: IsHoliday) -> QuorumOfSession | None:
    """The decision for these dates; None when the one there is holds.

    A decision is about a day: another hour or another room changes nothing, another day is decided about anew, or not at all when that
    would have been in the past. What the lab keeps it keeps, wherever it moves.
    """
    day = starts_at.astimezone(PARIS).date()
    if before is not None and (before.day == day or before.state is QuorumState.KEPT):
        return None
    decides_at = decision_time(day, is_holiday)
    return QuorumOfSession(needed, day, decides_at, QuorumState.OPEN if now < decides_at else QuorumState.NONE)


def decide(quorum: QuorumOfSession, taken: int) -> QuorumOfSession:
    return replace(quorum, state=QuorumState.MET if taken >= quorum.needed else QuorumState.MISSED)


def keep(quorum: QuorumOfSession, session: Session, reason: str, by: str, now: datetime) -> QuorumOfSession:
    """Until the decision is made, also when its hour has passed."""
    session.must_be_ahead(now)
    if quorum.state is not QuorumState.OPEN:
        raise QuorumAlreadyDecided(f"the quorum of {session.session_id} is {quorum.state}", state=quorum.state.value)
    return replace(quorum, state=QuorumState.KEPT, reason=reason, kept_by=by)

"""The weekly digest of new sessions: when it goes out, and what is news to whom. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.contracts.catalog import SessionState
from shared.contracts.preferences import Preferences

PARIS = ZoneInfo("Europe/Paris")
NINE = time(9)


def next_monday(now: datetime) -> datetime:
    """The next Monday at 9 h on the clocks of Paris."""
    local = now.astimezone(PARIS)
    monday = datetime.combine(local.date() - timedelta(days=local.weekday()), NINE, PARIS)
    return monday if monday > local else datetime.combine(monday.date() + timedelta(days=7), NINE, PARIS)


def is_news_to(preferences: Preferences, session: SessionState) -> bool:
    """In one of the reader's themes, and in one of their départements or at a distance; no choice is all of them."""
    department = session.venue and session.venue.department
    return (not preferences.themes or session.theme in preferences.themes) and (
        not preferences.departments or department is None or department in preferences.departments
    )


def worth_telling(sessions: Iterable[SessionState], now: datetime) -> list[SessionState]:
    """Those that still can be joined, in order of their dates."""
    open_ones = (session for session in sessions if session.status == "scheduled" and session.starts_at > now)
    return sorted(open_ones, key=lambda session: (session.starts_at, session.session_id))

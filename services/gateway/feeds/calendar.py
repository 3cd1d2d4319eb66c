"""The programme as iCalendar: one entry for each period of each session (K2, K3)."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID, uuid5

from services.gateway.feeds.queries import Feed
from services.gateway.feeds.wording import where
from services.gateway.programme.domain import ListedSession
from shared.calendars import Appointment, published

_NAMESPACE = UUID("b5c7e5f2-5b0d-5a3c-8a3e-2f6f0f6f9a11")


def calendar(feed: Feed) -> str:
    return published("Programme du Lab-O", [each for listed in feed.sessions for each in _appointments(listed, feed)])


def uid_of(session_id: UUID, period_index: int) -> str:
    """Fixed for life, and not that of any agent's own entry: a calendar may hold both."""
    return str(uuid5(_NAMESPACE, f"{session_id}/{period_index}"))


def _appointments(listed: ListedSession, feed: Feed) -> Iterator[Appointment]:
    """SEQUENCE is one less than the session's version, which rises with each change and is the same after a rebuild."""
    session = listed.session
    for index, period in enumerate(session.periods):
        yield Appointment(
            uid=uid_of(session.session_id, index),
            sequence=session.version - 1,
            changed_at=listed.heard_at,
            period=period,
            title=session.title,
            cancelled=listed.cancelled,
            place=where(session),
            description=f"{session.summary}\n\nS’inscrire : {feed.page(listed)}",
            url=feed.page(listed),
        )

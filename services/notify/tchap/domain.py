"""What a room is told of the public programme, and what the answer of its server means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from services.notify.mail.domain import Before, moved
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled, SessionState

GIVEN_UP_AFTER = timedelta(days=3)
STALE_AFTER = timedelta(days=1)
"""News that nobody gathered for so long, because the bot was off, are no news."""
KEPT_FOR = timedelta(days=30)
LONGEST_PAUSE = timedelta(minutes=10)
SELDOM = timedelta(hours=1)
"""Between attempts that only a person can help: a token or a room that is not right."""


class Kind(StrEnum):
    SCHEDULED = "scheduled"
    MOVED = "moved"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class News:
    kind: Kind
    session: SessionState


def news_of(event: SessionScheduled | SessionRescheduled | SessionCancelled) -> News | None:
    """None for what the room is not told: private sessions, and another number of seats."""
    if event.is_private:
        return None
    match event:
        case SessionScheduled():
            return News(Kind.SCHEDULED, event.session)
        case SessionCancelled():
            return News(Kind.CANCELLED, event.session)
        case SessionRescheduled():
            before = Before(event.previous_periods, event.previous_venue)
            return News(Kind.MOVED, event.session) if moved(before, event.session) else None


def gathered(news: Sequence[News], now: datetime) -> list[News]:
    """One per session, as it is now: new although it moved since, and nothing at all when it came and went, or has begun."""
    of_session: dict[UUID, list[News]] = {}
    for each in sorted(news, key=lambda told: told.session.version):
        of_session.setdefault(each.session.session_id, []).append(each)
    told: list[News] = []
    for first, *_, last in ([each[0], *each] for each in of_session.values()):
        is_new, is_off = first.kind is Kind.SCHEDULED, last.kind is Kind.CANCELLED
        if last.session.starts_at > now and not (is_new and is_off):
            told.append(News(Kind.SCHEDULED, last.session) if is_new else last)
    return sorted(told, key=lambda each: (each.session.starts_at, str(each.session.session_id)))


class Verdict(StrEnum):
    SENT = "sent"
    LIMITED = "limited"
    """429: again when the server says."""
    NOT_ALLOWED = "not_allowed"
    """The token, the room or the address is not right: seldom again, until a person has seen to it."""
    AGAIN = "again"
    FAILED = "failed"
    """The server refuses this very message."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int | None
    """None when there was no answer."""
    code: str = ""
    """Matrix's own, such as `M_FORBIDDEN`."""
    retry_after: timedelta | None = None

    @property
    def verdict(self) -> Verdict:
        status = self.status
        if status is None or status >= 500 or status == 408:
            return Verdict.AGAIN
        if 200 <= status < 300:
            return Verdict.SENT
        if status == 429:
            return Verdict.LIMITED
        return Verdict.NOT_ALLOWED if status < 400 or status in {401, 403, 404} else Verdict.FAILED

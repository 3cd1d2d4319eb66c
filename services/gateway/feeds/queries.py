"""What a feed holds: the next sessions of the public programme, and when anything of it last changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.programme import queries
from services.gateway.programme.domain import ListedSession
from services.gateway.programme.queries import Filters
from shared import clock

AT_MOST = 300

_CHANGED = text(
    """
    select max(heard_at) from (
        select max(heard_at) as heard_at from programme_session union all select max(heard_at) from programme_activity
    ) as either
    """
)


@dataclass(frozen=True, slots=True)
class Feed:
    url: str
    """Its own address: another choice of sessions is another feed."""
    home: str
    """Of the portal, with a slash at its end."""
    sessions: tuple[ListedSession, ...]
    changed_at: datetime
    """Real time. Of the whole programme, since what leaves a feed changes it as well; a day that ends does so too."""

    def page(self, listed: ListedSession) -> str:
        return f"{self.home}seances/{listed.session_id}"


async def read(connection: AsyncConnection, filters: Filters, url: str, home: str) -> Feed:
    """Cancelled sessions included. What only comes near to the words is for people who look, not for programs that subscribe."""
    page = await queries.list_sessions(connection, filters, limit=AT_MOST)
    midnight = filters.since.astimezone(UTC) - clock.offset()
    changed_at = max(await connection.scalar(_CHANGED) or midnight, midnight)
    return Feed(url, home, () if page.near else page.sessions, changed_at)

"""The table `agreement`, and what making a private session reads under a lock."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.catalog import Period

_TAKE_UP = text(
    "insert into agreement (session_id, tailored_request_id) values (:session_id, :request_id) on conflict do nothing returning 1"
)
_LOCK_VENUE = text("select 1 from venue where venue_id = :venue_id for update")
_IS_TAKEN = text(
    """
    select exists (
        select from session join period using (session_id)
             join unnest(cast(:starts_at as timestamptz[]), cast(:ends_at as timestamptz[])) as wish(starts_at, ends_at)
                  on period.starts_at < wish.ends_at and wish.starts_at < period.ends_at
        where session.venue_id = :venue_id and session.status = 'scheduled')
    """
)


async def take_up(tx: AsyncConnection, session_id: UUID, tailored_request_id: UUID) -> bool:
    """Whether this is the first word about the session; a word under way is waited for."""
    return await tx.scalar(_TAKE_UP, {"session_id": session_id, "request_id": tailored_request_id}) is not None


async def lock_venue(tx: AsyncConnection, venue_id: UUID) -> None:
    await tx.execute(_LOCK_VENUE, {"venue_id": venue_id})


async def is_taken(tx: AsyncConnection, venue_id: UUID, periods: Sequence[Period]) -> bool:
    wishes = {"starts_at": [each.starts_at for each in periods], "ends_at": [each.ends_at for each in periods]}
    return bool(await tx.scalar(_IS_TAKEN, {"venue_id": venue_id} | wishes))

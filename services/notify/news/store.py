"""What is new, and who wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.catalog import SessionState
from shared.contracts.preferences import Preferences

TIMER = "news"

_EXPECTED = text("select exists (select from timer where key = :key)")
_NEW = text("select state from session where announced_at > :since and announced_at <= :until and state ->> 'status' = 'scheduled'")
_THESE = text("select state from session where session_id = any(:session_ids)")
_READERS = text("select agent_id, version, reminders, waitlist, news, themes, departments from preference where news = 'digest'")


async def is_expected(tx: AsyncConnection) -> bool:
    return bool(await tx.scalar(_EXPECTED, {"key": TIMER}))


async def real_time(tx: AsyncConnection) -> datetime:
    """Whatever the demonstration's clock says."""
    return (await tx.execute(text("select clock_timestamp()"))).scalar_one()


async def announced(tx: AsyncConnection, since: datetime, until: datetime) -> Sequence[SessionState]:
    """Sessions that catalog scheduled in this span of real time."""
    return [SessionState.model_validate(row.state) for row in await tx.execute(_NEW, {"since": since, "until": until})]


async def sessions(tx: AsyncConnection, session_ids: Sequence[UUID]) -> Sequence[SessionState]:
    """As they are now."""
    return [SessionState.model_validate(row.state) for row in await tx.execute(_THESE, {"session_ids": list(session_ids)})]


async def readers(tx: AsyncConnection) -> Sequence[Preferences]:
    return [Preferences.model_validate(dict(row)) for row in (await tx.execute(_READERS)).mappings()]

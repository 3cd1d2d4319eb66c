"""Table `session_dates`: when and where each session was when its agents agreed to it last."""

from __future__ import annotations

import json
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.moves.domain import Dates

_AGREED = text("select city, times from session_dates where session_id = :session_id")
_KEEP = text(
    """
    insert into session_dates (session_id, city, times) values (:session_id, :city, cast(:times as jsonb))
    on conflict (session_id) do update set city = excluded.city, times = excluded.times
    """
)


async def agreed(tx: AsyncConnection, session_id: UUID) -> Dates | None:
    """None for a session that is heard of for the first time since these are kept."""
    row = (await tx.execute(_AGREED, {"session_id": session_id})).one_or_none()
    if row is None:
        return None
    return Dates(row.city, tuple((datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in row.times))


async def keep(tx: AsyncConnection, session_id: UUID, dates: Dates) -> None:
    times = json.dumps([[start.isoformat(), end.isoformat()] for start, end in dates.times])
    await tx.execute(_KEEP, {"session_id": session_id, "city": dates.city, "times": times})

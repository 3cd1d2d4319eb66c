"""What the standing audit found and is still so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.seats.queries import Finding

LONG_OVER = timedelta(days=1)

_WATCHED = text("select session_id from session where ends_at > :after")
_GONE = text(
    """
    delete from audit_finding where (session_id, code) not in (select * from unnest(cast(:sessions as uuid[]), cast(:codes as text[])))
    """
)
_NEW = text(
    """
    insert into audit_finding (session_id, code)
    select * from unnest(cast(:sessions as uuid[]), cast(:codes as text[])) on conflict do nothing returning session_id, code
    """
)


async def watched(connection: AsyncConnection, now: datetime) -> list[UUID]:
    return list((await connection.scalars(_WATCHED, {"after": now - LONG_OVER})).all())


async def keep(tx: AsyncConnection, found: Sequence[Finding]) -> list[Finding]:
    """Keep exactly these; those that were not known are answered."""
    values = {"sessions": [each.session_id for each in found], "codes": [each.code for each in found]}
    await tx.execute(_GONE, values)
    return [Finding(row.session_id, row.code) for row in await tx.execute(_NEW, values)]

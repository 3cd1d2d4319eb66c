"""Which sessions of an activity have yet to end."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_TO_COME = text(
    """
    select session_id from session
    where activity_id = :activity_id and status = 'scheduled'
      and exists (select from period where period.session_id = session.session_id and ends_at > :now)
    order by session_id
    """
)


async def to_come(tx: AsyncConnection, activity_id: UUID, now: datetime) -> Sequence[UUID]:
    """Under the activity's lock: nobody gives it another one meanwhile."""
    return (await tx.scalars(_TO_COME, {"activity_id": activity_id, "now": now})).all()

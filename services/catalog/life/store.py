"""What an activity's edits and its end write in the table `activity`."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities.domain import Activity
from services.catalog.activities.store import columns_of

_WRITE = text(
    """
    update activity
    set title = :title, summary = :summary, description = :description, theme = :theme, audience = :audience,
        details = cast(:details as jsonb), improvements = cast(:improvements as jsonb), version = :version, revision = :revision
    where activity_id = :activity_id
    """
)

_ARCHIVE = text("update activity set status = 'archived', version = :version where activity_id = :activity_id")


async def write(tx: AsyncConnection, activity: Activity) -> None:
    await tx.execute(_WRITE, columns_of(activity.content) | {"version": activity.version, "revision": activity.revision})


async def archive(tx: AsyncConnection, activity: Activity) -> None:
    await tx.execute(_ARCHIVE, {"activity_id": activity.content.activity_id, "version": activity.version})

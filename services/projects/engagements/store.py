"""The only SQL that writes engagements and their logbooks, and what the rules read under a lock."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.projects.engagements import queries
from shared.contracts.projects import AddLogbookEntry, Engagement

_INSERT = text(
    """
    insert into engagement (engagement_id, application_id, coach_id, state, starts_on, planned_end_on, version)
    values (:engagement_id, :application_id, :coach_id, :state, :starts_on, :planned_end_on, :version)
    on conflict (engagement_id) do nothing returning 1
    """
)

_LOCK = text("select 1 from engagement where engagement_id = :engagement_id for update")

_READ_ENTRY = text("select entry_id, engagement_id, kind, text, author_id from logbook_entry where entry_id = :entry_id")

_INSERT_ENTRY = text(
    """
    with written as (
        insert into logbook_entry (entry_id, engagement_id, engagement_version, kind, text, author_id, written_at)
        values (:entry_id, :engagement_id, :version, :kind, :text, :author_id, :written_at)
        on conflict (entry_id) do nothing returning engagement_id
    )
    update engagement set version = :version from written where engagement.engagement_id = written.engagement_id returning 1
    """
)

_RECORD_CLOSING = text(
    """
    update engagement
    set state = :state, outcome = :outcome, closing_reason = :closing_reason, lessons_learned = :lessons_learned, closed_at = :closed_at,
        version = :version
    where engagement_id = :engagement_id
    """
)


async def insert_engagement(tx: AsyncConnection, engagement: Engagement) -> bool:
    """False when the id is taken."""
    return await tx.scalar(_INSERT, engagement.model_dump()) is not None


async def lock_engagement(tx: AsyncConnection, engagement_id: UUID) -> Engagement | None:
    """Two statements on purpose: after waiting for the lock, a single one would not see the entries that its holder wrote."""
    if await tx.scalar(_LOCK, {"engagement_id": engagement_id}) is None:
        return None
    return await queries.read_engagement(tx, engagement_id)


async def read_entry(tx: AsyncConnection, entry_id: UUID) -> tuple[AddLogbookEntry, UUID] | None:
    """The request that wrote this entry, and its author."""
    row = (await tx.execute(_READ_ENTRY, {"entry_id": entry_id})).mappings().one_or_none()
    return (AddLogbookEntry.model_validate(dict(row)), row["author_id"]) if row else None


async def insert_entry(tx: AsyncConnection, engagement: Engagement) -> bool:
    """Write the newest entry of this logbook; False when its id is taken."""
    values = engagement.logbook[0].model_dump() | engagement.model_dump(include={"engagement_id", "version"})
    return await tx.scalar(_INSERT_ENTRY, values) is not None


async def record_closing(tx: AsyncConnection, engagement: Engagement) -> None:
    await tx.execute(_RECORD_CLOSING, engagement.model_dump(exclude={"logbook"}))

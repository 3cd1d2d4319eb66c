"""The only SQL that writes applications, and what the rules read under a lock."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.projects.calls import queries
from shared.contracts.projects import Application

_INSERT = text(
    """
    insert into application (application_id, project_lead_id, title, problem, state, submitted_at, version)
    values (:application_id, :project_lead_id, :title, :problem, :state, :submitted_at, :version)
    on conflict (application_id) do nothing returning 1
    """
)

_LOCK = text("select 1 from application where application_id = :application_id for update")

_RECORD_DECISION = text(
    """
    update application
    set state = :state, decision_reason = :decision_reason, redirection = :redirection, decided_at = :decided_at, version = :version
    where application_id = :application_id
    """
)


async def insert_application(tx: AsyncConnection, application: Application) -> bool:
    """False when the id is taken."""
    return await tx.scalar(_INSERT, application.model_dump()) is not None


async def lock_application(tx: AsyncConnection, application_id: UUID) -> Application | None:
    """Two statements on purpose: after waiting for the lock, a single one would not see the engagement that its holder started."""
    if await tx.scalar(_LOCK, {"application_id": application_id}) is None:
        return None
    return await queries.read_application(tx, application_id)


async def record_decision(tx: AsyncConnection, application: Application) -> None:
    await tx.execute(_RECORD_DECISION, application.model_dump())

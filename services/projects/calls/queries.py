"""Reads of applications: SQL straight to the reply."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.projects import Application

_APPLICATION = """
    select cast(json_build_object(
        'application_id', application.application_id, 'project_lead_id', application.project_lead_id, 'title', application.title,
        'problem', application.problem, 'state', application.state, 'version', application.version,
        'submitted_at', application.submitted_at, 'decided_at', application.decided_at,
        'decision_reason', application.decision_reason, 'redirection', application.redirection,
        'engagement_id', engagement.engagement_id
    ) as text)
    from application left join engagement on engagement.application_id = application.application_id
"""

_READ = text(f"{_APPLICATION} where application.application_id = :application_id")

_LED_BY = text(
    f"{_APPLICATION} where application.project_lead_id = :agent_id order by application.submitted_at desc, application.application_id"
)


async def read_application(connection: AsyncConnection, application_id: UUID) -> Application | None:
    found = await connection.scalar(_READ, {"application_id": application_id})
    return Application.model_validate_json(found) if found else None


async def applications_of(connection: AsyncConnection, agent_id: UUID) -> tuple[Application, ...]:
    """What an agent submitted, newest first."""
    found = await connection.scalars(_LED_BY, {"agent_id": agent_id})
    return tuple(Application.model_validate_json(each) for each in found)

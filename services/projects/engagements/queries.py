"""Reads of engagements: SQL straight to the reply."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.projects import Engagement

LOGBOOK_BYTES = 250_000  # of entries in one reply; the bus carries 512 kB, and an entry may take 60 kB

_ENGAGEMENTS = """
    with chosen as (
        select engagement.*, application.project_lead_id, application.title
        from engagement join application on application.application_id = engagement.application_id
        where {condition}
    ), entry as (
        select logbook_entry.*, sum(octet_length(cast(to_json(logbook_entry.text) as text)) + 250) over newest_first as bytes
        from logbook_entry join chosen on chosen.engagement_id = logbook_entry.engagement_id
        window newest_first as (
            order by logbook_entry.written_at desc, logbook_entry.engagement_version desc, logbook_entry.entry_id rows unbounded preceding
        )
    )
    select cast(json_build_object(
        'engagement_id', chosen.engagement_id, 'application_id', chosen.application_id, 'project_lead_id', chosen.project_lead_id,
        'coach_id', chosen.coach_id, 'title', chosen.title, 'state', chosen.state, 'version', chosen.version,
        'starts_on', chosen.starts_on, 'planned_end_on', chosen.planned_end_on, 'outcome', chosen.outcome,
        'closing_reason', chosen.closing_reason, 'lessons_learned', chosen.lessons_learned, 'closed_at', chosen.closed_at,
        'logbook', (
            select coalesce(json_agg(to_json(entry) order by entry.engagement_version desc), '[]')
            from entry where entry.engagement_id = chosen.engagement_id and entry.bytes <= :logbook_bytes
        ),
        'logbook_total', (select count(*) from entry where entry.engagement_id = chosen.engagement_id)
    ) as text)
    from chosen
    order by chosen.starts_on desc, chosen.engagement_id
"""

_READ = text(_ENGAGEMENTS.format(condition="engagement.engagement_id = :engagement_id"))

_OF_AGENT = text(_ENGAGEMENTS.format(condition="application.project_lead_id = :agent_id or engagement.coach_id = :agent_id"))


async def read_engagement(connection: AsyncConnection, engagement_id: UUID) -> Engagement | None:
    found = await connection.scalar(_READ, {"engagement_id": engagement_id, "logbook_bytes": LOGBOOK_BYTES})
    return Engagement.model_validate_json(found) if found else None


async def engagements_of(connection: AsyncConnection, agent_id: UUID) -> tuple[Engagement, ...]:
    """What an agent leads or coaches, newest first; of all their logbooks together, the newest entries that fit."""
    found = await connection.scalars(_OF_AGENT, {"agent_id": agent_id, "logbook_bytes": LOGBOOK_BYTES})
    return tuple(Engagement.model_validate_json(each) for each in found)

"""Whom reserved seats may be for: what booking knows of those who ask while some are reserved (W1)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.quotas.domain import Applicant
from services.booking.seats.domain import Session

_APPLICANTS = text(
    """
    select agent_id, department, not exists (
        select from booking where booking.agent_id = asked.agent_id and booking.state = 'confirmed'
    ) as newcomer
    from unnest(cast(:agent_ids as uuid[])) as asked(agent_id) left join agent_unit using (agent_id)
    """
)


async def applicants(
    tx: AsyncConnection, sessions: Iterable[Session], agent_ids: Collection[UUID], now: datetime
) -> Mapping[UUID, Applicant]:
    """These agents, who are locked, where one of the sessions has reserved seats; nobody is looked up otherwise, which is nearly always."""
    if not any(session.quota is not None and now < session.quota.until for session in sessions):
        return {}
    rows = await tx.execute(_APPLICANTS, {"agent_ids": list(agent_ids)})
    return {row.agent_id: Applicant(row.newcomer, row.department) for row in rows}

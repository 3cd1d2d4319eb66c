"""Table `fair_use_lifted`: for whom, by whom and why. The reason is read by the lab, and told to nobody."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.agenda import LiftFairUse

_LIFT = text(
    """
    with kept as (
        insert into fair_use_lifted (agent_id, session_id, reason, lifted_by, lifted_at)
        select :agent_id, session_id, :reason, :lifted_by, :lifted_at from session where session_id = :session_id
        on conflict do nothing
    )
    select exists (select from session where session_id = :session_id)
    """
)


async def lift(tx: AsyncConnection, request: LiftFairUse, lifted_by: str, lifted_at: datetime) -> bool:
    """False when booking knows no such session. The first reason stays."""
    values = request.model_dump() | {"lifted_by": lifted_by, "lifted_at": lifted_at}
    return bool(await tx.scalar(_LIFT, values))

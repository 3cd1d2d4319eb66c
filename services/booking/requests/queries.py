"""Reads: SQL straight to the reply."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.requests.domain import shown
from shared.contracts.tailored import ListTailoredRequests, TailoredRequest, TailoredRequestList

# What was asked, with what became of it laid over.
_REQUEST = """
    select cast(asked || (to_jsonb(request) - 'asked') || jsonb_build_object('proposals', coalesce(
        (select jsonb_agg(content || jsonb_build_object('state', proposal.state) order by position) from proposal
         where proposal.tailored_request_id = request.tailored_request_id and proposal.round = request.round), '[]')) as text)
    from tailored_request request
"""
_ONE = text(f"{_REQUEST} where tailored_request_id = :tailored_request_id")
_OF_PROPOSAL = text("select tailored_request_id from proposal where proposal_id = :proposal_id")

# What the lab owes comes first: priority, then the oldest debt.
_LIST = text(
    f"""
    {_REQUEST}
    where (cast(:agent_id as uuid) is null or agent_id = :agent_id)
      and (cast(:state as text) is null or state = :state)
      and (not :overdue or answer_due_at <= :now)
    order by priority desc, answer_due_at nulls last, submitted_at desc, tailored_request_id
    limit :limit
    """
)


async def read(connection: AsyncConnection, tailored_request_id: UUID) -> TailoredRequest | None:
    found = await connection.scalar(_ONE, {"tailored_request_id": tailored_request_id})
    return TailoredRequest.model_validate_json(found) if found else None


async def request_of(connection: AsyncConnection, proposal_id: UUID) -> UUID | None:
    """The request that a proposal was made for."""
    return await connection.scalar(_OF_PROPOSAL, {"proposal_id": proposal_id})


async def listed(connection: AsyncConnection, asked: ListTailoredRequests, now: datetime) -> TailoredRequestList:
    values = asked.model_dump(include={"agent_id", "state", "overdue", "limit"}) | {"now": now}
    found = (TailoredRequest.model_validate_json(each) for each in await connection.scalars(_LIST, values))
    return TailoredRequestList(requests=tuple(shown(each, now) for each in found))

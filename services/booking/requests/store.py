"""The tables `tailored_request` and `proposal`, and the only SQL that writes them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.proposals.domain import ProposalExists
from services.booking.requests import queries
from services.booking.requests.domain import Step
from shared.contracts.tailored import SubmitTailoredRequest, TailoredRequest
from shared.contracts.tailored_events import TailoredRequestProposed

_INSERT = text(
    """
    insert into tailored_request (tailored_request_id, asked, agent_id, version, state, submitted_at, answer_due_at)
    values (:tailored_request_id, cast(:asked as jsonb), :agent_id, :version, :state, :submitted_at, :answer_due_at)
    on conflict (tailored_request_id) do nothing returning 1
    """
)
_ASKED = text("select cast(asked as text) from tailored_request where tailored_request_id = :tailored_request_id")
_LOCK = text("select 1 from tailored_request where tailored_request_id = :tailored_request_id for update")
_LOCK_OF_SESSION = text("select tailored_request_id from tailored_request where session_id = :session_id for update")
_SAVE = text(
    """
    update tailored_request
    set version = :version, state = :state, answer_due_at = :answer_due_at, priority = :priority, round = coalesce(:round, round),
        proposals_expire_at = :proposals_expire_at, agreed_proposal_id = :agreed_proposal_id, session_id = :session_id,
        session_ends_at = :session_ends_at, closes_at = :closes_at, reason = :reason, redirection = :redirection
    where tailored_request_id = :tailored_request_id
    """
)
_PROPOSE = text(
    """
    insert into proposal (proposal_id, tailored_request_id, round, position, state, content)
    values (:proposal_id, :tailored_request_id, :round, :position, :state, cast(:content as jsonb))
    on conflict (proposal_id) do nothing returning 1
    """
)
_ANSWERED = text("update proposal set state = :state where proposal_id = :proposal_id and state <> :state")

COLUMNS = {
    "tailored_request_id", "version", "state", "answer_due_at", "priority", "proposals_expire_at", "agreed_proposal_id", "session_id",
    "session_ends_at", "closes_at", "reason", "redirection",
}  # fmt: skip


async def insert(tx: AsyncConnection, asked: SubmitTailoredRequest, request: TailoredRequest) -> bool:
    """False when the id is taken."""
    columns = {"tailored_request_id", "agent_id", "version", "state", "submitted_at", "answer_due_at"}
    values = request.model_dump(include=columns) | {"asked": asked.model_dump_json()}
    return await tx.scalar(_INSERT, values) is not None


async def read_asked(tx: AsyncConnection, tailored_request_id: UUID) -> SubmitTailoredRequest:
    """The request that made this one."""
    return SubmitTailoredRequest.model_validate_json(await tx.scalar(_ASKED, {"tailored_request_id": tailored_request_id}))


async def lock(tx: AsyncConnection, tailored_request_id: UUID) -> TailoredRequest | None:
    """Two statements on purpose: after waiting for the lock, a single one would see the request of now with the proposals of before."""
    if await tx.scalar(_LOCK, {"tailored_request_id": tailored_request_id}) is None:
        return None
    return await queries.read(tx, tailored_request_id)


async def lock_of_session(tx: AsyncConnection, session_id: UUID) -> TailoredRequest | None:
    """The request that waits for, or has, this private session."""
    found = await tx.scalar(_LOCK_OF_SESSION, {"session_id": session_id})
    return await queries.read(tx, found) if found else None


async def save(tx: AsyncConnection, step: Step) -> None:
    """What the step made of the request and of its proposals."""
    if isinstance(step.fact, TailoredRequestProposed):
        await _propose(tx, step.after)
        await write(tx, step.after, round=step.after.version)
    else:
        await write(tx, step.after)
        for each in step.after.proposals:
            await tx.execute(_ANSWERED, {"proposal_id": each.proposal_id, "state": each.state})


async def write(tx: AsyncConnection, request: TailoredRequest, **values: Any) -> None:
    await tx.execute(_SAVE, {"round": None, **request.model_dump(include=COLUMNS), **values})


async def _propose(tx: AsyncConnection, request: TailoredRequest) -> None:
    for position, each in enumerate(request.proposals, start=1):
        values = {
            "proposal_id": each.proposal_id,
            "tailored_request_id": request.tailored_request_id,
            "round": request.version,
            "position": position,
            "state": each.state,
            "content": each.model_dump_json(exclude={"state"}),
        }
        if await tx.scalar(_PROPOSE, values) is None:
            raise ProposalExists(f"proposal {each.proposal_id}")

"""Tailored requests through the API: an agent's own, and for the lab everybody's. Each order is booking's to decide."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeVar
from uuid import UUID, uuid5

from fastapi import APIRouter, Body, Header, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.bookings import LONGEST_KEY, key_of
from services.gateway.api.models import NoMembers
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.web.etags import tagged
from shared.contracts.catalog import ActivityType, Text
from shared.contracts.framing import ExportFramingNote, FramingNote, GetFramingNote, WriteFramingNote
from shared.contracts.messages import Message
from shared.contracts.messages import Request as Order
from shared.contracts.tailored import (
    AgreeToProposal,
    CloseTailoredRequest,
    DeclineTailoredRequest,
    FrameTailoredRequest,
    GetTailoredRequest,
    ListTailoredRequests,
    NewProposal,
    ProposeDates,
    Reason,
    RequestState,
    SubmitTailoredRequest,
    TailoredRequest,
    TailoredRequestList,
    WithdrawTailoredRequest,
)

ReplyT = TypeVar("ReplyT", bound=Message)
Nothing = Annotated[NoMembers | None, Body()]
Limit = Annotated[int, Query(ge=1, le=200)]
Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)]

READS = ("not_signed_in", "token_invalid", "not_allowed", "tailored_request_unknown")
CHANGES = (*READS, "tailored_request_moved_on", "idempotency_key_in_use", "contended")

router = APIRouter(tags=["demandes à la carte"])


class Wish(BaseModel):
    """What an agent asks for, for their own administration."""

    model_config = {"extra": "forbid"}

    activity_type: Literal[ActivityType.LABTOUR, ActivityType.WORKSHOP_SUPPORT]
    wishes: Annotated[str, Field(min_length=3, max_length=4000)]
    participants: Annotated[int, Field(ge=1, le=500)]
    access_needs: Annotated[str, Field(max_length=1000)] = ""
    earliest: date
    latest: date
    """The last day that suits, inclusive."""


class Dates(BaseModel):
    """One to three dates, in the order of preference."""

    proposals: Annotated[tuple[NewProposal, ...], Field(min_length=1, max_length=3)]


class Declining(BaseModel):
    """Why not, and what instead."""

    reason: Reason
    redirection: Reason


class Note(BaseModel):
    """The next version of the note, and the version that it was written upon."""

    based_on: Annotated[int, Field(ge=1)]
    objective: Text
    decision_rights: Text
    participants: Text
    deliverables: Text
    constraints: Text


@router.post("/tailored-requests", status_code=201, response_model=TailoredRequest, responses=refusals(*CHANGES, "period_invalid"))
async def submit(request: Request, wish: Wish, _key: Key = None) -> Response:
    """Ask for a labtour or the support of a workshop. The same Idempotency-Key makes one request."""
    principal = await desk_of(request).door.signed_in(request)
    key = key_of(request)
    order = SubmitTailoredRequest(
        tailored_request_id=uuid5(principal.agent_id, key),
        agent_id=principal.agent_id,
        org_unit=principal.agent.org_unit,
        **wish.model_dump(),
    )
    made = await desk_of(request).bus.ask(order, principal.caller(key))
    headers = {"Location": f"/api/v1/tailored-requests/{made.tailored_request_id}", "Cache-Control": "no-store"}
    return Response(made.model_dump_json(), 201, headers, "application/json")


@router.get("/me/tailored-requests", response_model=TailoredRequestList, responses=refusals(*READS))
async def list_own(request: Request) -> Response:
    """The signed-in agent's requests."""
    principal = await desk_of(request).door.signed_in(request)
    return tagged(request, await _ask(request, ListTailoredRequests(agent_id=principal.agent_id)))


@router.get("/lab/tailored-requests", response_model=TailoredRequestList, responses=refusals(*READS))
async def list_all(request: Request, *, state: RequestState | None = None, overdue: bool = False, limit: Limit = 100) -> Response:
    """Everybody's, for the lab: what it owes first comes first. `overdue`: only those whose answer is late."""
    return tagged(request, await _ask(request, ListTailoredRequests(state=state, overdue=overdue, limit=limit)))


@router.get("/tailored-requests/{request_id}", response_model=TailoredRequest, responses=refusals(*READS))
async def get_request(request: Request, request_id: UUID) -> Response:
    return tagged(request, await _ask(request, GetTailoredRequest(tailored_request_id=request_id)))


@router.post("/tailored-requests/{request_id}/frame", response_model=TailoredRequest, responses=refusals(*CHANGES))
async def frame(request: Request, request_id: UUID, _body: Nothing = None, _key: Key = None) -> Response:
    """The lab takes the request up: a framing note is there to be written together."""
    return await _change(request, FrameTailoredRequest(tailored_request_id=request_id))


@router.post(
    "/tailored-requests/{request_id}/proposals",
    response_model=TailoredRequest,
    responses=refusals(*CHANGES, "proposals_open", "proposal_exists", "periods_invalid", "proposal_past"),
)
async def propose(request: Request, request_id: UUID, dates: Dates, _key: Key = None) -> Response:
    """The lab proposes dates; their hosts are asked by mail."""
    return await _change(request, ProposeDates(tailored_request_id=request_id, proposals=dates.proposals))


@router.post(
    "/tailored-requests/{request_id}/proposals/{proposal_id}/agree",
    response_model=TailoredRequest,
    responses=refusals(
        *CHANGES, "proposal_unknown", "proposal_expired", "proposal_past", "host_not_confirmed", "proposal_answered", "proposal_over"
    ),
)
async def agree(request: Request, request_id: UUID, proposal_id: UUID, _body: Nothing = None, _key: Key = None) -> Response:
    """Take one of the dates. `agreed` turns to `scheduled` within a moment, or back with a `reason`."""
    return await _change(request, AgreeToProposal(tailored_request_id=request_id, proposal_id=proposal_id))


@router.post("/tailored-requests/{request_id}/decline", response_model=TailoredRequest, responses=refusals(*CHANGES))
async def decline(request: Request, request_id: UUID, words: Declining, _key: Key = None) -> Response:
    """The lab says no, why, and where to turn instead."""
    return await _change(request, DeclineTailoredRequest(tailored_request_id=request_id, **words.model_dump()))


@router.post("/tailored-requests/{request_id}/withdraw", response_model=TailoredRequest, responses=refusals(*CHANGES))
async def withdraw(request: Request, request_id: UUID, _body: Nothing = None, _key: Key = None) -> Response:
    """Give the request up, and its private session with it."""
    return await _change(request, WithdrawTailoredRequest(tailored_request_id=request_id))


@router.post("/tailored-requests/{request_id}/close", response_model=TailoredRequest, responses=refusals(*CHANGES))
async def close(request: Request, request_id: UUID, _body: Nothing = None, _key: Key = None) -> Response:
    """Close a request that was held."""
    return await _change(request, CloseTailoredRequest(tailored_request_id=request_id))


@router.get("/tailored-requests/{request_id}/framing-note", response_model=FramingNote, responses=refusals(*READS, "framing_note_unknown"))
async def get_note(request: Request, request_id: UUID) -> Response:
    return tagged(request, await _ask(request, GetFramingNote(tailored_request_id=request_id)))


@router.post(
    "/tailored-requests/{request_id}/framing-note/versions",
    response_model=FramingNote,
    responses=refusals(*CHANGES, "framing_note_unknown", "framing_note_conflict"),
)
async def write_note(request: Request, request_id: UUID, note: Note, _key: Key = None) -> Response:
    """Write the next version; `framing_note_conflict` carries the present `version` when somebody was faster."""
    return await _change(request, WriteFramingNote(tailored_request_id=request_id, **note.model_dump()))


@router.get(
    "/tailored-requests/{request_id}/framing-note.md",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}} | refusals(*READS, "framing_note_unknown"),
)
async def export_note(request: Request, request_id: UUID) -> Response:
    """The note as Markdown, for a document of La Suite."""
    found = await _ask(request, ExportFramingNote(tailored_request_id=request_id))
    headers = {"Content-Disposition": f'attachment; filename="{found.file_name}"', "Cache-Control": "no-store"}
    return Response(found.markdown, 200, headers, "text/markdown; charset=utf-8")


async def _ask(request: Request, order: Order[ReplyT]) -> ReplyT:
    principal = await desk_of(request).door.signed_in(request)
    return await desk_of(request).bus.ask(order, principal.caller())


async def _change(request: Request, order: Order[ReplyT]) -> Response:
    principal = await desk_of(request).door.signed_in(request)
    done = await desk_of(request).bus.ask(order, principal.caller(key_of(request)))
    return Response(done.model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")

"""Whether a session takes place, for the lab, through the API (M3)."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.bookings import LONGEST_KEY, key_of
from services.gateway.api.models import A_SESSION
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.web.etags import tagged
from shared.contracts.quorum import GetQuorum, KeepDespiteQuorum, QuorumReport

router = APIRouter(tags=["programme"])

READS = ("not_signed_in", "token_invalid", "not_allowed", "session_not_ready", "quorum_unknown")


class QuorumItem(QuorumReport):
    """What is decided by the number of seats taken, and when."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"session_id": A_SESSION, "needed": 10, "taken": 4, "decides_at": "2027-03-24T08:00:00Z", "state": "open"}
            ]
        }
    )  # fmt: skip


class Keeping(BaseModel):
    """Why the session takes place all the same."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "Le lieu est réservé et le formateur en route."}]})

    reason: str = Field(min_length=3, max_length=1000)


@router.get("/lab/sessions/{session_id}/quorum", response_model=QuorumItem, responses=refusals(*READS))
async def get_quorum(request: Request, session_id: UUID) -> Response:
    """Seats needed and seats taken, for the lab. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetQuorum(session_id=session_id), principal.caller()))


@router.post(
    "/lab/sessions/{session_id}/quorum/keep",
    response_model=QuorumItem,
    responses=refusals(
        *READS, "quorum_already_decided", "session_started", "session_is_cancelled", "idempotency_key_in_use", "contended"
    ),
)  # fmt: skip
async def keep_despite_quorum(
    request: Request,
    session_id: UUID,
    why: Keeping,
    _idempotency_key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)] = None,
) -> Response:
    """However few come, the session takes place. For the lab, until the decision is made."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    order = KeepDespiteQuorum(session_id=session_id, reason=why.reason)
    kept = await desk.bus.ask(order, principal.caller(key_of(request)))
    return Response(kept.model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")

"""Who comes with a group, through the API: its contact says it, by the addresses of their colleagues."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.bookings import key_of
from services.gateway.api.groups import OVER, RETRIED, SIGNED_IN, GroupItem, IfMatch, Key
from services.gateway.api.models import BookingItem
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.programme.seats import colleagues_of
from services.gateway.web.etags import expected_version, version_tag
from shared.contracts.groups import GetGroup
from shared.contracts.names import NameSeats, TransferSeat

router = APIRouter(tags=["groupes"])

Email = Annotated[str, Field(min_length=3, max_length=254)]


class Names(BaseModel):
    """Who comes, by the addresses they sign in with."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"agent_emails": ["loire.saule@exemple.invalid"]}]})

    agent_emails: Annotated[tuple[Email, ...], Field(min_length=1, max_length=200)]


class Newcomer(BaseModel):
    """Who takes a seat over."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"agent_email": "loire.saule@exemple.invalid"}]})

    agent_email: Email


@router.post(
    "/groups/{group_id}/names",
    response_model=GroupItem,
    responses=refusals(
        *SIGNED_IN, *RETRIED, *OVER, "group_unknown", "group_not_active", "agent_unknown", "too_many_names",
        "named_elsewhere", "named_is_busy",
        "version_conflict",
    ),
)  # fmt: skip
async def name_seats(request: Request, group_id: UUID, body: Names, _idempotency_key: Key = None, _if_match: IfMatch = None) -> Response:
    """Agents for seats that have no name, before `names_due_at`: all of them, or nobody. Each gets a confirmation.

    Agents of one's own service; the lab names anybody. Who had a seat already has one still, and the other one is free.
    """
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    await desk.bus.ask(GetGroup(group_id=group_id), principal.caller())  # addresses are looked up for its contact only
    async with desk.database.connect() as connection:
        agents = await colleagues_of(connection, principal, body.agent_emails)
    order = NameSeats(group_id=group_id, agent_ids=tuple(agents), expected_version=expected_version(request))
    group = await desk.bus.ask(order, principal.caller(key_of(request)))
    return Response(group.model_dump_json(), 200, {"ETag": version_tag(group), "Cache-Control": "no-store"}, "application/json")


@router.post(
    "/groups/{group_id}/members/{booking_id}/transfer",
    response_model=BookingItem,
    responses=refusals(
        *SIGNED_IN, *RETRIED, *OVER, "group_unknown", "booking_unknown", "booking_not_active", "agent_unknown", "seat_of_no_group",
        "transfer_too_late", "other_org_unit", "org_unit_unknown", "named_elsewhere", "named_is_busy",
    ),
)  # fmt: skip
async def transfer_seat(request: Request, group_id: UUID, booking_id: UUID, body: Newcomer, _idempotency_key: Key = None) -> Response:
    """Another agent of the same service on a seat of the group, until two hours before: both are written to. Answers the new booking."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    await desk.bus.ask(GetGroup(group_id=group_id), principal.caller())
    async with desk.database.connect() as connection:
        (agent_id,) = await colleagues_of(connection, principal, [body.agent_email])
    booking = await desk.bus.ask(TransferSeat(booking_id=booking_id, agent_id=agent_id), principal.caller(key_of(request)))
    return Response(booking.model_dump_json(), 200, {"ETag": version_tag(booking), "Cache-Control": "no-store"}, "application/json")

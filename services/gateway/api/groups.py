"""Groups through the API: who signs in is their contact."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Header
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.bookings import LONGEST_KEY, PREFIX, key_of
from services.gateway.api.models import A_SESSION, AN_AGENT, NoMembers
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.programme.seats import ask_for_group
from services.gateway.web.etags import expected_version, tagged, version_tag
from shared.contracts.groups import (
    AcceptGroupOffer,
    BookGroup,
    CancelGroup,
    DeclineGroupOffer,
    GetGroup,
    GroupBooking,
    GroupChoice,
    GroupSize,
    ListGroups,
    ResizeGroup,
)
from shared.contracts.messages import Request as Order

router = APIRouter(tags=["groupes"])

_GROUP: dict[str, Any] = {
    "group_id": "0192f3c4-6666-7666-8666-666666666666",
    "session_id": A_SESSION,
    "contact_agent_id": AN_AGENT,
    "state": "waiting",
    "choice": "all_or_nothing",
    "seats_needed": 14,
    "seats_unnamed": 0,
    "seats_named": 0,
    "seats_awaited": 14,
    "seats_held": 12,
    "session_sequence": 14,
    "version": 2,
    "requested_at": "2027-03-01T08:12:45Z",
    "rank": 1,
    "waiting": 3,
    "holds_until": "2027-03-08T08:12:45Z",
    "offer": None,
    "reason": "rang 1, places libres le 1er mars 2027 à 9 h 12",
    "bypasses": [],
}


class GroupItem(GroupBooking):
    """Seats for several people: those the group has, those kept for it, those it waits for."""

    model_config = ConfigDict(json_schema_extra={"examples": [_GROUP]})


class GroupItems(BaseModel):
    """Newest first, ended ones included."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"groups": [_GROUP]}]})

    groups: tuple[GroupItem, ...]


class NewGroup(BaseModel):
    """How many seats, and what the group wants when there are fewer: said now, never decided for it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"seats_needed": 14, "choice": "all_or_nothing"}]})

    seats_needed: GroupSize
    choice: GroupChoice = GroupChoice.ALL_OR_NOTHING


class NewSize(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"seats_needed": 12}]})

    seats_needed: Annotated[int, Field(ge=1, le=200)]


Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="ETag of the group: refuse if it has changed since.", json_schema_extra={"example": '"1"'}),
]
SIGNED_IN = ("not_signed_in", "token_invalid")
RETRIED = ("idempotency_key_in_use", "contended")
OVER = ("session_started", "session_is_cancelled")


@router.post(
    "/sessions/{session_id}/groups",
    status_code=201,
    response_model=GroupItem,
    responses=refusals(
        *SIGNED_IN, *RETRIED, *OVER, "session_unknown", "session_not_ready", "booking_not_open_yet", "booking_closed", "group_too_large",
        "group_exists",
    ),
)  # fmt: skip
async def book_group(request: Request, session_id: UUID, body: NewGroup, _idempotency_key: Key = None) -> Response:
    """Seats for a group whose contact is who signs in, or a place in the queue: look at `state`.

    With `all_or_nothing` seats are kept until there are enough, and after five working days a part is offered; with `partial` what is free
    is the group's at once. Groups have at most half of the seats of an open session (`group_too_large`, with `most`).
    """
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    order = BookGroup(session_id=session_id, contact_agent_id=principal.agent_id, seats_needed=body.seats_needed, choice=body.choice)
    group = await ask_for_group(desk.bus, order, principal.caller(key_of(request)))
    return _answer(group, 201, {"Location": f"{PREFIX}/groups/{group.group_id}"})


@router.get("/me/groups", response_model=GroupItems, responses=refusals(*SIGNED_IN))
async def list_groups(request: Request) -> Response:
    """The groups whose contact is who signs in. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(ListGroups(contact_agent_id=principal.agent_id, limit=200), principal.caller()))


@router.get("/groups/{group_id}", response_model=GroupItem, responses=refusals(*SIGNED_IN, "group_unknown"))
async def get_group(request: Request, group_id: UUID) -> Response:
    """With its rank now, what is kept for it, and each time that others went first (`bypasses`). Its ETag is for `If-Match`."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    group = await desk.bus.ask(GetGroup(group_id=group_id), principal.caller())
    return tagged(request, group, etag=version_tag(group))


@router.post(
    "/groups/{group_id}/resize",
    response_model=GroupItem,
    responses=refusals(
        *SIGNED_IN, *RETRIED, *OVER, "group_unknown", "group_not_active", "group_too_large", "group_cannot_grow", "group_has_more_names",
        "booking_closed", "version_conflict",
    ),
)  # fmt: skip
async def resize_group(
    request: Request, group_id: UUID, body: NewSize, _idempotency_key: Key = None, _if_match: IfMatch = None
) -> Response:
    """Fewer seats: those that are awaited go first. More: only seats that are free now (`group_cannot_grow`, with `seats_free`)."""
    order = ResizeGroup(group_id=group_id, seats_needed=body.seats_needed, expected_version=expected_version(request))
    return await _ask(request, order)


@router.post(
    "/groups/{group_id}/cancel",
    response_model=GroupItem,
    responses=refusals(*SIGNED_IN, *RETRIED, *OVER, "group_unknown", "group_not_active", "version_conflict"),
)
async def cancel_group(
    request: Request,
    group_id: UUID,
    _body: Annotated[NoMembers | None, Body()] = None,
    _idempotency_key: Key = None,
    _if_match: IfMatch = None,
) -> Response:
    """Give all seats of the group back, and leave the queue."""
    return await _ask(request, CancelGroup(group_id=group_id, expected_version=expected_version(request)))


OFFER = refusals(*SIGNED_IN, *RETRIED, *OVER, "group_unknown", "group_offer_unknown", "group_offer_expired")


@router.post("/groups/{group_id}/offer/accept", response_model=GroupItem, responses=OFFER)
async def accept_group_offer(
    request: Request, group_id: UUID, _body: Annotated[NoMembers | None, Body()] = None, _idempotency_key: Key = None
) -> Response:
    """Take the part that is offered; the group keeps its rank for the rest."""
    return await _ask(request, AcceptGroupOffer(group_id=group_id))


@router.post("/groups/{group_id}/offer/decline", response_model=GroupItem, responses=OFFER)
async def decline_group_offer(
    request: Request, group_id: UUID, _body: Annotated[NoMembers | None, Body()] = None, _idempotency_key: Key = None
) -> Response:
    """Leave the part that is offered to those behind; the group keeps its rank for all of its seats."""
    return await _ask(request, DeclineGroupOffer(group_id=group_id))


async def _ask(request: Request, order: Order[GroupBooking]) -> Response:
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return _answer(await desk.bus.ask(order, principal.caller(key_of(request))), 200, {})


def _answer(group: GroupBooking, status: int, headers: dict[str, str]) -> Response:
    headers |= {"ETag": version_tag(group), "Cache-Control": "no-store"}
    return Response(group.model_dump_json(), status, headers, "application/json")

"""What an agent is written to about, and how to come to a session, through the API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header
from pydantic import ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.bookings import LONGEST_KEY, key_of
from services.gateway.api.models import AN_AGENT
from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.web.etags import expected_version, tagged
from shared.contracts.bounces import GetReachability
from shared.contracts.messages import Message
from shared.contracts.notify import DeliveryList, ListDeliveries
from shared.contracts.preferences import Choices, GetPreferences, Preferences, SetPreferences
from shared.contracts.reminders import GetJoiningInstructions, GiveJoiningInstructions, HowToCome, JoiningInstructions

router = APIRouter(tags=["messages"])

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=LONGEST_KEY)]


class PreferencesChange(Choices):
    """What is left out stays. Mails about one's own seats and projects cannot be switched off, so there is no member for them."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"news": "digest", "themes": ["Prise de parole"]}]})


class PreferencesItem(Preferences):
    """How the agent is written to: at once, gathered, or not at all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"agent_id": AN_AGENT, "version": 1, "news": "digest"}]})


@router.get("/me/preferences", response_model=PreferencesItem, responses=refusals("not_signed_in", "token_invalid"))
async def get_preferences(request: Request) -> Response:
    """What the signed-in agent wants to be written to about. Its ETag is its version, for `If-Match`."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    found = await desk.bus.ask(GetPreferences(agent_id=principal.agent_id), principal.caller())
    return tagged(request, found, etag=f'"{found.version}"')


@router.put(
    "/me/preferences",
    response_model=PreferencesItem,
    responses=refusals("not_signed_in", "token_invalid", "version_conflict", "idempotency_key_in_use", "contended"),
)
async def set_preferences(
    request: Request,
    change: PreferencesChange,
    _idempotency_key: Key = None,
    _if_match: Annotated[str | None, Header(alias="If-Match", json_schema_extra={"example": '"1"'})] = None,
) -> Response:
    """Choose anew."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    order = SetPreferences(agent_id=principal.agent_id, expected_version=expected_version(request), **dict(change))
    return _answer(await desk.bus.ask(order, principal.caller(key_of(request))))


class Mails(DeliveryList):
    """Newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"deliveries": []}]})

    undeliverable_since: datetime | None = Field(
        default=None, description="When a server refused the agent's address for good; null while it works."
    )


@router.get("/me/mails", response_model=Mails, responses=refusals("not_signed_in", "token_invalid"))
async def list_mails(request: Request) -> Response:
    """The newest mails to the signed-in agent and what became of each: `bounced` ones never arrived. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    found = await desk.bus.ask(ListDeliveries(agent_id=principal.agent_id), principal.caller())
    reach = await desk.bus.ask(GetReachability(agent_id=principal.agent_id), principal.caller())
    return tagged(request, Mails(deliveries=found.deliveries, undeliverable_since=reach.undeliverable_since))


class HowToComeChange(HowToCome):
    """Replaces all that was said before."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"bring": "un carnet", "access": "Sonner à « Atelier ».", "video_url": None}]}
    )


class HowToComeItem(JoiningInstructions):
    """For those whose seat is confirmed, and for the lab."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"session_id": "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6", "version": 1, "bring": "un carnet"}]}
    )


JOINING = "/joining-instructions/{session_id}"


@router.get(
    JOINING, response_model=HowToComeItem, responses=refusals("not_signed_in", "token_invalid", "seat_not_confirmed", "session_not_ready")
)
async def get_joining_instructions(request: Request, session_id: UUID) -> Response:
    """What to bring, how to get in, the video link; empty where the lab has said nothing yet. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetJoiningInstructions(session_id=session_id), principal.caller()))


@router.put(
    JOINING,
    response_model=HowToComeItem,
    responses=refusals("not_signed_in", "token_invalid", "not_allowed", "session_not_ready", "idempotency_key_in_use", "contended"),
)
async def give_joining_instructions(request: Request, session_id: UUID, change: HowToComeChange, _idempotency_key: Key = None) -> Response:
    """Say it, or say it anew. For the lab's team."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    await desk.bus.ask(GiveJoiningInstructions(session_id=session_id, **dict(change)), principal.caller(key_of(request)))
    return _answer(await desk.bus.ask(GetJoiningInstructions(session_id=session_id), principal.caller()))


def _answer(found: Message) -> Response:
    return Response(found.model_dump_json(), 200, {"Cache-Control": "no-store"}, "application/json")

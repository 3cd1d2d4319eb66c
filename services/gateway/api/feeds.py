"""Personal calendar feeds: opened, listed and closed through the API, and read by calendars at an address that holds a secret (K4)."""

from __future__ import annotations

import hashlib
import secrets
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.programme.queries import ANYBODY
from services.gateway.web.etags import tagged, tags_of
from shared.contracts.feeds import CalendarFeed, CalendarFeedList, CloseCalendarFeed, ListCalendarFeeds, OpenCalendarFeed, ReadCalendarFeed
from shared.outbox import uuid7

SECRET_BYTES = 24
A_FEED = "0192f3c4-4444-7444-8444-444444444444"
_FEED: dict[str, Any] = {"feed_id": A_FEED, "label": "téléphone", "created_at": "2027-03-01T08:12:45Z", "last_used_at": None}

router = APIRouter(tags=["calendriers"])


class NewFeed(BaseModel):
    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"label": "téléphone"}]})

    label: Annotated[str, Field(min_length=1, max_length=60, description="For you: which device it is for.")]


class OpenedFeed(CalendarFeed):
    model_config = ConfigDict(json_schema_extra={"examples": [_FEED | {"url": "https://lab-o.exemple.invalid/calendriers/secret.ics"}]})

    url: str = Field(description="For the calendar to subscribe to. Shown once: only its hash is kept. Whoever has it sees your sessions.")


class Feeds(CalendarFeedList):
    """Oldest first, each with when it was last read."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"feeds": [_FEED]}]})


@router.get("/me/calendar-feeds", response_model=Feeds, responses=refusals("not_signed_in", "token_invalid"))
async def list_feeds(request: Request) -> Response:
    """The signed-in agent's feeds. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(ListCalendarFeeds(agent_id=principal.agent_id), principal.caller()))


@router.post(
    "/me/calendar-feeds",
    status_code=201,
    response_model=OpenedFeed,
    responses=refusals("not_signed_in", "token_invalid", "calendar_feeds_too_many", "contended"),
)
async def open_feed(request: Request, feed: NewFeed) -> Response:
    """A new address for one device. Each call makes another one, whatever its Idempotency-Key: no reply that holds a secret is kept."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    secret = secrets.token_urlsafe(SECRET_BYTES)
    order = OpenCalendarFeed(agent_id=principal.agent_id, label=feed.label, token_hash=_hash(secret))
    opened = await desk.bus.ask(order, principal.caller(str(uuid7())))
    body = OpenedFeed(**dict(opened), url=desk.settings.page(f"/calendriers/{secret}.ics"))
    return Response(body.model_dump_json(), 201, {"Cache-Control": "no-store"}, "application/json")


@router.delete(
    "/me/calendar-feeds/{feed_id}",
    status_code=204,
    responses=refusals("not_signed_in", "token_invalid", "calendar_feed_unknown", "contended"),
)
async def close_feed(request: Request, feed_id: UUID) -> Response:
    """End it: its address answers no more."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    await desk.bus.ask(CloseCalendarFeed(feed_id=feed_id), principal.caller(str(uuid7())))
    return Response(status_code=204)


async def read_feed(request: Request) -> Response:
    """For calendar programs: no sign-in, the address is the right to read."""
    desk = desk_of(request)
    await desk.door.principal(request)  # counted like everybody
    known = [tag.strip('"') for tag in tags_of(request.headers.get("if-none-match"))][:20]
    order = ReadCalendarFeed(token_hash=_hash(request.path_params["secret"]), known_etags=tuple(known))
    found = await desk.bus.ask(order, ANYBODY)
    headers = {"ETag": f'"{found.etag}"', "Cache-Control": "private, no-cache", "X-Robots-Tag": "noindex"}
    if found.etag in known:
        return Response(status_code=304, headers=headers)
    return Response(found.calendar, headers=headers, media_type="text/calendar; charset=utf-8")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


routes = [Route("/calendriers/{secret}.ics", read_feed)]

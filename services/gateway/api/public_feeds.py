"""The public programme for programs that subscribe: iCalendar, Atom, JSON Feed. The same for everybody, without a sign-in."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.openapi import refusals
from services.gateway.desk import desk_of
from services.gateway.feeds.addresses import ATOM, CALENDAR, JSON, address
from services.gateway.feeds.atom import atom
from services.gateway.feeds.calendar import calendar
from services.gateway.feeds.json_feed import json_feed
from services.gateway.feeds.queries import Feed, read
from services.gateway.programme.queries import Filters, start_of
from services.gateway.web.etags import kept_since
from shared.contracts.catalog import ActivityType, DeliveryMode

router = APIRouter(tags=["programme"])


def chosen(
    *,
    activity_type: ActivityType | None = None,
    delivery_mode: DeliveryMode | None = None,
    department: Annotated[str | None, Query(pattern="^([0-9]{2}|2[AB])$", description="Code of the département, such as `31`.")] = None,
    theme: Annotated[str | None, Query(max_length=100, description="As sessions name it.")] = None,
    q: Annotated[str, Query(max_length=200, description="Words, all of which must be found.")] = "",
) -> Filters:
    return Filters(start_of(None), activity_type, delivery_mode, department, q, theme=theme)


Chosen = Annotated[Filters, Depends(chosen)]


def described(media_type: str) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {200: {"content": {media_type: {}}}}
    return found | refusals("token_invalid")


@router.get("/programme.ics", response_class=Response, responses=described(CALENDAR))
async def read_calendar(request: Request, filters: Chosen) -> Response:
    """The next sessions as a calendar to subscribe to, cancelled ones included as such. ETag and Last-Modified."""
    feed = await _feed(request, filters, CALENDAR)
    return kept_since(request, calendar(feed).encode(), CALENDAR, feed.changed_at)


@router.get("/programme.atom", response_class=Response, responses=described(ATOM))
async def read_atom(request: Request, filters: Chosen) -> Response:
    """The next sessions as an Atom feed (RFC 4287). ETag and Last-Modified."""
    feed = await _feed(request, filters, ATOM)
    return kept_since(request, atom(feed), ATOM, feed.changed_at)


@router.get("/programme.json", response_class=Response, responses=described(JSON))
async def read_json_feed(request: Request, filters: Chosen) -> Response:
    """The next sessions as a JSON Feed 1.1. ETag and Last-Modified."""
    feed = await _feed(request, filters, JSON)
    return kept_since(request, json_feed(feed), JSON, feed.changed_at)


async def _feed(request: Request, filters: Filters, media_type: str) -> Feed:
    desk = desk_of(request)
    await desk.door.principal(request)  # counted like everybody
    async with desk.database.connect() as connection:
        return await read(connection, filters, desk.settings.page(address(filters, media_type)), desk.settings.page("/"))

"""The programme and the signed-in agent through the API."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.models import FacetCounts, Me, SessionItem, SessionPage
from services.gateway.api.openapi import refusals
from services.gateway.demand import handlers as demand
from services.gateway.desk import desk_of
from services.gateway.programme import queries
from services.gateway.programme.queries import Filters
from services.gateway.web.etags import tagged
from shared import clock
from shared.contracts.catalog import ActivityType, DeliveryMode
from shared.contracts.projects import GetPortfolio, Portfolio

Day = Annotated[date, Field(ge=date(2000, 1, 1), le=date(2200, 1, 1))]

programme = APIRouter(tags=["programme"])
me = APIRouter(tags=["agent"])


@programme.get("/sessions", response_model=SessionPage, responses=refusals("cursor_invalid", "token_invalid"))
async def list_sessions(
    request: Request,
    *,
    activity_type: ActivityType | None = None,
    delivery_mode: DeliveryMode | None = None,
    department: Annotated[str | None, Query(pattern="^([0-9]{2}|2[AB])$", description="Code of the département, such as `31`.")] = None,
    since: Annotated[Day | None, Query(alias="from", description="First day, in Paris; today if absent.")] = None,
    q: Annotated[str, Query(max_length=200, description="Words, accents and case do not matter; all must be found.")] = "",
    until: Annotated[Day | None, Query(alias="to", description="Last day, in Paris.")] = None,
    theme: Annotated[str | None, Query(max_length=100, description="As sessions name it.")] = None,
    facets: Annotated[bool, Query(description="Count the sessions of each type, mode, département and theme.")] = False,
    free: Annotated[bool, Query(description="Only sessions that have a seat left.")] = False,
    cursor: Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
) -> Response:
    """Sessions in order of their start, cancelled ones included. Works without any other service.

    A search that finds nothing is recorded, without a person, as a wish that the lab reads.
    """
    desk = desk_of(request)
    await desk.door.principal(request)
    end = queries.start_of(until + timedelta(days=1)) if until else None
    filters = Filters(queries.start_of(since), activity_type, delivery_mode, department, q, free, theme, end)
    async with desk.database.connect() as connection:
        page = await queries.list_sessions(connection, filters, limit=limit, cursor=cursor)
        counts = FacetCounts(**asdict(await queries.read_facets(connection, filters))) if facets else None
    if not page.sessions and cursor is None:
        await demand.heard(desk, request, filters)
    now = clock.now()
    items = tuple(SessionItem.of(each, now) for each in page.sessions)
    return tagged(request, SessionPage(sessions=items, next_cursor=page.next_cursor, near=page.near, facets=counts), shared=True)


@programme.get("/sessions/{session_id}", response_model=SessionItem, responses=refusals("session_unknown", "token_invalid"))
async def get_session(request: Request, session_id: UUID) -> Response:
    """One session of the programme, whatever its date. Has an ETag."""
    desk = desk_of(request)
    await desk.door.principal(request)
    async with desk.database.connect() as connection:
        found = await queries.find_session(connection, session_id, desk.bus)
    return tagged(request, SessionItem.of(found, clock.now()), shared=True)


@me.get("/me", response_model=Me, responses=refusals("not_signed_in", "token_invalid"))
async def get_me(request: Request) -> Response:
    """Who is asking."""
    principal = await desk_of(request).door.signed_in(request)
    return tagged(request, Me.of(principal.agent))


@me.get("/me/projects", response_model=Portfolio, responses=refusals("not_signed_in", "token_invalid"))
async def get_projects(request: Request) -> Response:
    """Applications and engagements that the signed-in agent leads or coaches, newest first."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    return tagged(request, await desk.bus.ask(GetPortfolio(agent_id=principal.agent_id), principal.caller()))

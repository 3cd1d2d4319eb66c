"""Engagements: started from an accepted application, told in a logbook, closed with an outcome."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.projects.calls import queries as calls_queries
from services.projects.calls import store as calls_store
from services.projects.calls.domain import ApplicationUnknown
from services.projects.engagements import domain, queries, store
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.projects import AddLogbookEntry, CloseEngagement, Engagement, GetEngagement, GetPortfolio, Portfolio, StartEngagement
from shared.database import Database
from shared.requests import Requests

requests = Requests()


@requests.command(StartEngagement)
async def start_engagement(request: StartEngagement, caller: Caller, tx: AsyncConnection) -> Engagement:
    domain.check_may_start(caller.roles)
    if (application := await calls_store.lock_application(tx, request.application_id)) is None:
        raise ApplicationUnknown(f"no application {request.application_id}")
    earlier = await queries.read_engagement(tx, request.engagement_id)
    if earlier is not None and domain.is_what_was_asked(earlier, request):
        return earlier
    engagement, fact = domain.start(request, application)
    if not await store.insert_engagement(tx, engagement):
        raise domain.EngagementExists(f"engagement {request.engagement_id} is of another application")
    await outbox.record(tx, fact, cause=caller)
    return engagement


@requests.command(AddLogbookEntry)
async def add_logbook_entry(request: AddLogbookEntry, caller: Caller, tx: AsyncConnection) -> Engagement:
    before = await _lock_engagement(tx, request.engagement_id, caller)
    author_id = domain.author_of_entry(caller.actor)
    if (earlier := await store.read_entry(tx, request.entry_id)) is not None:
        if earlier != (request, author_id):
            raise domain.EntryExists(f"entry {request.entry_id} has another content, author or engagement")
        return before
    engagement, fact = domain.add_entry(before, request, author_id, clock.now())
    if not await store.insert_entry(tx, engagement):
        raise domain.EntryExists(f"entry {request.entry_id} was just written in another engagement")
    await outbox.record(tx, fact, cause=caller)
    return engagement


@requests.command(CloseEngagement)
async def close_engagement(request: CloseEngagement, caller: Caller, tx: AsyncConnection) -> Engagement:
    before = await _lock_engagement(tx, request.engagement_id, caller)
    domain.check_may_close(before, caller.actor, caller.roles)
    engagement, fact = domain.close(before, request, clock.now())
    await store.record_closing(tx, engagement)
    await outbox.record(tx, fact, cause=caller)
    return engagement


@requests.query(GetEngagement)
async def get_engagement(request: GetEngagement, caller: Caller, database: Database) -> Engagement:
    async with database.connect() as connection:
        return _seen(await queries.read_engagement(connection, request.engagement_id), request.engagement_id, caller)


@requests.query(GetPortfolio)
async def get_portfolio(request: GetPortfolio, caller: Caller, database: Database) -> Portfolio:
    domain.check_may_list(request.agent_id, caller.actor, caller.roles)
    async with database.connect() as connection:
        applications = await calls_queries.applications_of(connection, request.agent_id)
        engagements = await queries.engagements_of(connection, request.agent_id)
    return Portfolio(applications=applications, engagements=engagements)


async def _lock_engagement(tx: AsyncConnection, engagement_id: UUID, caller: Caller) -> Engagement:
    return _seen(await store.lock_engagement(tx, engagement_id), engagement_id, caller)


def _seen(engagement: Engagement | None, engagement_id: UUID, caller: Caller) -> Engagement:
    if engagement is None or not domain.has_part_in(engagement, caller.actor, caller.roles):
        raise domain.EngagementUnknown(f"engagement {engagement_id}")
    return engagement

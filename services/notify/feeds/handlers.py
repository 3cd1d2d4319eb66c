"""Personal calendar feeds: opened and closed by their agent, read by whoever knows the secret of their address (K4)."""

from __future__ import annotations

import hashlib
from functools import cache
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.feeds import store
from services.notify.feeds.calendar import personal
from services.notify.feeds.domain import AT_MOST, FeedUnknown, TooManyFeeds, shown
from services.notify.mail.letters import Links
from services.notify.settings import NotifySettings
from shared import clock, telemetry
from shared.bus import Caller
from shared.contracts.feeds import (
    CalendarFeed,
    CalendarFeedContent,
    CalendarFeedList,
    CloseCalendarFeed,
    ListCalendarFeeds,
    OpenCalendarFeed,
    ReadCalendarFeed,
)
from shared.contracts.messages import Acknowledged
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests

requests = Requests()


@cache
def settings() -> NotifySettings:
    return NotifySettings()


@requests.query(ListCalendarFeeds)
async def list_calendar_feeds(request: ListCalendarFeeds, caller: Caller, database: Database) -> CalendarFeedList:
    _is_their_own(caller, request.agent_id)
    async with database.connect() as connection:
        return CalendarFeedList(feeds=tuple(await store.of_agent(connection, request.agent_id)))


@requests.command(OpenCalendarFeed)
async def open_calendar_feed(request: OpenCalendarFeed, caller: Caller, tx: AsyncConnection) -> CalendarFeed:
    _is_their_own(caller, request.agent_id)
    if len(await store.of_agent_locked(tx, request.agent_id)) >= AT_MOST:
        raise TooManyFeeds(f"agent {request.agent_id}")
    feed = await store.open_feed(tx, request)
    telemetry.log.info("calendar_feed_opened", agent_id=str(request.agent_id), feed_id=str(feed.feed_id))
    return feed


@requests.command(CloseCalendarFeed)
async def close_calendar_feed(request: CloseCalendarFeed, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    owner = None if caller.has("operator") else _agent(caller)
    if not await store.close_feed(tx, request.feed_id, owner):
        raise FeedUnknown(f"feed {request.feed_id}")
    telemetry.log.info("calendar_feed_closed", feed_id=str(request.feed_id))
    return Acknowledged(version=2)


@requests.query(ReadCalendarFeed)
async def read_calendar_feed(request: ReadCalendarFeed, caller: Caller, database: Database) -> CalendarFeedContent:  # noqa: ARG001
    """Who asks does not matter: the secret is the right to read."""
    async with database.begin() as tx:
        agent_id = await store.used_by(tx, request.token_hash)
        if agent_id is None:
            raise FeedUnknown("no feed has this secret")
        seats = shown(await store.seats(tx, agent_id), clock.now())
    own = settings()
    content = personal(seats, agent_id, Links.of(own.portal_url, own.link_secret), own.mail_sender)
    etag = hashlib.sha256(content.encode()).hexdigest()[:32]
    return CalendarFeedContent(etag=etag, calendar="" if etag in request.known_etags else content)


def _is_their_own(caller: Caller, agent_id: UUID) -> None:
    if not caller.is_agent(agent_id) and not caller.has("operator"):
        raise NotAllowed("a feed is its agent's own")


def _agent(caller: Caller) -> UUID:
    try:
        return UUID(caller.actor)
    except ValueError:
        raise FeedUnknown("neither an agent nor an operator") from None

"""What catalog answers: lock, decide, record, answer. It hears no event."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import domain, queries, store
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.catalog import (
    AddHost,
    AddVenue,
    CancelSession,
    DraftActivity,
    GetSession,
    ListSessions,
    PublishActivity,
    RescheduleSession,
    ScheduleSession,
    SessionList,
    SessionState,
)
from shared.contracts.messages import Acknowledged
from shared.database import Database
from shared.requests import Requests

requests = Requests()


@requests.command(AddHost)
async def add_host(request: AddHost, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    domain.check_may_write(caller.roles)
    if not await store.insert_host(tx, request) and await store.read_host(tx, request.host_id) != request:
        raise domain.HostExists(f"host {request.host_id} has another name or kind")
    return Acknowledged(version=1)


@requests.command(AddVenue)
async def add_venue(request: AddVenue, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    domain.check_may_write(caller.roles)
    await _host_must_exist(tx, request.host_id)
    if not await store.insert_venue(tx, request) and await store.read_venue(tx, request.venue_id) != request:
        raise domain.VenueExists(f"venue {request.venue_id} has another description")
    return Acknowledged(version=1)


@requests.command(DraftActivity)
async def draft_activity(request: DraftActivity, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    domain.check_may_write(caller.roles)
    domain.check_details(request.activity_type, request.details)
    if request.host_id:
        await _host_must_exist(tx, request.host_id)
    await store.insert_activity(tx, request)
    activity = await _lock_activity(tx, request.activity_id)
    if (await store.read_activity_asked(tx, request.activity_id) or activity.content) != request:
        raise domain.ActivityExists(f"activity {request.activity_id} has another content")
    return Acknowledged(version=activity.version)


@requests.command(PublishActivity)
async def publish_activity(request: PublishActivity, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    domain.check_may_write(caller.roles)
    fact = domain.publish(await _lock_activity(tx, request.activity_id))
    await store.publish_activity(tx, fact.activity_id, fact.version)
    await outbox.record(tx, fact, cause=caller)
    return Acknowledged(version=fact.version)


@requests.command(ScheduleSession)
async def schedule_session(request: ScheduleSession, caller: Caller, tx: AsyncConnection) -> SessionState:
    domain.check_may_write(caller.roles)
    activity = await _lock_activity(tx, request.activity_id)
    asked = await store.read_asked(tx, request.session_id)
    if asked == request:
        return await _read_session(tx, request.session_id)
    if asked is not None:
        raise domain.SessionExists(f"session {request.session_id} was asked for with another content")
    venue = await _venue(tx, request.venue_id)
    fact = domain.schedule(request, activity, venue, now=clock.now(), past_allowed=domain.may_record_past(caller.roles))
    if not await store.insert_session(tx, request, fact.session):
        raise domain.SessionExists(f"session {request.session_id} was just made for another activity")
    await outbox.record(tx, fact, cause=caller)
    return fact.session


@requests.command(RescheduleSession)
async def reschedule_session(request: RescheduleSession, caller: Caller, tx: AsyncConnection) -> SessionState:
    domain.check_may_write(caller.roles)
    before = await _lock_session(tx, request.session_id)
    if await store.is_archived(tx, before.activity_id):
        raise domain.ActivityIsArchived(f"activity {before.activity_id}")
    venue = await _venue(tx, request.venue_id or (before.venue.venue_id if before.venue else None))
    fact = domain.reschedule(before, request, venue, now=clock.now(), past_allowed=domain.may_record_past(caller.roles))
    await store.change_session(tx, before, fact.session)
    await outbox.record(tx, fact, cause=caller)
    return fact.session


@requests.command(CancelSession)
async def cancel_session(request: CancelSession, caller: Caller, tx: AsyncConnection) -> SessionState:
    domain.check_may_write(caller.roles)
    before = await _lock_session(tx, request.session_id)
    fact = domain.cancel(before, request.reason)
    if fact is None:
        return before
    await store.change_session(tx, before, fact.session)
    await outbox.record(tx, fact, cause=caller)
    return fact.session


@requests.query(GetSession)
async def get_session(request: GetSession, _caller: Caller, database: Database) -> SessionState:
    async with database.connect() as connection:
        return await _read_session(connection, request.session_id)


@requests.query(ListSessions)
async def list_sessions(request: ListSessions, _caller: Caller, database: Database) -> SessionList:
    async with database.connect() as connection:
        return await queries.list_sessions(connection, request)


async def _host_must_exist(tx: AsyncConnection, host_id: UUID) -> None:
    if await store.read_host(tx, host_id) is None:
        raise domain.HostUnknown(f"no host {host_id}")


async def _venue(tx: AsyncConnection, venue_id: UUID | None) -> domain.Venue | None:
    if venue_id is None:
        return None
    if (venue := await store.venue_for_rules(tx, venue_id)) is None:
        raise domain.VenueUnknown(f"no venue {venue_id}")
    return venue


async def _lock_activity(tx: AsyncConnection, activity_id: UUID) -> domain.Activity:
    if (activity := await store.lock_activity(tx, activity_id)) is None:
        raise domain.ActivityUnknown(f"no activity {activity_id}")
    return activity


async def _lock_session(tx: AsyncConnection, session_id: UUID) -> SessionState:
    if (session := await store.lock_session(tx, session_id)) is None:
        raise domain.SessionUnknown(f"no session {session_id}")
    return session


async def _read_session(connection: AsyncConnection, session_id: UUID) -> SessionState:
    if (session := await queries.read_session(connection, session_id)) is None:
        raise domain.SessionUnknown(f"no session {session_id}")
    return session

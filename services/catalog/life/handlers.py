"""An activity looked at by the lab, edited, archived. Whoever changes one locks it, as whoever gives it a session does."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import store as activities
from services.catalog.activities.domain import Activity, ActivityUnknown, check_may_write
from services.catalog.life import domain, queries, store
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.activities import ActivityState, ArchiveActivity, EditActivity, GetActivity
from shared.database import Database
from shared.requests import Requests

requests = Requests()


@requests.query(GetActivity)
async def get_activity(request: GetActivity, caller: Caller, database: Database) -> ActivityState:
    check_may_write(caller.roles)
    async with database.connect() as connection:
        if (found := await activities.read_activity(connection, request.activity_id)) is None:
            raise ActivityUnknown(f"no activity {request.activity_id}")
        return domain.state(found)


@requests.command(EditActivity)
async def edit_activity(request: EditActivity, caller: Caller, tx: AsyncConnection) -> ActivityState:
    check_may_write(caller.roles)
    before = await _lock(tx, request.activity_id)
    after = domain.edit(before, request)
    if after.revision != before.revision:
        await store.write(tx, after)
    if after.version != before.version:
        await outbox.record(tx, domain.edited(after), cause=caller)
    return domain.state(after)


@requests.command(ArchiveActivity)
async def archive_activity(request: ArchiveActivity, caller: Caller, tx: AsyncConnection) -> ActivityState:
    check_may_write(caller.roles)
    before = await _lock(tx, request.activity_id)
    after = domain.archive(before, await queries.to_come(tx, request.activity_id, clock.now()))
    if after.version != before.version:
        await store.archive(tx, after)
        await outbox.record(tx, domain.archived(after), cause=caller)
    return domain.state(after)


async def _lock(tx: AsyncConnection, activity_id: UUID) -> Activity:
    if (activity := await activities.lock_activity(tx, activity_id)) is None:
        raise ActivityUnknown(f"no activity {activity_id}")
    return activity

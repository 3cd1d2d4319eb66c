"""How many seats are taken and left, asked and told."""

from __future__ import annotations

import asyncio

from services.booking.availability import store
from services.booking.seats import queries
from shared import clock, outbox, telemetry
from shared.bus import Caller
from shared.contracts.availability import AvailabilityList, GetAvailability
from shared.database import Database
from shared.requests import Requests
from shared.service import Context

requests = Requests()

ANNOUNCING_SECONDS = 0.5
ANNOUNCED_AT_ONCE = 100  # counters are an estimate for lists: under a rush they lag a little rather than fill the outbox


@requests.query(GetAvailability)
async def get_availability(request: GetAvailability, _: Caller, database: Database) -> AvailabilityList:
    async with database.connect() as connection:
        return AvailabilityList(sessions=await queries.availability(connection, request.session_ids))


async def announce_availability(context: Context) -> None:
    """Tell the counters of the sessions that changed, and look whether they agree with the rows they count (`queries.audit`)."""
    while True:
        async with context.database.begin() as tx:
            announcements = await store.announce(tx, ANNOUNCED_AT_ONCE)
            await outbox.record(tx, *announcements)
            if announcements:
                for finding in await queries.audit(tx, clock.now(), [each.session_id for each in announcements]):
                    telemetry.log.error("audit_failed", session_id=str(finding.session_id), finding=finding.code)
        await asyncio.sleep(ANNOUNCING_SECONDS)

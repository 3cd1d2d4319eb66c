"""The standing audit: what must never be is looked for all the time, and kept for an operator for as long as it is so.

It only reads what it judges, in one snapshot: what it finds is wrong, not merely under way.
"""

from __future__ import annotations

import asyncio

from services.booking.audit import store
from services.booking.seats import queries
from services.booking.seats.queries import Finding
from shared import clock, telemetry
from shared.database import Database
from shared.service import Context
from shared.timers import beat

EVERY_SECONDS = 60.0  # beside it, a session is judged whenever its counters are announced
LOOP = "audit"


async def watch_invariants(context: Context) -> None:
    """For ever; each replica looks for itself, and they write the same."""
    while True:
        await look(context.database)
        await asyncio.sleep(EVERY_SECONDS)


async def look(database: Database) -> list[Finding]:
    """Judge the sessions that are not long over, and keep what is found instead of what was found before."""
    async with database.connect() as snapshot:
        found = await queries.audit(snapshot, clock.now(), await store.watched(snapshot, clock.now()))
    async with database.begin() as tx:
        for finding in await store.keep(tx, found):
            telemetry.log.error("audit_failed", session_id=str(finding.session_id), finding=finding.code)
    telemetry.AUDIT_FINDINGS.set(len(found))
    await beat(database, LOOP)
    return found

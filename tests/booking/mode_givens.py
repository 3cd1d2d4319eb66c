"""Hybrid sessions under test: the counters of both modes, and a change from one to the other."""

from __future__ import annotations

from uuid import UUID

from services.booking.modes.handlers import follow_in_the_other_mode
from services.booking.seats import queries
from shared.bus import Caller
from shared.contracts.availability import Availability
from shared.contracts.booking import Booking
from shared.contracts.modes import ChangeMode
from shared.database import Database
from tests.booking.given import (
    agent,
)


async def counted(database: Database, session_id: UUID) -> tuple[tuple[int, int], tuple[int, int]]:
    """Held and waiting, in the room and at a distance."""
    found = await available(database, session_id)
    assert found.remote is not None
    return (found.held, found.waiting), (found.remote.held, found.remote.waiting)


async def available(database: Database, session_id: UUID) -> Availability:
    async with database.connect() as connection:
        (found,) = await queries.availability(connection, [session_id])
    return found


async def change(
    database: Database, booking: Booking, *, remote: bool, caller: Caller | None = None, expected_version: int | None = None
) -> Booking:
    request = ChangeMode(booking_id=booking.booking_id, remote=remote, expected_version=expected_version)
    async with database.begin() as tx:
        return await follow_in_the_other_mode(request, caller or agent(booking.agent_id), tx)

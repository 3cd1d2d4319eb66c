"""Counters told to the world: an estimate, coalesced, never in the way of a booking (E7)."""

from __future__ import annotations

import asyncio
import json
import time
from asyncio import gather
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from sqlalchemy import text
from structlog.testing import capture_logs

from services.booking.availability import handlers
from services.booking.availability import store as availability
from services.booking.seats import store
from shared.bus import Bus
from shared.contracts.availability import SessionAvailabilityChanged
from shared.database import Database
from shared.service import Context
from shared.settings import Settings
from tests.booking.given import book, counters, given_session


async def announce(booking: Database) -> list[SessionAvailabilityChanged]:
    async with booking.begin() as tx:
        return await availability.announce(tx, 100)


async def a_second_later(booking: Database) -> None:
    async with booking.begin() as tx:
        await tx.execute(text("update announcement set announced_at = announced_at - interval '1 second'"))


async def test_a_new_session_is_announced_once(booking: Database) -> None:
    session_id = await given_session(booking, capacity=10)

    (said,) = await announce(booking)

    assert (said.session_id, said.version, said.capacity, said.held, said.waiting) == (session_id, 1, 10, 0, 0)
    await a_second_later(booking)
    assert await announce(booking) == []


async def test_many_changes_within_a_second_are_one_announcement(booking: Database) -> None:
    session_id = await given_session(booking, capacity=2)
    await announce(booking)
    for _ in range(5):
        await book(booking, session_id)

    assert await announce(booking) == [], "less than a second after the last one"
    await a_second_later(booking)
    (said,) = await announce(booking)

    assert (said.version, said.held, said.waiting) == (2, 2, 3)


async def test_two_replicas_never_announce_the_same_change_twice(booking: Database) -> None:
    for _ in range(20):
        await given_session(booking)

    said = await gather(*(announce(booking) for _ in range(6)))

    assert len({each.session_id for some in said for each in some}) == sum(len(some) for some in said) == 20


async def test_a_replica_that_announces_keeps_no_other_waiting(booking: Database) -> None:
    await given_session(booking)

    async with booking.begin() as first:
        assert len(await availability.announce(first, 100)) == 1
        assert await asyncio.wait_for(announce(booking), 1) == []


async def test_announcing_waits_for_no_lock_of_a_session(booking: Database) -> None:
    session_id = await given_session(booking)

    async with booking.begin() as busy:
        await store.lock_session(busy, session_id)
        (said,) = await asyncio.wait_for(announce(booking), 1)

    assert said.session_id == session_id


async def test_the_loop_tells_audits_and_stops_at_once(
    booking: Database, postgres_settings: Callable[..., Settings], eventually: Callable[..., Any]
) -> None:
    session_id = await given_session(booking, capacity=3)
    await book(booking, session_id)
    async with booking.begin() as tx:
        await tx.execute(text("update booking set state = 'left'"))
    context = Context(postgres_settings("booking"), booking, cast("Bus", None))
    with capture_logs() as lines:
        loop = asyncio.ensure_future(handlers.announce_availability(context))

        async def told() -> Any:
            async with booking.connect() as connection:
                return await connection.scalar(text("select convert_from(payload, 'UTF8') from outbox where aggregate_type = 'session'"))

        body = json.loads(await eventually(told))
    assert (body["session_id"], body["held"], body["version"]) == (str(session_id), 1, 1)
    assert {"event": "audit_failed", "finding": "held_is_not_the_number_of_seats_given"}.items() <= lines[0].items()

    stopping = time.monotonic()
    loop.cancel()
    with suppress(asyncio.CancelledError):
        await loop
    assert time.monotonic() - stopping < 0.2
    assert await counters(booking, session_id) == (3, 1, 0)

"""What the loops of notify share: they look when something was committed and when time has passed, and are patient with the database."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.database import Database, is_infrastructure

PAUSE_SECONDS = 0.1  # between two looks: each walks through what waits, and in a rush every batch of bookings wakes us
POLL_SECONDS = 1.0  # for what becomes due by waiting, and what another replica wrote
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.2, 5.0

Begin = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


async def keep_looking(database: Database, look: Callable[[], Awaitable[None]], woken: asyncio.Event, name: str) -> None:
    """`look` at once, after every commit of this process, and every second. A database that is away is waited for."""
    database.after_commit.append(woken.set)
    try:
        while True:
            woken.clear()
            try:
                await look()
            except Exception as error:
                if not is_infrastructure(error):
                    raise
                telemetry.log.warning("loop_without_database", loop=name, error=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):  # wait_for swallows a cancellation that comes with the wake: no stop
                    await woken.wait()
            await asyncio.sleep(PAUSE_SECONDS)
    finally:
        database.after_commit.remove(woken.set)


async def commit(begin: Begin, step: Callable[[AsyncConnection], Awaitable[object]]) -> None:
    """What became of a message is worth waiting for the database: forgotten, nobody would know."""
    pause = RETRY_SECONDS
    while True:
        try:
            async with begin() as tx:
                await step(tx)
            return
        except Exception as error:
            if not is_infrastructure(error):
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, LONGEST_RETRY_SECONDS)


async def drain(out: Collection[asyncio.Task[Any]], seconds: float) -> None:
    """Let what is on its way end, and cancel what does not end in time."""
    if out:
        await asyncio.wait(out, timeout=seconds)
    stragglers = list(out)
    for task in stragglers:
        task.cancel()
    await asyncio.gather(*stragglers, return_exceptions=True)

"""The four services that a load asks, in this process, on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from services.booking.availability import handlers as availability
from services.booking.framing import handlers as framing
from services.booking.groups import handlers as groups
from services.booking.requests import handlers as tailored
from services.booking.seats import handlers as seats
from services.catalog.activities import handlers as activities
from services.catalog.agreements import handlers as agreements
from services.catalog.changes import handlers as changes
from services.catalog.series import handlers as series
from services.gateway.directory import handlers as directory
from services.projects.calls import handlers as calls
from services.projects.engagements import handlers as engagements
from shared import clock
from shared.bus import Bus
from shared.consumers import Consumers, Inlet
from shared.database import Database
from shared.listening import Listener
from shared.relay import Relay
from shared.requests import Requests, Responder
from shared.settings import Settings

DEMONSTRATION = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)
SERVED: dict[str, tuple[list[Requests], list[Consumers]]] = {
    "catalog": ([activities.requests, series.requests, changes.requests], [changes.events, agreements.events]),
    "booking": (
        [seats.requests, availability.requests, groups.requests, tailored.requests, framing.requests],
        [seats.events, tailored.events],
    ),
    "projects": ([calls.requests, engagements.requests], []),
    "gateway": ([directory.requests], []),
}


@dataclass
class Stack:
    operator: Bus
    databases: dict[str, Database]


async def serve(name: str, settings_for: Callable[..., Settings], stack: AsyncExitStack) -> Database:
    """One service: it answers, publishes and hears until the stack is left."""
    requests, events = SERVED[name]
    settings = settings_for(name)
    database, bus = Database.of(settings), await Bus.connect(settings)
    stack.push_async_callback(database.dispose)
    stack.push_async_callback(bus.close)
    responder = Responder(bus, database, requests)
    await responder.start()
    stack.push_async_callback(responder.drain)
    listener = Listener(settings, bus, [Inlet(consumer, database) for heard in events for consumer in heard.all])
    loops = [asyncio.create_task(Relay(database, bus, f"EVT_{name.upper()}").run()), asyncio.create_task(listener.run())]

    async def stop() -> None:
        await listener.stop()
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    stack.push_async_callback(stop)
    return database


@pytest.fixture
async def start(settings_for: Callable[..., Settings]) -> AsyncIterator[Callable[..., Awaitable[Stack]]]:
    """`await start("catalog", "booking", …)`: those services, on the day of the demonstration, and the operator's connection."""
    clock.shift(DEMONSTRATION - datetime.now(UTC), "embedded")
    async with AsyncExitStack() as stack:

        async def run(*names: str) -> Stack:
            operator = await Bus.connect(settings_for("operator", postgres_password=""), user="operator")
            stack.push_async_callback(operator.close)
            return Stack(operator, {name: await serve(name, settings_for, stack) for name in names})

        yield run

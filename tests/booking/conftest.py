from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress

import pytest

from services.booking.groups import handlers as groups
from services.booking.seats import handlers
from shared.bus import Bus
from shared.consumers import Inlet
from shared.database import Database
from shared.listening import Listener
from shared.relay import Relay
from shared.requests import Responder
from shared.settings import Settings
from tests.booking import given


@pytest.fixture(autouse=True)
def clock_goes_on() -> Iterator[None]:
    yield
    given.HANDS.undo()


@pytest.fixture
async def booking(database: Callable[[str], Awaitable[Database]]) -> Database:
    """Booking's own schema in a fresh database."""
    return await database("booking")


@pytest.fixture
async def replicas(settings_for: Callable[..., Settings]) -> AsyncIterator[list[Responder]]:
    """Two replicas of the service answer on the bus, so that groups really meet at the locks; both listen and publish."""
    async with AsyncExitStack() as stack:
        started: list[Responder] = []
        for _ in range(2):
            settings = settings_for("booking")
            database = Database.of(settings)
            stack.push_async_callback(database.dispose)
            bus = await Bus.connect(settings)
            stack.push_async_callback(bus.close)
            responder = Responder(bus, database, [handlers.requests, groups.requests], at_once=256)
            await responder.start()
            stack.push_async_callback(responder.drain)
            listener = Listener(settings, bus, [Inlet(consumer, database) for consumer in handlers.events.all])
            for loop in (listener.run(), Relay(database, bus, "EVT_BOOKING").run()):
                _until_the_end(stack, loop)
            stack.push_async_callback(listener.stop)
            started.append(responder)
        yield started


@pytest.fixture
async def catalog(settings_for: Callable[..., Settings]) -> AsyncIterator[Database]:
    """Catalog's database, with the relay that publishes what is recorded there."""
    settings = settings_for("catalog")
    database = Database.of(settings)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(database.dispose)
        bus = await Bus.connect(settings)
        stack.push_async_callback(bus.close)
        _until_the_end(stack, Relay(database, bus, "EVT_CATALOG").run())
        yield database


@pytest.fixture
async def gateway(settings_for: Callable[..., Settings]) -> AsyncIterator[Bus]:
    """The bus as the gateway sees it: it may ask, and may speak for agents."""
    bus = await Bus.connect(settings_for("gateway"))
    yield bus
    await bus.close()


def _until_the_end(stack: AsyncExitStack, loop: Awaitable[None]) -> None:
    task = asyncio.ensure_future(loop)

    async def stop() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    stack.push_async_callback(stop)

"""The kernel is proved on a service of its own making: booking's schema, messages made for the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

import pytest

from shared.bus import Bus
from shared.consumers import Consumers, Inlet
from shared.database import Database
from shared.listening import Listener
from shared.relay import Relay
from shared.requests import Requests, Responder
from shared.settings import Settings


@dataclass
class Kernel:
    """Starts kernel parts as one service process would, and stops them with the test."""

    settings_for: Callable[..., Settings]
    stack: AsyncExitStack

    async def bus(self, service: str) -> Bus:
        bus = await Bus.connect(self.settings_for(service))
        self.stack.push_async_callback(bus.close)
        return bus

    async def database(self, service: str) -> Database:
        database = Database.of(self.settings_for(service))
        self.stack.push_async_callback(database.dispose)
        return database

    async def serve(self, service: str, *requests: Requests, at_once: int = 256) -> tuple[Responder, Database]:
        database = await self.database(service)
        responder = Responder(await self.bus(service), database, requests, at_once=at_once)
        await responder.start()
        self.stack.push_async_callback(responder.drain)
        return responder, database

    async def relay(self, service: str, database: Database | None = None) -> Relay:
        relay = Relay(database or await self.database(service), await self.bus(service), f"EVT_{service.upper()}")
        self.background(relay.run())
        return relay

    async def listen(self, service: str, consumers: Consumers, *, patience: float = 900.0) -> tuple[Listener, Database]:
        database = await self.database(service)
        inlets = [Inlet(consumer, database, patience=patience) for consumer in consumers.all]
        listener = Listener(self.settings_for(service), await self.bus(service), inlets)
        task = self.background(listener.run())

        async def stop() -> None:
            await listener.stop()
            task.cancel()

        self.stack.push_async_callback(stop)
        return listener, database

    def background(self, work: Awaitable[None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)

        async def stop() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.stack.push_async_callback(stop)
        return task


@pytest.fixture
async def kernel(settings_for: Callable[..., Settings]) -> AsyncIterator[Kernel]:
    async with AsyncExitStack() as stack:
        yield Kernel(settings_for, stack)

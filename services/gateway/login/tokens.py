"""Whose bearer token this is: kept in memory for a moment, and looked up by the crowd rather than one by one."""

from __future__ import annotations

import asyncio
import time

from services.gateway.directory.domain import Agent
from services.gateway.login import store
from shared.database import Database

CACHE_SECONDS = 30.0  # a revoked token may serve this long in a process that has just seen it
CACHE_SIZE = 10_000


class Tokens:
    """While one look-up is under way the next gather and share a query: 200 agents at a process that has just started take two."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[bytes, tuple[Agent, float]] = {}
        self._waiting: list[tuple[bytes, asyncio.Future[Agent | None]]] = []
        self._worker: asyncio.Task[None] | None = None

    def known(self, key: bytes) -> Agent | None:
        """The agent of a token that was looked up a moment ago."""
        hit = self._known.get(key)
        return hit[0] if hit and hit[1] > time.monotonic() else None

    async def find(self, key: bytes) -> Agent | None:
        """The agent of a token by its hash; None when it is unknown, expired or revoked."""
        answer: asyncio.Future[Agent | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, []
                found = await self._look_up([key for key, _ in asked])
                for key, answer in asked:
                    if answer.done():  # whoever asked is gone
                        continue
                    if isinstance(found, Exception):
                        answer.set_exception(found)
                    else:
                        answer.set_result(found.get(key))
        finally:
            self._worker = None

    async def _look_up(self, keys: list[bytes]) -> dict[bytes, Agent] | Exception:
        try:
            async with self._database.connect() as connection:
                rows = await store.token_agents(connection, keys)
        except Exception as error:
            return error
        if len(self._known) + len(rows) > CACHE_SIZE:
            self._known.clear()
        now = time.monotonic()
        self._known |= {key: (agent, now + min(CACHE_SECONDS, lives_on)) for key, (agent, lives_on) in rows.items()}
        for key in keys:
            if key not in rows:
                self._known.pop(key, None)
        return {key: agent for key, (agent, _) in rows.items()}

"""The monolith as a peer: started beside the others, in the same PostgreSQL, with one worker or two."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.child import free_port, is_taken
from tests.bench.house import AGENTS, REGULARS, SEATS, SESSIONS, WrongCount
from tests.bench.load import Plan, Result, run_load
from tests.bench.monolith import Base

SCHEMA = "afternoon"
_COUNTS = f"""
select (select count(*) from {SCHEMA}.booking), (select coalesce(sum(taken), 0)::bigint from {SCHEMA}.session), (select count(*) from {SCHEMA}.mail)
"""  # noqa: E501


class Monolith:
    def __init__(self, database: AsyncEngine) -> None:
        self._database = database
        self._agents = [str(uuid4()) for _ in range(AGENTS)]
        self._sessions: list[str] = []
        self._ports: dict[int, int] = {}
        self._next = 0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Monolith]:
        """Two servers, one of one worker and one of two; only the one that is asked works."""
        async with self._database.begin() as tx:
            await tx.execute(text(f"create schema {SCHEMA}"))
            await tx.execute(text(f"set local search_path to {SCHEMA}"))
            await tx.run_sync(Base.metadata.create_all)
        self._sessions = [str(each) for each in await self._open(SESSIONS)]
        url = self._database.url.render_as_string(hide_password=False)
        processes = [await self._start(url, workers) for workers in (1, 2)]
        try:
            yield self
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                await process.wait()

    async def _start(self, url: str, workers: int) -> asyncio.subprocess.Process:
        port = self._ports[workers] = free_port()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "uvicorn", "tests.bench.monolith:app", "--port", str(port), "--workers", str(workers),
            "--no-access-log", "--log-level", "warning",
            env=os.environ | {"DATABASE_URL": url, "DATABASE_SCHEMA": SCHEMA},
        )  # fmt: skip
        while not is_taken(port):
            assert process.returncode is None, "the monolith does not start"
            await asyncio.sleep(0.1)
        await run_load(Plan(port=port, style="ping", path="/ping", callers=8, seconds=0.5))
        return process

    async def _open(self, number: int) -> list[UUID]:
        sessions = [uuid4() for _ in range(number)]
        async with self._database.begin() as tx:
            await tx.execute(
                text(
                    f"insert into {SCHEMA}.session (id, capacity, taken) select id, :seats, 0 from unnest(cast(:ids as uuid[])) as new(id)"
                ),
                {"ids": sessions, "seats": SEATS},
            )
        return sessions

    async def book(self, workers: int, callers: int, *, hot: bool = False, seconds: float = 3.0) -> Result:
        sessions = [str(each) for each in await self._open(1)] if hot else self._sessions
        agents = self._agents if hot else self._agents[:REGULARS]
        before = await self._counts()
        plan = Plan(
            port=self._ports[workers], style="monolith", callers=callers, seconds=seconds, sessions=sessions, agents=agents,
            first=0 if hot else self._next,
        )  # fmt: skip
        result = await run_load(plan)
        if not hot:
            self._next = result.next
        after = await self._counts()
        if any(now - then != result.answered for now, then in zip(after, before, strict=True)) or result.other:
            raise WrongCount(f"monolith: {result}, before {before}, after {after}")
        return result

    async def _counts(self) -> tuple[int, ...]:
        async with self._database.connect() as connection:
            return tuple((await connection.execute(text(_COUNTS))).one())

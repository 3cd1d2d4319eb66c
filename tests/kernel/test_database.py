"""Which errors are the weather's, and which are somebody's fault."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.database import constraint_of, is_infrastructure, is_lock_timeout
from tests.kernel.conftest import Kernel


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        FileNotFoundError(),
        TimeoutError(),
        asyncpg.InternalClientError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.AdminShutdownError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.CannotConnectNowError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_weather(error: Exception) -> None:
    assert is_infrastructure(error)


@pytest.mark.parametrize(
    "error",
    [RuntimeError(), KeyError(), ValueError(), asyncpg.UniqueViolationError(), asyncpg.UndefinedTableError(), asyncpg.DataError()],
    ids=lambda error: type(error).__name__,
)
def test_faults(error: Exception) -> None:
    assert not is_infrastructure(error)


def test_a_bug_in_the_handling_of_bad_weather_is_still_a_bug() -> None:
    with pytest.raises(KeyError) as bug:
        try:
            raise ConnectionResetError
        except ConnectionResetError:
            {}["missing"]

    assert not is_infrastructure(bug.value)


async def test_a_killed_backend_is_weather_and_the_next_statement_works(kernel: Kernel) -> None:
    database = await kernel.database("booking")
    with pytest.raises(DBAPIError) as killed:
        async with database.begin() as tx:
            await tx.execute(text("select pg_terminate_backend(pg_backend_pid())"))

    assert is_infrastructure(killed.value)
    await database.ping()


async def test_a_broken_constraint_is_named(kernel: Kernel) -> None:
    database = await kernel.database("booking")
    insert = text("insert into heartbeat values ('twice', now())")
    with pytest.raises(DBAPIError) as twice:
        async with database.begin() as tx:
            await tx.execute(insert)
            await tx.execute(insert)

    assert constraint_of(twice.value) == "heartbeat_pkey"
    assert not is_infrastructure(twice.value)


async def test_a_lock_that_is_not_to_be_had_is_told_apart(kernel: Kernel) -> None:
    database = await kernel.database("booking")
    async with database.begin() as holder:
        await holder.execute(text("lock table heartbeat in access exclusive mode"))
        with pytest.raises(DBAPIError) as waited:
            async with database.begin() as tx:
                await tx.execute(text("set local lock_timeout = '20ms'"))
                await tx.execute(text("lock table heartbeat in access exclusive mode"))

    assert is_lock_timeout(waited.value)


async def test_what_was_registered_runs_after_a_commit_and_not_after_a_rollback(kernel: Kernel) -> None:
    database, calls = await kernel.database("booking"), list[str]()
    call: Callable[[], None] = lambda: calls.append("committed")  # noqa: E731
    database.after_commit.append(call)

    with pytest.raises(RuntimeError):
        async with database.begin():
            raise RuntimeError
    assert calls == []
    async with database.begin():
        assert calls == []
    assert calls == ["committed"]


async def test_a_cancelled_transaction_gives_its_connection_back(kernel: Kernel) -> None:
    database = await kernel.database("booking")

    async def stuck() -> None:
        async with database.begin() as tx:
            await tx.execute(text("select pg_sleep(30)"))

    for _ in range(20):  # more often than the pool has connections
        task = asyncio.create_task(stuck())
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    await database.ping()

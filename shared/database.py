"""Postgres for one service: engine, transactions that wake the relay once committed, and which errors are the weather's."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy import URL, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.settings import Settings

SERVER_SETTINGS = {
    "statement_timeout": "5s",
    "lock_timeout": "3s",  # B1: then 409, retryable
    "idle_in_transaction_session_timeout": "10s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "jit": "off",
    "timezone": "UTC",
}

IDLE_SECONDS = 5.0  # a connection unused for longer is asked whether it still works; each time (`pool_pre_ping`) cost 0.4 ms a request

# Classes of SQLSTATE that say "not now", never "not like this": connection, resources, operator intervention, system, deadlock, lock.
_TRANSIENT_CLASSES = ("08", "53", "57", "58", "40")
_TRANSIENT_STATES = ("55P03", "25P03", "25P04")


class Database:
    """The service's own schema, through its own role.

    `begin()` opens a transaction and commits it at the end of the block; what was registered with `after_commit` runs then.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.after_commit: list[Callable[[], None]] = []

    @classmethod
    def of(cls, settings: Settings) -> Database:
        url = URL.create(
            "postgresql+asyncpg",
            username=settings.service,
            password=settings.postgres_password.get_secret_value(),
            host=settings.postgres_host,
            port=settings.postgres_port,
            database=settings.postgres_database,
        )
        engine = create_async_engine(
            url,
            pool_size=settings.postgres_pool,
            max_overflow=0,
            pool_timeout=3,
            hide_parameters=True,  # they would stand in every error, log and trace (P4)
            connect_args={
                "server_settings": SERVER_SETTINGS | {"application_name": f"labo.{settings.service}"},
                "timeout": 3,
                "command_timeout": 6,
            },
        )
        _doubt_idle_connections(engine)
        return cls(engine)

    async def raw_connection(self, **server_settings: str) -> asyncpg.Connection[asyncpg.Record]:
        """A connection of its own, outside the pool, with these settings on top (the relay's lock and its marks)."""
        url = self.engine.url
        return await asyncpg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            database=url.database,
            timeout=3,
            server_settings=SERVER_SETTINGS | {"application_name": f"labo.{url.username}.relay"} | server_settings,
        )

    @asynccontextmanager
    async def begin(self) -> AsyncGenerator[AsyncConnection]:
        async with self.engine.begin() as tx:
            yield tx
        for call in self.after_commit:
            call()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[AsyncConnection]:
        """A connection for reads; whatever it writes is rolled back."""
        async with self.engine.connect() as connection:
            yield connection

    async def ping(self) -> None:
        async with self.engine.connect() as connection:
            await connection.execute(text("select 1"))

    async def dispose(self) -> None:
        await self.engine.dispose()


async def fetch(tx: AsyncConnection, query: str, *values: Any) -> list[asyncpg.Record]:
    """A statement with `$1`, straight to the driver and inside the transaction: for the few on the path of every booking.

    SQLAlchemy's own execution costs 0.2-0.3 ms of Python a statement, which was two thirds of a booking's latency.
    """
    pooled = await tx.get_raw_connection()
    adapted: Any = pooled.dbapi_connection
    if adapted._transaction is None:  # SQLAlchemy sends BEGIN before its own first statement only  # noqa: SLF001
        await adapted._start_transaction()  # noqa: SLF001
    driver: asyncpg.Connection[asyncpg.Record] = adapted.driver_connection
    return await driver.fetch(query, *values)


def _doubt_idle_connections(engine: AsyncEngine) -> None:
    """Take no dead connection from the pool: the driver knows of one that was closed, and one long idle is asked."""

    def used(_: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    def taken(adapted: Any, record: Any, _: Any) -> None:
        if adapted.driver_connection.is_closed():
            raise DisconnectionError
        if time.monotonic() - record.info.get("used", 0.0) > IDLE_SECONDS:
            try:
                adapted.ping()
            except Exception as dead:
                raise DisconnectionError from dead

    event.listen(engine.sync_engine, "connect", used)
    event.listen(engine.sync_engine, "checkin", used)
    event.listen(engine.sync_engine, "checkout", taken)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        original = getattr(seen, "orig", None)
        ours = isinstance(seen, (DBAPIError, asyncpg.InterfaceError, asyncpg.PostgresError))
        # A bug raised while something handled an OSError is still a bug: only the drivers' own errors hide their cause in the context.
        seen = original if isinstance(original, BaseException) else seen.__cause__ or (seen.__context__ if ours else None)


def is_infrastructure(error: BaseException) -> bool:
    """True when the database (or the way to it) failed rather than the statement: worth another try, and nobody's fault.

    A restart shows as bare OSError, as InternalClientError, or as a plain DBAPIError: hence causes and SQLSTATE, not classes.
    """
    for cause in _causes(error):
        if isinstance(cause, (OSError, PoolTimeout, asyncpg.InternalClientError)):
            return True
        if isinstance(cause, asyncpg.InterfaceError) and not isinstance(cause, ValueError):  # a ValueError is a wrong argument
            return True
        if isinstance(cause, DBAPIError) and cause.connection_invalidated:
            return True
        state = str(getattr(cause, "sqlstate", None) or "")
        if state.startswith(_TRANSIENT_CLASSES) or state in _TRANSIENT_STATES:
            return True
    return False


def is_lock_timeout(error: BaseException) -> bool:
    """True when a row lock was not to be had within `lock_timeout` (SQLSTATE 55P03)."""
    return any(getattr(cause, "sqlstate", None) == "55P03" for cause in _causes(error))


def constraint_of(error: BaseException) -> str | None:
    """Name of the constraint that a statement broke, if that is what happened."""
    return next((name for cause in _causes(error) if (name := getattr(cause, "constraint_name", None))), None)

"""Postgres for one service: engine, transactions that wake the relay once committed, and which errors are the weather's."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager

import asyncpg
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
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
            pool_pre_ping=True,
            hide_parameters=True,  # they would stand in every error, log and trace (P4)
            connect_args={
                "server_settings": SERVER_SETTINGS | {"application_name": f"labo.{settings.service}"},
                "timeout": 3,
                "command_timeout": 6,
            },
        )
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

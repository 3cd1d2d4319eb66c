"""Roles, schemas and tables of all services, in one process and in any number of runs.

    python -m deploy.migrate --secrets DIR

Policy: expand only. A migration adds what the next version needs and removes nothing that the running one reads, since both run side by
side during a deployment; what became useless goes one release later.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import URL, Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.accounts import Secrets
from deploy.embedded import ADMIN_ROLE
from shared.settings import Settings

ROOT = Path(__file__).parents[1]
KERNEL = ROOT / "shared" / "migrations"
EXTENSIONS = ("btree_gist", "pg_trgm", "unaccent")
_LOCK = 0x1AB0_0001


def branches(service: str) -> list[Path]:
    """Folders with the migrations of a service's schema: the kernel's, and its own when it has one."""
    own = ROOT / "services" / service / "migrations" / "versions"
    return [KERNEL, own] if own.is_dir() else [KERNEL]


@asynccontextmanager
async def alone(engine: AsyncEngine) -> AsyncGenerator[None]:
    """Two runs at the same time take turns."""
    async with engine.connect() as guard:
        await guard.execute(text("select pg_advisory_lock(:key)"), {"key": _LOCK})
        await guard.commit()  # the lock is the session's: it stays, and no transaction does
        yield


async def migrate(engine: AsyncEngine, passwords: Mapping[str, str]) -> None:
    """Bring the database up to date for the services named, as its owner. A second run finds nothing to do.

    The engine must not keep connections (`NullPool`): the lock goes with its session.
    """
    async with alone(engine):
        await prepare(engine, passwords)
        for service in passwords:
            await upgrade(engine, service)


async def prepare(engine: AsyncEngine, passwords: Mapping[str, str]) -> None:
    """What the owner of the database alone may do: roles, schemas, walls between them, extensions, the shared clock."""
    async with engine.begin() as tx:
        known = set(await tx.scalars(text("select rolname from pg_roles")))
        for role, password in passwords.items():
            await _prepare_role(tx, role, password, exists=role in known)
        await _prepare_shared(tx, list(passwords))


async def _prepare_role(tx: AsyncConnection, role: str, password: str, *, exists: bool) -> None:
    await _run(
        tx,
        f"{'alter' if exists else 'create'} role {role} login nosuperuser nocreatedb nocreaterole password '{_scram(password)}'",
        f"grant {role} to current_user with inherit false, set true",
        f"create schema if not exists {role} authorization {role}",
        f"revoke all on schema {role} from public",
        f"alter role {role} set search_path = {role}, extensions",
    )


def rights(database: str, roles: Sequence[str]) -> tuple[str, str]:
    """Who may enter the database. Rights of a database itself are the one thing that a copy does not take from its template."""
    return f'revoke all on database "{database}" from public', f'grant connect on database "{database}" to {", ".join(roles)}'


async def _prepare_shared(tx: AsyncConnection, roles: Sequence[str]) -> None:
    database = await tx.scalar(text("select current_database()"))
    everybody = ", ".join(roles)
    await _run(
        tx,
        *rights(str(database), roles),
        "revoke all on schema public from public",
        "create schema if not exists extensions",
        *(f"create extension if not exists {name} schema extensions" for name in EXTENSIONS),
        "create schema if not exists platform",
        # One row at most: how far domain time is from real time. Written by the operator, read by all.
        """create table if not exists platform.clock (
            only_row boolean primary key default true check (only_row),
            offset_seconds double precision not null default 0
        )""",
        f"grant usage on schema extensions, platform to {everybody}",
        f"grant select on platform.clock to {everybody}",
    )


async def upgrade(engine: AsyncEngine, service: str) -> None:
    """Run what is missing of one service's migrations, as the service, all or nothing."""
    async with engine.begin() as tx:
        # Rather fail and be run again than queue behind a long transaction with every request of the service behind us.
        await _run(tx, f"set local role {service}", f"set local search_path = {service}, extensions", "set local lock_timeout = '5s'")
        await tx.run_sync(_upgrade, service)


def _upgrade(connection: Connection, service: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(map(str, branches(service))))
    config.attributes["connection"] = connection
    config.attributes["schema"] = service
    command.upgrade(config, "kernel@head")
    command.upgrade(config, "heads")


async def _run(tx: AsyncConnection, *statements: str) -> None:
    for statement in statements:
        await tx.exec_driver_sql(statement)


def _scram(password: str) -> str:
    """The password as PostgreSQL stores it (RFC 5803), so that it is in no statement and in no log."""
    salt, rounds = os.urandom(16), 4096
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)

    def keyed(key: bytes, message: bytes) -> bytes:
        return hmac.new(key, message, hashlib.sha256).digest()

    stored = hashlib.sha256(keyed(salted, b"Client Key")).digest()
    parts = (base64.b64encode(part).decode() for part in (salt, stored, keyed(salted, b"Server Key")))
    return "SCRAM-SHA-256${}:{}${}:{}".format(rounds, *parts)


def engine_of(settings: Settings, database: str) -> AsyncEngine:
    """The owner's, without the time limits of a service: a migration may take its time, and another one in progress is waited for."""
    password = settings.postgres_password.get_secret_value()
    url = URL.create("postgresql+asyncpg", settings.service, password, settings.postgres_host, settings.postgres_port, database)
    return create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 5})


async def _create_database(engine: AsyncEngine, name: str) -> None:
    async with alone(engine), engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        if not await connection.scalar(text("select true from pg_database where datname = :name"), {"name": name}):
            await connection.exec_driver_sql(f'create database "{name}"')


async def run(settings: Settings, passwords: Mapping[str, str]) -> None:
    """All of it: database, roles, schemas, tables. `settings` are the owner's."""
    server, database = engine_of(settings, "postgres"), engine_of(settings, settings.postgres_database)
    await _create_database(server, settings.postgres_database)
    await migrate(database, passwords)


def main(arguments: Sequence[str] | None = None) -> None:
    """Connects as the owner `labo` (`LABO_POSTGRES_…`); a role's password is in `<secrets>/<service>/labo_postgres_password`."""
    parser = argparse.ArgumentParser(prog="migrate", description="Roles, schemas and tables of all services")
    parser.add_argument("--secrets", type=Path, required=True, help="folder with one folder of secrets per service")
    secrets = Secrets(parser.parse_args(arguments).secrets)
    asyncio.run(run(Settings(service=ADMIN_ROLE, postgres_password=SecretStr(secrets.postgres(ADMIN_ROLE))), secrets.all_postgres()))


if __name__ == "__main__":
    main()

"""What PostgreSQL refuses: a service reads its own schema, with its own password, over TCP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.accounts import SERVICES
from deploy.embedded import ADMIN_ROLE
from shared import clock
from shared.database import Database
from tests.conftest import PASSWORDS, Postgres

Open = Callable[[str], Awaitable[Database]]


async def sqlstate_of(database: Database, statement: str) -> str | None:
    try:
        async with database.begin() as tx:
            await tx.exec_driver_sql(statement)
    except ProgrammingError as refused:
        return getattr(refused.orig, "sqlstate", None)
    return None


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_reads_and_writes_no_other_schema(postgres: Postgres, database_name: str, service: str) -> None:
    own = Database(postgres.engine(service, database_name))
    others = [other for other in SERVICES if other != service]

    for other in others:
        for statement in (
            f"select * from {other}.outbox",
            f"insert into {other}.heartbeat values ('forged', now())",
            f"create table {other}.mine (x int)",
            f"drop table {other}.outbox",
            f"set role {other}",
            f"set role {ADMIN_ROLE}",
        ):
            assert await sqlstate_of(own, statement) == "42501", statement


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_makes_nothing_outside_its_schema_and_does_not_shift_the_clock(
    postgres: Postgres, database_name: str, service: str
) -> None:
    own = Database(postgres.engine(service, database_name))

    for statement in (
        "create table public.mine (x int)",
        "create schema mine",
        "create temporary table mine (x int)",
        "create role mine",
        "create extension citext",
        "insert into platform.clock (offset_seconds) values (1)",
        "update platform.clock set offset_seconds = 1",
        "create table extensions.mine (x int)",
    ):
        assert await sqlstate_of(own, statement) == "42501", statement


@pytest.mark.parametrize("service", SERVICES)
async def test_nobody_logs_in_without_the_right_password(postgres: Postgres, database_name: str, service: str) -> None:
    for wrong in (PASSWORDS[ADMIN_ROLE], "x"):
        with pytest.raises(asyncpg.InvalidPasswordError) as refused:
            await postgres.connect(service, database_name, wrong)
        assert refused.value.sqlstate == "28P01"
    with pytest.raises(asyncpg.InvalidPasswordError):
        await postgres.connect(ADMIN_ROLE, database_name, PASSWORDS[service])


async def test_the_server_listens_on_loopback_only_and_has_no_socket(admin_database: AsyncEngine) -> None:
    async with admin_database.connect() as connection:
        listens = await connection.scalar(text("show listen_addresses"))
        sockets = await connection.scalar(text("show unix_socket_directories"))
        trusting = await connection.scalar(text("select count(*) from pg_hba_file_rules where auth_method <> 'scram-sha-256'"))

    assert (listens, sockets, trusting) == ("127.0.0.1", "", 0)


async def test_passwords_are_kept_as_scram_verifiers(admin_database: AsyncEngine) -> None:
    async with admin_database.connect() as connection:
        stored = set(await connection.scalars(text("select left(rolpassword, 14) from pg_authid where rolcanlogin")))

    assert stored == {"SCRAM-SHA-256$"}


async def test_the_clock_is_read_by_every_service_and_set_by_the_owner(database: Open, admin_database: AsyncEngine) -> None:
    async with admin_database.begin() as tx:
        await tx.execute(text("insert into platform.clock (offset_seconds) values (3600)"))

    for service in SERVICES:
        async with (await database(service)).connect() as connection:
            assert (await clock.read_offset(connection)).total_seconds() == 3600


async def test_text_is_the_same_on_every_system(admin_database: AsyncEngine) -> None:
    async with admin_database.connect() as connection:
        encoding = await connection.scalar(text("show server_encoding"))
        lowered = await connection.scalar(text("select lower('ÉCOLE À NOËL')"))
        plain = await connection.scalar(text("select extensions.unaccent('Éclair')"))

    assert (encoding, lowered, plain) == ("UTF8", "école à noël", "Eclair")

"""Migrations: all services in one process, any number of times, by several at once, and no half-done one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy import migrate
from deploy.accounts import SERVICES, Secrets
from deploy.embedded import ADMIN_ROLE
from shared.settings import Settings
from tests.conftest import PASSWORDS, Postgres

ROLES = {service: PASSWORDS[service] for service in SERVICES}

# Every object of ours with the moment of its last change (xmin), so that a second run that rewrote something shows.
OBJECTS = text(
    """
    select n.nspname || '.' || c.relname, c.relkind::text, r.rolname, c.xmin::text
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_roles r on r.oid = c.relowner
     where n.nspname = any(:schemas) order by 1
    """
)


@pytest.fixture
async def empty_database(postgres: Postgres) -> AsyncIterator[str]:
    name = f"migrate_{time.monotonic_ns()}"
    yield name
    await postgres.admin(f"drop database if exists {name} with (force)")


def owner(postgres: Postgres, database: str) -> Settings:
    return Settings(
        service=ADMIN_ROLE,
        postgres_port=postgres.server.port,
        postgres_database=database,
        postgres_password=SecretStr(PASSWORDS[ADMIN_ROLE]),
    )


async def objects(engine: AsyncEngine) -> list[tuple[str, ...]]:
    async with engine.connect() as connection:
        rows = await connection.execute(OBJECTS, {"schemas": list(SERVICES)})
        return [tuple(row) for row in rows]


async def test_a_new_server_gets_everything_and_a_second_run_changes_nothing(postgres: Postgres, empty_database: str) -> None:
    settings = owner(postgres, empty_database)
    engine = migrate.engine_of(settings, empty_database)

    await migrate.run(settings, ROLES)
    once = await objects(engine)
    await migrate.run(settings, ROLES)

    assert await objects(engine) == once
    assert {(f"{service}.outbox", "r", service) for service in SERVICES} <= {row[:3] for row in once}
    assert {f"{service}.alembic_version" for service in SERVICES} <= {row[0] for row in once}


async def test_runs_at_the_same_time_take_turns(postgres: Postgres, empty_database: str) -> None:
    settings = owner(postgres, empty_database)

    await asyncio.gather(*(migrate.run(settings, ROLES) for _ in range(4)))

    assert len(await objects(migrate.engine_of(settings, empty_database))) > 50


async def test_a_new_password_is_the_only_one_that_still_opens(postgres: Postgres, empty_database: str) -> None:
    settings = owner(postgres, empty_database)
    try:
        await migrate.run(settings, {"notify": "a new one"})
        await (await postgres.connect("notify", empty_database, "a new one")).close()
        with pytest.raises(Exception, match="password"):
            await postgres.connect("notify", empty_database, ROLES["notify"])
    finally:
        await migrate.run(settings, {"notify": ROLES["notify"]})


async def test_a_failing_migration_leaves_no_trace_and_the_next_run_goes_on(
    postgres: Postgres, empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    revision = tmp_path / "0001_catalog.py"
    lines = [
        '"""Half done."""',
        "from alembic import op",
        "revision = 'broken_0001'",
        "down_revision = None",
        "branch_labels = ('broken',)",
    ]
    body = ["def upgrade():", "    op.execute('create table half (x int)')", "    op.execute('create table half (x int)')"]
    revision.write_text("\n".join(lines + body))
    settings = owner(postgres, empty_database)
    engine = migrate.engine_of(settings, empty_database)

    with monkeypatch.context() as patch:
        patch.setattr(migrate, "branches", lambda service: [migrate.KERNEL, tmp_path] if service == "catalog" else [migrate.KERNEL])
        with pytest.raises(Exception, match="half"):
            await migrate.run(settings, {"catalog": ROLES["catalog"]})
    assert [row for row in await objects(engine) if row[0].startswith("catalog.")] == []

    await migrate.run(settings, {"catalog": ROLES["catalog"]})
    assert any(row[0] == "catalog.outbox" for row in await objects(engine))


async def test_the_command_takes_passwords_from_the_folders_of_the_services(
    postgres: Postgres, empty_database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets = Secrets(tmp_path)
    for role in (ADMIN_ROLE, *SERVICES):
        (secrets.directory(role) / "labo_postgres_password").write_text(PASSWORDS[role])
    monkeypatch.setenv("LABO_POSTGRES_PORT", str(postgres.server.port))
    monkeypatch.setenv("LABO_POSTGRES_DATABASE", empty_database)

    await asyncio.to_thread(migrate.main, ["--secrets", str(tmp_path)])

    await (await postgres.connect("notify", empty_database)).close()

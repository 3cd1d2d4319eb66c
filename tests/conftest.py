"""Real servers for every test: one PostgreSQL per worker with a fresh database per test, one nats-server per test.

`database("booking")` is what a service sees of the test's own database; `settings_for("booking")` is what its process is told.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, overload

import asyncpg
import hypothesis
import nats as nats_client
import pytest
from nats.aio.client import Client
from pydantic import SecretStr
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from deploy import topology
from deploy.accounts import NATS_USERS, SERVICES, configuration
from deploy.child import HOST
from deploy.embedded import ADMIN_ROLE, NatsServer, PostgresServer
from deploy.migrate import prepare, rights, upgrade
from shared import clock
from shared.database import Database
from shared.settings import Settings
from tests.containers import servers as containers
from tests.containers.servers import ContainedNats, ContainedPostgres
from tests.faults.table import pytest_terminal_summary, report

__all__ = ["pytest_terminal_summary", "report"]

T = TypeVar("T")
PASSWORDS = {name: f"password-of-{name}" for name in (*NATS_USERS, ADMIN_ROLE)}
TOPOLOGY = topology.Topology.read("embedded")

# A crowded machine is slow to make up examples, and that says nothing of what is tested.
hypothesis.settings.register_profile("crowded", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("crowded")


@overload
async def eventually(check: Callable[[], Awaitable[T]], within: float = 10.0) -> T: ...
@overload
async def eventually(check: Callable[[], T], within: float = 10.0) -> T: ...
async def eventually(check: Callable[[], Any], within: float = 10.0) -> Any:
    """The first truthy answer of `check`; when there is none in time, its last error, or what it last answered."""
    deadline = time.monotonic() + within
    pause = 0.005
    while True:
        try:
            answer = check()
            result = await answer if inspect.isawaitable(answer) else answer
            if result:
                return result
            failure: BaseException = AssertionError(f"still {result!r} after {within} s")
        except AssertionError as not_yet:
            failure = not_yet
        if time.monotonic() > deadline:
            raise failure
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--infra", choices=["embedded", "containers"], default="embedded", help="where PostgreSQL and nats-server of the tests run"
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    if config.getoption("--infra") != "containers":
        return []
    missing = containers.missing()
    return [f"infra: {f'{missing}; the embedded servers serve' if missing else 'PostgreSQL and nats-server in containers'}"]


@pytest.fixture(scope="session")
def in_containers(pytestconfig: pytest.Config) -> bool:
    return pytestconfig.getoption("--infra") == "containers" and not containers.missing()


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Awaitable[Any]]:
    return eventually


@pytest.fixture(autouse=True)
def _real_time() -> Iterator[None]:
    yield
    clock.shift(timedelta(0), "embedded")


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    """Reachable by the account that runs PostgreSQL, which pytest's own temporary folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="labo-tests-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Postgres:
    """A server, its roles, and a migrated template to copy; a service whose migrations fail is told so when it is asked for."""

    server: PostgresServer | ContainedPostgres
    broken: dict[str, Exception] = field(default_factory=dict)
    template: str = "template_labo"

    def url(self, role: str, database: str) -> URL:
        return URL.create("postgresql+asyncpg", role, PASSWORDS[role], HOST, self.server.port, database)

    def engine(self, role: str, database: str) -> AsyncEngine:
        return create_async_engine(self.url(role, database), poolclass=NullPool)

    async def connect(self, role: str, database: str, password: str | None = None) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(host=HOST, port=self.server.port, user=role, password=password or PASSWORDS[role], database=database)

    async def admin(self, *statements: str) -> None:
        connection = await self.connect(ADMIN_ROLE, "postgres")
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    async def build_template(self) -> None:
        await self.admin(f"create database {self.template}")
        engine = self.engine(ADMIN_ROLE, self.template)
        await prepare(engine, {service: PASSWORDS[service] for service in SERVICES})
        for service in SERVICES:
            try:
                await upgrade(engine, service)
            except Exception as failed:  # so that one service's mistake does not hide the others' results
                self.broken[service] = failed
        await engine.dispose()


@pytest.fixture(scope="session")
def postgres(servers_folder: Path, *, in_containers: bool) -> Iterator[Postgres]:
    if in_containers:
        password = servers_folder / "password"
        password.write_text(PASSWORDS[ADMIN_ROLE])
        server = ContainedPostgres(password)
    else:
        server = PostgresServer(servers_folder / "postgres", password=PASSWORDS[ADMIN_ROLE], fast=True)
    server.start()
    try:
        running = Postgres(server)
        asyncio.run(running.build_template())
        yield running
    finally:
        server.stop()


_numbers = itertools.count(1)


@pytest.fixture
async def database_name(postgres: Postgres) -> AsyncIterator[str]:
    """The test's own database, with the schemas of all services, empty."""
    name = f"test_{next(_numbers)}"
    await postgres.admin(f"create database {name} template {postgres.template} strategy wal_log", *rights(name, SERVICES))
    yield name
    await postgres.admin(f"drop database {name} with (force)")


@pytest.fixture
def postgres_settings(postgres: Postgres, database_name: str) -> Callable[..., Settings]:
    """`postgres_settings("booking")`: settings of a service that needs no bus."""

    def build(service: str, **others: Any) -> Settings:
        if error := postgres.broken.get(service):
            raise error
        given = {
            "environment": "embedded",
            "postgres_host": HOST,
            "postgres_port": postgres.server.port,
            "postgres_database": database_name,
            "postgres_password": SecretStr(PASSWORDS[service]),
        }
        return Settings(service=service, **given | others)

    return build


@pytest.fixture
async def database(postgres_settings: Callable[..., Settings]) -> AsyncIterator[Callable[[str], Awaitable[Database]]]:
    """`await database("booking")`: a new `Database` of that service. All calls of one test see the same data."""
    async with AsyncExitStack() as stack:

        async def connect(service: str) -> Database:
            opened = Database.of(postgres_settings(service))
            stack.push_async_callback(opened.dispose)
            return opened

        yield connect


@pytest.fixture
async def admin_database(postgres: Postgres, database_name: str) -> AsyncIterator[AsyncEngine]:
    """The test's database through its owner, for what no service may do."""
    engine = postgres.engine(ADMIN_ROLE, database_name)
    yield engine
    await engine.dispose()


async def _connected(server: NatsServer | ContainedNats, user: str, **options: Any) -> Client:
    async def quiet(_: Exception) -> None:
        """Without it nats-py prints a traceback per refusal."""

    options.setdefault("error_cb", quiet)
    return await nats_client.connect(
        server.url, user=user, password=PASSWORDS[user], inbox_prefix=f"_INBOX_{user}".encode(), name=f"test.{user}",
        connect_timeout=2, max_reconnect_attempts=-1, reconnect_time_wait=0.1, **options,
    )  # fmt: skip


@pytest.fixture
async def nats(tmp_path: Path, *, in_containers: bool) -> AsyncIterator[NatsServer | ContainedNats]:
    """A nats-server of the test's own, with accounts and topology. `.url`, `.kill()`, `.start()` again on the same port and data."""
    accounts = configuration(TOPOLOGY, PASSWORDS)
    server = ContainedNats(tmp_path / "nats", accounts) if in_containers else NatsServer(tmp_path / "nats", accounts=accounts)
    await asyncio.to_thread(server.start)
    try:
        admin = await _connected(server, "topology")
        await topology.apply(admin, TOPOLOGY)
        await admin.close()
        yield server
    finally:
        await asyncio.to_thread(server.kill)
        if isinstance(server, ContainedNats):
            await asyncio.to_thread(server.remove)


@pytest.fixture
async def nats_as(nats: NatsServer) -> AsyncIterator[Callable[..., Awaitable[Client]]]:
    """`await nats_as("booking")`: a connection with that user's rights."""
    async with AsyncExitStack() as stack:

        async def connect(user: str, **options: Any) -> Client:
            client = await _connected(nats, user, **options)
            stack.push_async_callback(client.close)
            return client

        yield connect


@pytest.fixture
async def admin_nats(nats_as: Callable[..., Awaitable[Client]]) -> Client:
    """The topology's user: all of JetStream's API, no event and no request."""
    return await nats_as("topology")


@pytest.fixture
def settings_for(nats: NatsServer, postgres_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    """`settings_for("booking")`: what the process of a service is told about the test's own servers."""

    def build(service: str, **others: Any) -> Settings:
        given = {"nats_url": nats.url, "nats_password": SecretStr(PASSWORDS[service])}
        return postgres_settings(service, **given | others)

    return build

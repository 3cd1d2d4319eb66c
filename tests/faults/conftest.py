"""Servers that survive a kill, and the stage on them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from nats.aio.client import Client

from deploy import topology
from deploy.accounts import configuration
from deploy.embedded import ADMIN_ROLE, NatsServer, PostgresServer
from shared.settings import Settings
from tests.conftest import PASSWORDS, Postgres, _connected
from tests.faults.load import Load
from tests.faults.stage import Stage, stage_topology


@pytest.fixture(scope="session")
def postgres(servers_folder: Path) -> Iterator[Postgres]:
    """With fsync, unlike the other tests': this one is killed."""
    server = PostgresServer(servers_folder / "sturdy", password=PASSWORDS[ADMIN_ROLE])
    server.start()
    try:
        running = Postgres(server)
        asyncio.run(running.build_template())
        yield running
    finally:
        server.stop()


@pytest.fixture
async def nats(tmp_path: Path) -> AsyncIterator[NatsServer]:
    """With every write on disk before it is acknowledged, as in production."""
    wanted = stage_topology()
    server = NatsServer(tmp_path / "nats", accounts=configuration(wanted, PASSWORDS), sync_interval="always")
    await asyncio.to_thread(server.start)
    try:
        admin = await _connected(server, "topology")
        await topology.apply(admin, wanted)
        await admin.close()
        yield server
    finally:
        await asyncio.to_thread(server.kill)


@pytest.fixture
async def stage(
    nats: NatsServer, postgres: Postgres, settings_for: Callable[..., Settings], admin_nats: Client, tmp_path: Path
) -> AsyncIterator[Stage]:
    assert isinstance(postgres.server, PostgresServer)
    async with AsyncExitStack() as stack:
        stage = Stage(nats, postgres.server, settings_for, admin_nats, tmp_path, stack)
        await stage.open()
        yield stage


@pytest.fixture
def load(stage: Stage) -> Load:
    return Load(stage)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(240))

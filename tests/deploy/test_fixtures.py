"""What every other test leans on: the fixtures of tests/conftest.py."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from sqlalchemy import text

from shared.database import Database
from shared.settings import Settings
from tests.conftest import eventually

Open = Callable[[str], Awaitable[Database]]
BEAT = text("insert into heartbeat (name, beat_at) values ('mine', now())")
BEATS = text("select count(*) from heartbeat")


@pytest.mark.parametrize("run", ["first", "second"])
async def test_each_test_starts_from_an_empty_migrated_database(database: Open, run: str) -> None:
    booking = await database("booking")

    async with booking.connect() as reader:
        assert await reader.scalar(BEATS) == 0, f"the {run} run sees another test's row"
    async with booking.begin() as tx:
        await tx.execute(BEAT)


async def test_two_openings_in_one_test_see_the_same_data(database: Open) -> None:
    async with (await database("booking")).begin() as tx:
        await tx.execute(BEAT)

    async with (await database("booking")).connect() as reader:
        assert await reader.scalar(BEATS) == 1


async def test_settings_open_both_servers(settings_for: Callable[..., Settings], nats_as: Callable[..., Awaitable[Client]]) -> None:
    settings = settings_for("catalog")
    await Database.of(settings).ping()

    client = await nats_as(settings.service)
    assert client.is_connected


async def test_eventually_returns_the_first_truthy_answer_and_fails_with_the_last_error() -> None:
    answers = iter([0, None, "there"])
    assert await eventually(lambda: next(answers)) == "there"

    async def never() -> bool:
        raise AssertionError("no row yet")

    with pytest.raises(AssertionError, match="no row yet"):
        await eventually(never, within=0.05)


def test_the_fixtures_module_is_imported_once(request: pytest.FixtureRequest) -> None:
    import tests.conftest

    assert any(plugin is tests.conftest for plugin in request.config.pluginmanager.get_plugins())

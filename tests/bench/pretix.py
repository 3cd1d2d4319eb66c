"""pretix as a peer: what one would install instead. From PyPI, into an environment and a database of its own on the same PostgreSQL.

An order of pretix does much more than a booking (prices, taxes, log entries, plugins), and without Redis and Celery it does all of it
inside the request: it is what one would run, not the same work.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.child import HOST, free_port, is_taken
from deploy.migrate import engine_of
from shared.settings import Settings
from tests.bench.figures import Figures
from tests.bench.house import House, WrongCount, empty_folder
from tests.bench.load import Plan, Result, run_load
from tests.bench.machine import watched

PACKAGES = ("pretix==2026.8.0", "gunicorn==27.0.1")
WORKERS = 2
CONFIGURATION = """\
[pretix]
url=http://localhost:{port}
datadir={folder}/data
[database]
backend=postgresql
name=pretix
user={settings.service}
password={password}
host={settings.postgres_host}
port={settings.postgres_port}
[django]
secret=not-a-secret
"""
FURNISH = """
import django
django.setup()
from datetime import datetime, timezone
from decimal import Decimal
from django_scopes import scope
from pretix.base.models import Event, Organizer
organizer = Organizer.objects.create(name="Labo", slug="labo")
with scope(organizer=organizer):
    day = datetime(2027, 6, 3, 14, tzinfo=timezone.utc)
    event = Event.objects.create(organizer=organizer, name="Une séance", slug="seance", date_from=day, currency="EUR", plugins="")
    item = event.items.create(name="Place", default_price=Decimal("0.00"))
    event.quotas.create(name="Places", size=None).items.add(item)
    team = organizer.teams.create(name="Labo", all_events=True, all_event_permissions=True, all_organizer_permissions=True)
    print("made", item.pk, team.tokens.create(name="bench").token)
"""
COUNTS = "select (select count(*) from pretixbase_order), (select count(*) from pretixbase_orderposition)"


class Pretix:
    def __init__(self, folder: Path, settings: Settings, database: AsyncEngine) -> None:
        self._folder, self._settings, self._database = folder, settings, database
        self._port = free_port()
        self._item = self._token = ""
        self._next = 0

    async def _run(self, *command: str) -> str:
        process = await asyncio.create_subprocess_exec(*command, env=self._env, cwd=self._folder, stdout=asyncio.subprocess.PIPE)
        told, _ = await process.communicate()
        assert process.returncode == 0, f"{command[:3]} failed"
        return told.decode()

    @property
    def _env(self) -> dict[str, str]:
        return os.environ | {"PRETIX_CONFIG_FILE": str(self._folder / "pretix.cfg"), "DJANGO_SETTINGS_MODULE": "pretix.settings"}

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Pretix]:
        """Installed, its tables made, one event with one product, two workers."""
        python = str(self._folder / "venv/bin/python")
        password = self._settings.postgres_password.get_secret_value()
        (self._folder / "data").mkdir()
        (self._folder / "pretix.cfg").write_text(
            CONFIGURATION.format(port=self._port, folder=self._folder, settings=self._settings, password=password)
        )
        await self._run(sys.executable, "-m", "venv", str(self._folder / "venv"))
        await self._run(python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES)
        await self._run(python, "-m", "pretix", "migrate", "-v", "0")
        made = next(line for line in (await self._run(python, "-c", FURNISH)).splitlines() if line.startswith("made "))
        _, self._item, self._token = made.split()
        log = (self._folder / "log").open("wb")
        process = await asyncio.create_subprocess_exec(
            python, "-m", "gunicorn", "pretix.wsgi", "--workers", str(WORKERS), "--worker-class", "gthread", "--threads", "4",
            "--bind", f"{HOST}:{self._port}", env=self._env, cwd=self._folder, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            while not is_taken(self._port):
                assert process.returncode is None, "pretix does not start"
                await asyncio.sleep(0.1)
            yield self
        finally:
            process.terminate()
            await process.wait()
            log.close()

    async def order(self, callers: int, seconds: float) -> Result:
        before = await self._counts()
        plan = Plan(
            port=self._port, style="pretix", path="/api/v1/organizers/labo/events/seance/orders/", callers=callers, seconds=seconds,
            warm=1.0, sessions=[self._item], agents=[self._token], first=self._next,
        )  # fmt: skip
        result = await run_load(plan)
        self._next = result.next
        after = await self._counts()
        if any(now - then != result.answered for now, then in zip(after, before, strict=True)) or result.other:
            raise WrongCount(f"pretix: {result}, before {before}, after {after}")
        return result

    async def _counts(self) -> tuple[int, ...]:
        async with self._database.connect() as connection:
            return tuple((await connection.execute(text(COUNTS))).one())


async def compare(figures: Figures, house: House, settings: Settings, rounds: int, seconds: float) -> None:
    """In turn with Lab-O at eight callers."""
    async with house.admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("create database pretix"))
    async with empty_folder() as folder, Pretix(folder, settings, engine_of(settings, "pretix")).running() as pretix:
        await pretix.order(8, 10)  # its first requests take seconds
        for _ in range(rounds):
            for name, work in (("pretix 8", pretix.order(8, 2 * seconds)), ("labo beside pretix 8", house.book(8, seconds=seconds))):
                with watched() as others:
                    result = await work
                figures.seen(others)
                figures.add(name, result.per_second)
                figures.add(f"{name} p50", result.p50)
    figures.gate(4, "8 callers, spread / pretix, 2 workers", figures.ratio("labo beside pretix 8", "pretix 8"), 50, 50)

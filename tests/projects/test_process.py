"""Projects as the process that runs in production: it answers, its facts reach the stream, it stops when asked."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from shared.bus import Bus
from shared.contracts.messages import read_event
from shared.contracts.projects import Application, ApplicationDecided, ApplicationState
from shared.errors import Unavailable
from shared.settings import Settings
from tests.conftest import eventually
from tests.projects.given import LAB_TEAM, LEAD, TEXTS, a_decision, an_application


@pytest.fixture
async def process(settings_for: Callable[..., Settings]) -> AsyncIterator[asyncio.subprocess.Process]:
    told = settings_for("projects")
    environment = {
        "LABO_ENVIRONMENT": "embedded",
        "LABO_NATS_URL": told.nats_url,
        "LABO_NATS_PASSWORD": told.nats_password.get_secret_value(),
        "LABO_POSTGRES_PORT": str(told.postgres_port),
        "LABO_POSTGRES_DATABASE": told.postgres_database,
        "LABO_POSTGRES_PASSWORD": told.postgres_password.get_secret_value(),
    }
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.projects.app", env=os.environ | environment)
    yield started
    if started.returncode is None:
        started.kill()
        await started.wait()


async def test_a_decision_reaches_the_stream_with_who_took_it_and_without_a_text(
    process: asyncio.subprocess.Process, settings_for: Callable[..., Settings], admin_nats: Client
) -> None:
    gateway = await Bus.connect(settings_for("gateway"))
    order = an_application()

    async def submitted() -> Application | None:
        with suppress(Unavailable):
            return await gateway.ask(order, LEAD)
        return None

    await eventually(submitted, within=30)
    await gateway.ask(a_decision(order.application_id, "declined"), LAB_TEAM)

    stream, subject = admin_nats.jetstream(), f"{ApplicationDecided.subject}.{order.application_id}"

    async def told() -> bool:
        with suppress(NotFoundError):
            return bool(await stream.get_last_msg("EVT_PROJECTS", subject))
        return False

    await eventually(told)
    message = await stream.get_last_msg("EVT_PROJECTS", subject)
    body = message.data or b""
    envelope, event = read_event(message.headers or {}, body)
    assert isinstance(event, ApplicationDecided)
    assert (event.state, event.version, envelope.actor) == (ApplicationState.DECLINED, 2, LAB_TEAM.actor)
    assert not [part for part in TEXTS if part.encode() in body]

    await gateway.close()
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0

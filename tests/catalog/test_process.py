"""Catalog as the process that runs in production."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.bus import ACTOR
from shared.contracts.catalog import ListSessions
from shared.settings import Settings


async def test_the_process_answers_and_stops_when_asked(
    settings_for: Callable[..., Settings], nats_as: Callable[..., Awaitable[Client]], eventually: Callable[..., Awaitable[object]]
) -> None:
    told = settings_for("catalog")
    environment = {
        "LABO_ENVIRONMENT": "embedded",
        "LABO_NATS_URL": told.nats_url,
        "LABO_NATS_PASSWORD": told.nats_password.get_secret_value(),
        "LABO_POSTGRES_PORT": str(told.postgres_port),
        "LABO_POSTGRES_DATABASE": told.postgres_database,
        "LABO_POSTGRES_PASSWORD": told.postgres_password.get_secret_value(),
    }
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "services.catalog.app", env=os.environ | environment)
    gateway = await nats_as("gateway")

    async def answers() -> bool:
        with suppress(NatsError, TimeoutError):
            reply = await gateway.request(ListSessions.subject, b"{}", headers={ACTOR: "gateway"}, timeout=1)
            return reply.data.startswith(b'{"ok":')
        return False

    try:
        await eventually(answers, within=30)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

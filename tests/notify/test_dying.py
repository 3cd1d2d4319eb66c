"""Processes of notify that are killed: what they were doing is known, or shown as uncertain (F5)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from aiosmtpd.smtp import SMTP
from pydantic import SecretStr
from sqlalchemy import text

from services.notify.settings import NotifySettings
from tests.conftest import eventually
from tests.notify.conftest import Office, a_confirmation, state_is


@asynccontextmanager
async def a_process(settings: NotifySettings) -> AsyncGenerator[asyncio.subprocess.Process]:
    told = settings.model_dump()
    variables = {
        f"LABO_{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in told.items()
        if value is not None
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.notify.app", env=os.environ | variables, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await asyncio.wait_for(process.wait(), 15)


async def test_F5_a_process_killed_while_sending_leaves_an_uncertain_mail_that_is_never_sent_again(office: Office) -> None:
    reached = asyncio.Event()

    async def hang(_: SMTP) -> None:
        reached.set()
        await asyncio.sleep(3)

    office.sink.on_message = hang
    async with a_process(office.settings) as process:
        await a_confirmation(office)
        await asyncio.wait_for(reached.wait(), 20)
        assert await office.states() == [("booking_confirmed", "sending")]
        process.kill()
        await process.wait()

    office.sink.on_message = None
    async with a_process(office.settings):
        await state_is(office, "uncertain")
        await a_confirmation(office)
        await state_is(office, "sent", "uncertain")
    assert len(office.sink.messages) == 2


async def test_F5_a_process_killed_before_it_began_to_send_loses_and_doubts_nothing(office: Office) -> None:
    office.answering.clear()
    async with a_process(office.settings) as process:
        await a_confirmation(office)
        await eventually(lambda: office.asked_in, within=20)
        process.kill()
        await process.wait()

    office.answering.set()
    async with a_process(office.settings):
        await state_is(office, "sent")
    assert len(office.sink.messages) == 1


async def test_F5_what_a_lost_replica_was_sending_is_found_by_its_age(office: Office) -> None:
    await a_confirmation(office)
    office.listen()
    await office.consumed()
    async with office.database.begin() as tx:
        await tx.execute(
            text("update mail set state = 'sending', instance = 'gone', sending_since = clock_timestamp() - interval '1 hour'")
        )

    office.send()

    await state_is(office, "uncertain")
    assert office.sink.messages == []

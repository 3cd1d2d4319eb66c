"""Processes of notify that are killed: what they were doing is known, or shown as uncertain (F5)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal
from uuid import UUID, uuid4

import pytest
from aiosmtpd.smtp import SMTP
from pydantic import SecretStr
from sqlalchemy import text

from services.notify.mail.handlers import resolve_delivery
from services.notify.settings import NotifySettings
from shared.bus import Caller
from shared.contracts.notify import ResolveDelivery
from shared.errors import Refused
from tests.conftest import eventually
from tests.notify.conftest import Office, a_confirmation, state_is


@asynccontextmanager
async def a_process(settings: NotifySettings) -> AsyncGenerator[asyncio.subprocess.Process]:
    told = settings.model_dump(exclude={"reminders"})
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


# --- what a person decides of it -----------------------------------------------------------------------------------------------------

OPERATOR = Caller("operator", frozenset({"operator"}))


async def in_doubt(office: Office, state: str) -> UUID:
    """A mail that left and of which this is all that is known."""
    await a_confirmation(office)
    await state_is(office, "sent")
    await said(office, state)
    (row,) = await office.rows("select id from mail")
    return row.id


async def said(office: Office, state: str) -> None:
    async with office.database.begin() as tx:
        await tx.execute(text("update mail set state = :state"), {"state": state})


async def resolve(office: Office, mail_id: UUID, resolution: Literal["sent", "again", "dropped"], caller: Caller = OPERATOR) -> str:
    try:
        async with office.database.begin() as tx:
            return (await resolve_delivery(ResolveDelivery(mail_id=mail_id, resolution=resolution), caller, tx)).state
    except Refused as refusal:
        return refusal.code


@pytest.mark.parametrize("state", ["uncertain", "failed", "bounced"])
async def test_F5_a_mail_in_doubt_is_sent_again_when_an_operator_says_so(office: Office, state: str) -> None:
    office.listen()
    office.send()
    mail_id = await in_doubt(office, state)
    assert len(office.sink.messages) == 1

    assert await resolve(office, mail_id, "again") == "deferred"

    await state_is(office, "sent")
    assert len(office.sink.messages) == 2


async def test_F5_a_mail_that_the_server_has_after_all_is_sent_and_one_that_nobody_wants_is_dropped(office: Office) -> None:
    office.listen()
    sending = office.send()
    mail_id = await in_doubt(office, "uncertain")
    sending.cancel()

    assert await resolve(office, mail_id, "sent") == "sent"
    assert (await office.rows("select sent_at is not null and session_version is not null as told from mail"))[0].told

    await said(office, "failed")
    assert await resolve(office, mail_id, "dropped") == "dropped"
    assert len(office.sink.messages) == 1


async def test_nobody_but_an_operator_decides_and_once_only(office: Office) -> None:
    office.listen()
    office.send()
    mail_id = await in_doubt(office, "uncertain")

    agent = Caller(str(uuid4()), frozenset({"agent"}))
    assert await resolve(office, mail_id, "again", agent) == "not_allowed"
    assert await resolve(office, uuid4(), "again") == "delivery_unknown"
    decided = await asyncio.gather(*(resolve(office, mail_id, "dropped") for _ in range(5)))
    assert sorted(decided) == ["delivery_settled"] * 4 + ["dropped"]

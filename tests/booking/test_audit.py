"""The standing audit: seen red on planted corruption, silent otherwise, and what it found is kept until it is no more (row 12)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from services.booking.audit import handlers
from shared import telemetry
from shared.database import Database
from tests.booking.given import FRIDAY_EVENING, STARTS_AT, cancel, given_queue, it_is


async def kept(booking: Database) -> list[str]:
    async with booking.connect() as connection:
        return list((await connection.scalars(text("select code from audit_finding order by code"))).all())


async def do(booking: Database, statement: str) -> None:
    async with booking.begin() as tx:
        await tx.execute(text(statement))


@pytest.mark.parametrize(
    ("damage", "mend", "code"),
    [
        ("update session set held = held - 1", "update session set held = held + 1", "held_is_not_the_number_of_seats_given"),
        (
            "update booking set session_sequence = session_sequence - 100 where state = 'waiting' and offer_state is null",
            "update booking set session_sequence = session_sequence + 100 where state = 'waiting' and offer_state is null",
            "seated_before_one_who_waited_longer",
        ),
        ("update timer set key = 'lost/' || key", "update timer set key = substr(key, 6)", "an_offer_that_nothing_ends"),
    ],
)
async def test_planted_corruption_is_found_told_once_and_forgotten_when_mended(
    booking: Database, damage: str, mend: str, code: str
) -> None:
    _, (seated, *_), _ = await given_queue(booking, 2, 3)
    await cancel(booking, seated)  # one seat is offered now
    assert await handlers.look(booking) == []

    with capture_logs() as lines:
        await do(booking, damage)
        await handlers.look(booking)
        await handlers.look(booking)

    assert code in await kept(booking)
    assert [line["finding"] for line in lines if line["event"] == "audit_failed"].count(code) == 1
    assert next(iter(telemetry.AUDIT_FINDINGS.collect())).samples[0].value >= 1
    await do(booking, mend)
    assert await handlers.look(booking) == []
    assert await kept(booking) == []


async def test_sessions_long_over_are_not_judged_any_more(booking: Database) -> None:
    await given_queue(booking, 1, 1)
    await do(booking, "update session set held = held - 1")
    assert await handlers.look(booking)

    it_is(STARTS_AT + timedelta(days=3))

    assert await handlers.look(booking) == []
    it_is(FRIDAY_EVENING)


async def test_two_replicas_that_look_at_once_write_the_same(booking: Database) -> None:
    await given_queue(booking, 1, 1)
    await do(booking, "update session set held = held - 1")

    await gather(*(handlers.look(booking) for _ in range(6)))

    assert "held_is_not_the_number_of_seats_given" in await kept(booking)

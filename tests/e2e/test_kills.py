"""kill -9 of any one process, of nats-server or of PostgreSQL while bookings flow: nothing lost, nothing doubled, healed by itself."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx2
import pytest

from deploy.stack import Stack
from shared.bus import Bus
from tests.conftest import eventually
from tests.e2e.people import Api, a_session, all_quiet, is_open, one, register_visitors, rows, tokens

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("kills"), pytest.mark.timeout(240)]

STORED = "select booking_id, state from booking.booking where session_id = :session_id"
AGENTS = 120
SEATS = 40


@pytest.mark.parametrize(
    "victim", ["booking", "gateway", "notify", "catalog", "topology-watch", "mail-catcher", "nats-server", "PostgreSQL"]
)
async def test_killed_while_bookings_flow(stack: Stack, operator: Bus, http: httpx2.AsyncClient, victim: str) -> None:
    subs = [f"{victim}-{number}" for number in range(AGENTS)]
    await register_visitors(operator, subs)
    apis = [Api(http, token) for token in await tokens(operator, subs)]
    session_id = await a_session(operator, capacity=SEATS)
    await eventually(lambda: is_open(stack, session_id), 30)

    async def book(number: int) -> httpx2.Response:
        await asyncio.sleep(number * 0.02)
        return await apis[number].book_patiently(session_id, f"key of {number}")

    booking = [asyncio.create_task(book(number)) for number in range(AGENTS)]
    await asyncio.sleep(0.8)
    killed = stack.kill(victim)
    answers = await asyncio.gather(*booking)

    assert Counter(answer.status_code for answer in answers) == {201: AGENTS}
    places = {answer.json()["booking_id"]: answer.json()["state"] for answer in answers}
    assert Counter(places.values()) == {"confirmed": SEATS, "waiting": AGENTS - SEATS}
    await eventually(lambda: stack.pids.get(victim) not in {None, killed}, 30)

    stored = await rows(stack, STORED, session_id=session_id)
    assert {str(row.booking_id): row.state for row in stored} == places, "what was answered is what is stored, no more and no less"

    async def all_told() -> bool:
        return await one(stack, "select count(*) from notify.mail where session_id = :session_id", session_id=session_id) >= AGENTS

    await eventually(all_told, 60)  # what a killed process held is delivered again after 30 s
    await eventually(lambda: all_quiet(stack), 60)
    mails = await rows(stack, "select booking_id, state from notify.mail where session_id = :session_id", session_id=session_id)
    assert Counter(str(row.booking_id) for row in mails) == dict.fromkeys(places, 1), "one mail each"
    assert {row.state for row in mails} <= ({"sent", "uncertain"} if victim in {"notify", "mail-catcher"} else {"sent"})
    assert await one(stack, "select count(*) from notify.dead_letter") == 0

"""The promises of the foundation, shown on the whole system through its public doors."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx2
import pytest
from icalendar import Calendar
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from deploy.stack import Stack
from shared.bus import Bus
from tests.conftest import eventually
from tests.e2e.people import (
    BEGINS,
    FIELD,
    Api,
    a_session,
    address_of,
    all_quiet,
    browser,
    is_open,
    mails_to,
    one,
    register_visitors,
    rows,
    tokens,
    topology_client,
)  # fmt: skip

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("journey"), pytest.mark.timeout(240)]

AGENTS = [f"agent-{number:04d}" for number in range(1, 181)]


async def test_sign_in_book_read_the_mail_cancel_and_see_the_next_agent_promoted(stack: Stack, operator: Bus) -> None:
    session_id = await a_session(operator, capacity=1, title="Une place unique")
    (one_more,) = await tokens(operator, ["agent-0061"])

    async with browser(stack, "agent-0060") as first:
        page = await eventually(lambda: page_with(first, f"/seances/{session_id}", "S’inscrire"))
        key = FIELD.search(page)
        assert key is not None
        booked = await first.post(f"/seances/{session_id}/inscription", data={"cle": key[1]}, follow_redirects=True)
        assert booked.status_code == 200
        twice = await first.post(f"/seances/{session_id}/inscription", data={"cle": key[1]}, follow_redirects=True)
        assert twice.status_code == 200, "a double click books once"

        (mail,) = await eventually(lambda: mails_to(stack, address_of("agent-0060"), "Une place unique"), 60)
        (event,) = Calendar.from_ical(mail["calendar"]["source"]).events
        assert (mail["calendar"]["method"], event.sequence) == ("REQUEST", 0)
        assert isinstance(event.start, datetime)
        assert event.start.replace(tzinfo=None) == BEGINS

        async with httpx2.AsyncClient(base_url=stack.portal_url) as http:
            second = Api(http, one_more)
            waiting = (await second.book(session_id)).json()
            assert (waiting["state"], waiting["rank"]) == ("waiting", 1)

            mine = (await first.get("/api/v1/me/bookings")).json()["bookings"]
            (booking,) = [each for each in mine if each["session_id"] == str(session_id)]
            cancel = f"/mes-inscriptions/{booking['booking_id']}/annuler"
            done = await first.post(cancel, data=hidden((await first.get(cancel)).text), follow_redirects=True)
            assert done.status_code == 200

            (promoted,) = [each for each in await second.bookings() if each["session_id"] == str(session_id)]
            assert promoted["state"] == "confirmed"
            assert promoted["reason"].startswith("rang 1, place libérée le")

    (cancelled, _) = await eventually(lambda: exactly(2, stack, "agent-0060"), 60)
    assert (cancelled["calendar"]["method"], cancelled["calendar"]["entries"][0]["uid"]) == ("CANCEL", event.uid)
    news = await eventually(lambda: mails_to(stack, address_of("agent-0061"), "unique"), 60)
    assert any("place libérée" in each["text"] and each["calendar"] for each in news)


async def test_B1_200_parallel_bookings_of_ten_seats_through_http(stack: Stack, operator: Bus, http: httpx2.AsyncClient) -> None:
    session_id = await a_session(operator, capacity=10)
    everyone = [*AGENTS, *(f"visitor-{number}" for number in range(20))]
    await register_visitors(operator, everyone[180:])
    apis = [Api(http, token) for token in await tokens(operator, everyone)]
    await eventually(lambda: is_open(stack, session_id))

    answers = await asyncio.gather(*(api.book(session_id) for api in apis))

    assert Counter(answer.status_code for answer in answers) == {201: 200}
    places = [answer.json() for answer in answers]
    assert Counter(place["state"] for place in places) == {"confirmed": 10, "waiting": 190}
    queue = sorted((place for place in places if place["state"] == "waiting"), key=lambda place: place["rank"])
    assert [place["rank"] for place in queue] == list(range(1, 191))
    order = [row.booking_id for row in await rows(stack, IN_ORDER, session_id=session_id)]
    assert [str(booking_id) for booking_id in order[10:]] == [place["booking_id"] for place in queue], "in the order of arrival"

    async def told() -> bool:
        return await mails_of(stack, session_id) == 200

    await eventually(told, 60)
    await eventually(lambda: all_quiet(stack), 60)


async def test_a_stream_deleted_by_hand_is_refilled_and_no_effect_is_repeated(
    stack: Stack, operator: Bus, http: httpx2.AsyncClient
) -> None:
    session_id = await a_session(operator, capacity=5)
    first, second = await tokens(operator, ["agent-0070", "agent-0071"])
    await eventually(lambda: is_open(stack, session_id))
    await Api(http, first).book(session_id)
    await eventually(lambda: all_quiet(stack), 60)
    client = await topology_client(stack)
    try:
        await eventually(lambda: all_heard(stack, client), 60)
        before = await one(stack, "select count(*) from notify.mail")

        await client.jetstream().delete_stream("EVT_BOOKING")
        await eventually(lambda: all_heard(stack, client), 60)
        assert await one(stack, "select count(*) from notify.mail") == before, "every event came again, and no mail was written again"

        assert (await Api(http, second).book_patiently(session_id, "after the refill")).status_code == 201
        await eventually(lambda: all_heard(stack, client), 60)
        await eventually(lambda: all_quiet(stack), 60)
        assert await mails_of(stack, session_id) == 2
    finally:
        await client.close()


async def test_a_durable_deleted_by_hand_comes_back_and_consumption_resumes(stack: Stack, operator: Bus, http: httpx2.AsyncClient) -> None:
    session_id = await a_session(operator, capacity=5)
    (token,) = await tokens(operator, ["agent-0072"])
    await eventually(lambda: is_open(stack, session_id))
    client = await topology_client(stack)
    try:
        await client.jetstream().delete_consumer("EVT_BOOKING", "notify-bookings")
        await Api(http, token).book(session_id)

        async def told_once() -> bool:
            return await mails_of(stack, session_id) == 1

        await eventually(told_once, 60)
        await eventually(lambda: all_heard(stack, client), 60)
        assert await mails_of(stack, session_id) == 1
    finally:
        await client.close()


IN_ORDER = "select booking_id from booking.booking where session_id = :session_id order by session_sequence"
MAILS_OF = "select count(*) from notify.mail where session_id = :session_id and state in ('sent', 'bounced')"


async def page_with(client: httpx2.AsyncClient, path: str, words: str) -> str:
    answer = await client.get(path)
    return answer.text if words in answer.text else ""


def hidden(page: str) -> dict[str, str]:
    """The hidden fields of a form, as a browser sends them."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page))


async def exactly(number: int, stack: Stack, sub: str) -> list[dict[str, Any]]:
    found = await mails_to(stack, address_of(sub), "unique")
    return found if len(found) == number else []


async def mails_of(stack: Stack, session_id: UUID) -> int:
    return await one(stack, MAILS_OF, session_id=session_id)


async def all_heard(stack: Stack, client: Client) -> bool:
    """Everything that booking said is in its stream, and notify has taken all of it."""
    try:
        stored = (await client.jetstream().stream_info("EVT_BOOKING")).state.messages
        info = await client.jetstream().consumer_info("EVT_BOOKING", "notify-bookings")
    except NotFoundError:
        return False
    said = await one(stack, "select count(*) from booking.outbox")
    return stored >= said and not info.num_pending and not info.num_ack_pending

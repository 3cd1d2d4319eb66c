"""A seat refused because of another that the agent has: exchanged by the API, by a page, by the link of a mail (B5, B10)."""

from __future__ import annotations

import asyncio
import re
from html import unescape
from uuid import UUID

import pytest
from pydantic import SecretStr

from shared.contracts.agenda import LiftFairUse
from shared.contracts.booking import Booking, BookSeat, CancelBooking, GetBooking
from shared.contracts.catalog import ActivityType
from shared.errors import Refused
from shared.links import Link, Purpose
from tests.gateway.conftest import ALICE, BOB, OPERATOR, House, IdentityProvider, add_session, sign_in
from tests.gateway.given import refusal

SECRET = SecretStr("what notify and the gateway share")
Clicks = dict[str, str]


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


async def book(house: House, session_id: UUID, agent_id: UUID) -> Booking:
    for _ in range(200):
        try:
            return await house.bus.ask(BookSeat(session_id=session_id, agent_id=agent_id), OPERATOR)
        except Refused as early:
            if early.code != "session_not_ready":
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


async def state_of(house: House, booking: Booking) -> str:
    return (await house.bus.ask(GetBooking(booking_id=booking.booking_id), OPERATOR)).state.value


def form_in(page: str) -> tuple[str, Clicks]:
    """Where the button of the first exchange leads, and with which fields."""
    form = re.search(r'<form method="post" action="([^"]+)" class="choices">(.*?)</form>', page, re.DOTALL)
    assert form, page
    return unescape(form[1]), dict(re.findall(r'name="([^"]+)" value="([^"]+)"', form[2]))


async def test_B5_the_api_refuses_with_the_clash_and_exchanges_it(open_house: House) -> None:
    one, other = await add_session(open_house), await add_session(open_house)
    mine = await book(open_house, one, ALICE.agent_id)
    await book(open_house, other, BOB.agent_id)
    alice = await open_house.script(ALICE)

    refused = await alice.post(f"/api/v1/sessions/{other}/bookings")
    assert refusal(refused) == (409, "overlap")
    (clash,) = refused.json()["clashes"]
    assert (clash["booking_id"], clash["session_id"]) == (str(mine.booking_id), str(one))

    swapped = await alice.post(f"/api/v1/bookings/{mine.booking_id}/swap", json={"session_id": str(other)})
    assert (swapped.status_code, swapped.json()["state"], swapped.json()["session_id"]) == (201, "confirmed", str(other))
    assert (await alice.get(swapped.headers["location"])).json()["booking_id"] == swapped.json()["booking_id"]
    assert await state_of(open_house, mine) == "cancelled_by_agent"


async def test_B5_the_portal_asks_whether_to_exchange_and_one_button_does(open_house: House, identity: IdentityProvider) -> None:
    one, other = await add_session(open_house, title="Pitcher"), await add_session(open_house, title="Dessiner")
    mine = await book(open_house, one, ALICE.agent_id)
    await book(open_house, other, BOB.agent_id)
    browser = open_house.browser()
    assert identity
    assert (await sign_in(browser, ALICE)).status_code == 303

    asked = await browser.post(f"/seances/{other}/inscription", data={"cle": "click"})
    assert asked.status_code == 409
    assert "Échanger, ou garder" in asked.text
    assert "Pitcher" in asked.text
    assert "Dessiner" in asked.text
    assert await state_of(open_house, mine) == "confirmed", "asking changes nothing"

    action, fields = form_in(asked.text)
    done = await browser.post(action, data=fields, follow_redirects=True)
    assert "C’est échangé" in done.text
    assert await state_of(open_house, mine) == "cancelled_by_agent"


async def test_B5_the_link_of_an_offer_that_overlaps_asks_and_then_exchanges(open_house: House) -> None:
    talk = await add_session(open_house, capacity=1, activity_type=ActivityType.INNOVATION_THURSDAY)
    other = await add_session(open_house)
    seat, waiting = await book(open_house, talk, ALICE.agent_id), await book(open_house, talk, BOB.agent_id)
    mine = await book(open_house, other, BOB.agent_id)
    await open_house.bus.ask(CancelBooking(booking_id=seat.booking_id), OPERATOR)
    offered = await open_house.bus.ask(GetBooking(booking_id=waiting.booking_id), OPERATOR)
    assert offered.offer is not None
    anybody = open_house.browser()
    link = f"/reponse/{Link(Purpose.ACCEPT_OFFER, offered.booking_id, BOB.agent_id, offered.offer.deadline).sign(SECRET)}"

    asked = await anybody.post(link)
    assert (asked.status_code, asked.headers["cache-control"]) == (409, "no-store")
    action, fields = form_in(asked.text)
    assert (action, fields["a_la_place"]) == (link, str(mine.booking_id))
    done = await anybody.post(action, data=fields)

    assert done.status_code == 200
    assert (await state_of(open_house, offered), await state_of(open_house, mine)) == ("confirmed", "cancelled_by_agent")


async def test_B10_the_page_lists_the_three_and_the_lab_may_lift_the_limit(open_house: House, identity: IdentityProvider) -> None:
    days = [await add_session(open_house, title=f"Atelier {day}", days=day) for day in (17, 18, 19, 20)]
    for session_id in days[:3]:
        await book(open_house, session_id, ALICE.agent_id)
    await book(open_house, days[3], BOB.agent_id)
    browser = open_house.browser()
    assert identity
    assert (await sign_in(browser, ALICE)).status_code == 303

    asked = await browser.post(f"/seances/{days[3]}/inscription")
    assert asked.status_code == 409
    assert asked.text.count("Échanger cette place") == 3
    await open_house.bus.ask(LiftFairUse(agent_id=ALICE.agent_id, session_id=days[3], reason="remplace une collègue"), OPERATOR)
    assert (await browser.post(f"/seances/{days[3]}/inscription")).status_code == 303

"""A hybrid session through the API and on its page: seats of two kinds, and the way from one to the other (B9)."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx2
import pytest

from shared.contracts.catalog import ActivityType, DeliveryMode
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, BOB, House, IdentityProvider, add_session, sign_in
from tests.gateway.given import refusal


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


async def given_hybrid(house: House, capacity: int = 1, remote_capacity: int = 2) -> UUID:
    talk = ActivityType.INNOVATION_THURSDAY  # a freed seat is given at once
    hybrid = DeliveryMode.HYBRID
    return await add_session(house, activity_type=talk, delivery_mode=hybrid, capacity=capacity, remote_capacity=remote_capacity)


async def booked(caller: httpx2.AsyncClient, session_id: UUID, **wish: Any) -> dict[str, Any]:
    answers: list[httpx2.Response] = []

    async def known() -> bool:
        answers.append(await caller.post(f"/api/v1/sessions/{session_id}/bookings", json=wish))
        return answers[-1].json().get("code") != "session_not_ready"

    await eventually(known)
    assert answers[-1].status_code == 201, answers[-1].text
    return answers[-1].json()


async def test_B9_the_api_books_at_a_distance_and_changes_the_mode(open_house: House) -> None:
    session_id = await given_hybrid(open_house)
    alice, bob = await open_house.script(ALICE), await open_house.script(BOB)

    seat = await booked(alice, session_id)
    waits = await booked(bob, session_id)
    assert (seat.get("remote", False), waits["state"], waits["rank"]) == (False, "waiting", 1)

    moved = await alice.post(f"/api/v1/bookings/{seat['booking_id']}/mode", json={"remote": True}, headers={"If-Match": '"1"'})
    assert (moved.status_code, moved.json()["remote"], moved.headers["etag"]) == (200, True, '"2"')
    assert (await bob.get(f"/api/v1/bookings/{waits['booking_id']}")).json()["state"] == "confirmed"

    async def is_told() -> bool:
        seats = (await alice.get(f"/api/v1/sessions/{session_id}")).json()["availability"]
        return seats["seats_left"] == 0 and seats["remote"] == {"capacity": 2, "seats_left": 1, "waiting": 0}

    await eventually(is_told)
    back = await alice.post(f"/api/v1/bookings/{seat['booking_id']}/mode", json={"remote": False})
    assert refusal(back) == (409, "no_seat_to_swap")
    assert (await alice.post(f"/api/v1/bookings/{seat['booking_id']}/mode", json={})).status_code == 422


async def test_B9_a_session_without_places_at_a_distance_refuses_them(open_house: House) -> None:
    session_id = await add_session(open_house)
    alice = await open_house.script(ALICE)
    seat = await booked(alice, session_id)

    bob = await open_house.script(BOB)
    assert refusal(await bob.post(f"/api/v1/sessions/{session_id}/bookings", json={"remote": True})) == (409, "no_remote_places")
    assert refusal(await alice.post(f"/api/v1/bookings/{seat['booking_id']}/mode", json={"remote": True})) == (409, "no_remote_places")


async def test_B9_the_page_asks_how_one_takes_part_and_lets_one_change(open_house: House, identity: IdentityProvider) -> None:
    session_id = await given_hybrid(open_house)
    await booked(await open_house.script(BOB), session_id)
    browser = open_house.browser()
    await sign_in(browser, ALICE)
    page = (await browser.get(f"/seances/{session_id}")).text
    assert "Dans la salle : complet" in page
    assert "À distance : 2 places restantes" in page
    assert 'value="distance" checked' in page

    assert (await browser.post(f"/seances/{session_id}/inscription", data={"mode": "distance"})).status_code == 303
    page = (await browser.get(f"/seances/{session_id}")).text

    assert "place confirmée, à distance" in page
    assert "Venir dans la salle" not in page, "none is free"
    assert "À distance" in (await browser.get("/mes-inscriptions")).text
    mine = (await (await open_house.script(ALICE)).get("/api/v1/me/bookings")).json()["bookings"][0]
    changed = await browser.post(f"/mes-inscriptions/{mine['booking_id']}/mode", data={"mode": "salle"})
    page = (await browser.get(changed.headers["location"])).text
    assert "pas de place libre à prendre en échange" in page
    assert "place confirmée, à distance" in page


async def test_B9_a_seat_at_a_distance_is_enough_to_be_listed_as_free(open_house: House) -> None:
    session_id = await given_hybrid(open_house)
    await booked(await open_house.script(BOB), session_id)
    anybody = open_house.browser()

    async def counted() -> bool:
        listed = (await anybody.get("/api/v1/sessions", params={"free": "true"})).json()["sessions"]
        return [each["availability"]["words"] for each in listed] == ["complet dans la salle, 2 à distance"]

    await eventually(counted)

"""The line manager's page, reached by a signed link without an account, and booking for oneself or for others with it (B7, K5, P4)."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from shared import clock
from shared.bus import Caller
from shared.contracts.booking import Booking, GetBooking
from shared.contracts.gateway import Contact, GetContact
from shared.errors import Refused
from shared.links import Link, Purpose
from tests.gateway.conftest import ALICE, BOB, OPERATOR, House, IdentityProvider, add_session, sign_in

SECRET = SecretStr("what notify and the gateway share")
CHIEF = "chef.de.service@exemple.invalid"


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


async def apply(house: House, script: httpx2.AsyncClient, session_id: UUID, **wish: str) -> httpx2.Response:
    for _ in range(100):
        answer = await script.post(f"/api/v1/sessions/{session_id}/bookings", json=wish)
        if answer.status_code != 409 or answer.json()["code"] != "session_not_ready":
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


async def given_a_request(house: House) -> Booking:
    """Alice's, for a session whose only seat it holds."""
    session_id = await add_session(house, capacity=1, needs_approval=True)
    answer = await apply(house, await house.script(ALICE), session_id, line_manager_email=CHIEF)
    assert answer.status_code == 201, answer.text
    return Booking.model_validate(answer.json())


async def now_of(house: House, booking: Booking) -> Booking:
    return await house.bus.ask(GetBooking(booking_id=booking.booking_id), OPERATOR)


def address(booking: Booking, purpose: Purpose, who: UUID | None = None) -> str:
    assert booking.manager_id is not None
    return f"/reponse/{Link(purpose, booking.booking_id, who or booking.manager_id, clock.now()).sign(SECRET)}"


async def press(manager: httpx2.AsyncClient, link: str, version: int) -> httpx2.Response:
    return await manager.post(link, data={"version": str(version)})


async def test_P4_the_address_stays_in_the_directory_and_only_notify_learns_it(open_house: House) -> None:
    place = await given_a_request(open_house)
    assert place.pending is not None
    assert (place.state, place.pending.kind, place.pending.state) == ("confirmed", "pending_approval", "open")
    assert place.manager_id is not None

    contact = await open_house.bus.ask(GetContact(agent_id=place.manager_id), Caller("notify"))
    assert contact == Contact(agent_id=place.manager_id, given_name="", usual_name="", email=CHIEF)
    with pytest.raises(Refused) as refused:
        await open_house.bus.ask(GetContact(agent_id=place.manager_id), Caller(str(ALICE.agent_id), frozenset({"agent"})))
    assert refused.value.code == "not_allowed"
    async with open_house.database.connect() as connection:
        said = await connection.scalars(text("select payload::text || headers::text from outbox"))
        assert not any(CHIEF in each for each in said)

    again = await apply(open_house, await open_house.script(BOB), place.session_id, line_manager_email=CHIEF)
    assert again.json()["manager_id"] != str(place.manager_id), "who named somebody is nobody else's business"


@pytest.mark.parametrize(
    ("purpose", "button", "said", "outcome"),
    [
        (Purpose.APPROVE_BOOKING, "Oui, je donne mon accord", "la place est confirmée", ("confirmed", "granted")),
        (Purpose.REFUSE_BOOKING, "Oui, je refuse", "la place est rendue", ("cancelled_by_lab", "refused")),
    ],
)
async def test_K5_a_line_manager_answers_by_a_link_that_changes_nothing_until_its_button(
    open_house: House, purpose: Purpose, button: str, said: str, outcome: tuple[str, str]
) -> None:
    place = await given_a_request(open_house)
    anybody = open_house.browser()
    link = address(place, purpose)

    for _ in range(3):  # a scanner, a preview, the person
        page = await anybody.get(link)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert button in page.text
        assert f"{ALICE.given_name} {ALICE.usual_name}" in page.text
        assert "<script" not in page.text
    assert await now_of(open_house, place) == place

    done = await press(anybody, link, place.version)
    assert done.status_code == 200
    assert said in done.text
    after = await now_of(open_house, place)
    assert after.pending is not None
    assert (after.state, after.pending.state) == outcome

    for other in (Purpose.APPROVE_BOOKING, Purpose.REFUSE_BOOKING):
        again = await press(anybody, address(place, other), after.version)
        assert again.status_code == 409
        assert "plus de réponse" in again.text
        looked = await anybody.get(address(place, other))
        assert (looked.status_code, "<form method" in looked.text.split("<main")[1]) == (200, False)
    assert await now_of(open_house, place) == after


async def test_B7_what_changed_since_it_was_read_is_read_again(open_house: House) -> None:
    place = await given_a_request(open_house)

    answer = await press(open_house.browser(), address(place, Purpose.APPROVE_BOOKING), place.version + 1)

    assert answer.status_code == 412
    assert "Oui, je donne mon accord" in answer.text
    assert await now_of(open_house, place) == place


async def test_K5_a_link_of_another_manager_opens_nothing(open_house: House) -> None:
    place = await given_a_request(open_house)
    for who in (uuid4(), ALICE.agent_id):
        for link in (address(place, Purpose.APPROVE_BOOKING, who), address(place, Purpose.REFUSE_BOOKING, who)):
            answer = await press(open_house.browser(), link, place.version)
            assert answer.status_code == 404
    assert await now_of(open_house, place) == place


@pytest.mark.parametrize(
    ("given", "code"),
    [("", "line_manager_required"), ("sans arobase", "contact_invalid"), (ALICE.email.upper(), "contact_is_oneself")],
)
async def test_B7_without_somebody_elses_address_there_is_no_request(open_house: House, given: str, code: str) -> None:
    session_id = await add_session(open_house, needs_approval=True)

    answer = await apply(open_house, await open_house.script(ALICE), session_id, line_manager_email=given)

    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_B7_the_page_of_the_session_asks_for_the_address_and_says_what_is_held(
    open_house: House, identity: IdentityProvider, eventually: Any
) -> None:
    assert identity
    session_id = await add_session(open_house, needs_approval=True)
    browser = open_house.browser()
    assert (await sign_in(browser, ALICE)).status_code == 303
    page = f"/seances/{session_id}"
    assert 'name="responsable" type="email"' in (await browser.get(page)).text

    async def booked() -> bool:
        return (await browser.post(f"{page}/inscription", data={"responsable": CHIEF})).status_code == 303

    await eventually(booked)

    shown = (await browser.get(page)).text
    assert "le temps que votre responsable réponde" in shown
    assert "Accord de votre responsable attendu" in shown
    assert "Accord de votre responsable attendu" in (await browser.get("/mes-inscriptions")).text


# --- booking for others ---------------------------------------------------------------------------------------------------------------


async def test_a_referent_books_for_agents_of_the_same_service_and_nobody_else_does(open_house: House) -> None:
    session_id = await add_session(open_house)
    before = await apply(open_house, await open_house.script(ALICE), session_id, agent_email=BOB.email)
    assert (before.status_code, before.json()["code"]) == (403, "not_allowed")

    async with open_house.database.begin() as tx:
        await tx.execute(text("update agents set innovation_referent = true where agent_id = :id"), {"id": ALICE.agent_id})
    script = await open_house.script(ALICE)
    elsewhere = await apply(open_house, script, session_id, agent_email=BOB.email)
    nobody = await apply(open_house, script, session_id, agent_email="personne@exemple.invalid")
    assert (elsewhere.status_code, elsewhere.json()["code"], elsewhere.json()["code"]) == (404, "agent_unknown", nobody.json()["code"])

    async with open_house.database.begin() as tx:
        await tx.execute(text("update agents set org_unit = 'DDT-31' where agent_id = any(:ids)"), {"ids": [ALICE.agent_id, BOB.agent_id]})
    done = await apply(open_house, await open_house.script(ALICE), session_id, agent_email=BOB.email)

    assert done.status_code == 201, done.text
    assert (done.json()["agent_id"], done.json()["booked_by"]) == (str(BOB.agent_id), str(ALICE.agent_id))

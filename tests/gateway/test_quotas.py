"""Seats that some agents book first, through the house: the rule on the page, who it lets in, what the others read (W1)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from shared import clock
from shared.contracts.quotas import Quota
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, BOB, OTHERS, House, IdentityProvider, add_session, sign_in
from tests.gateway.given import refusal

CAROL = next(agent for agent in OTHERS if agent.org_unit.department == "48")


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB, CAROL)
    return house


async def given_reserved(house: House, *, seats: int = 1) -> UUID:
    """For agents of Ariège and Lozère until tomorrow, and open since an hour ago."""
    now = clock.now()
    quota = Quota(seats=seats, until=now + timedelta(days=1), departments=("09", "48"))
    session_id = await add_session(house, capacity=4, opens_at=now - timedelta(hours=1), quota=quota)

    async def is_known() -> bool:
        answer = await (await house.script(ALICE)).post(f"/api/v1/sessions/{session_id}/bookings")
        return refusal(answer) == (409, "booking_not_open_yet")

    await eventually(is_known)
    return session_id


async def test_W1_the_department_of_the_workplace_lets_in_and_the_others_are_told_when(open_house: House) -> None:
    session_id = await given_reserved(open_house)
    alice, bob, carol = [await open_house.script(each) for each in (ALICE, BOB, CAROL)]

    early = await alice.post(f"/api/v1/sessions/{session_id}/bookings")
    first = await bob.post(f"/api/v1/sessions/{session_id}/bookings")
    late = await carol.post(f"/api/v1/sessions/{session_id}/bookings")

    assert refusal(early) == (409, "booking_not_open_yet")
    assert (first.status_code, first.json()["state"]) == (201, "confirmed")
    assert refusal(late) == (409, "quota_taken")
    quota = (await alice.get(f"/api/v1/sessions/{session_id}")).json()["quota"]
    assert (quota["seats"], quota["newcomers"], quota["departments"]) == (1, False, ["09", "48"])
    assert early.json()["opens_at"][:16] == late.json()["opens_at"][:16] == quota["until"][:16]


async def test_W1_the_page_publishes_the_rule_and_says_when_the_reserved_seats_are_taken(
    open_house: House, identity: IdentityProvider
) -> None:
    session_id = await given_reserved(open_house, seats=2)
    browser = open_house.browser()
    await sign_in(browser, ALICE)

    page = (await browser.get(f"/seances/{session_id}")).text
    assert "2 places sont réservées aux agents qui travaillent dans ces départements" in page
    assert "Ariège (09), Lozère (48). Ensuite, tout le monde peut s’inscrire, sans autre priorité." in page
    refused = await browser.post(f"/seances/{session_id}/inscription", data={})
    assert "ne sont pas encore ouvertes. Elles ouvrent le " in refused.text

    for agent in (BOB, CAROL):
        assert (await (await open_house.script(agent)).post(f"/api/v1/sessions/{session_id}/bookings")).status_code == 201
    page = (await browser.get(f"/seances/{session_id}")).text
    assert "Les places réservées sont prises" in page
    assert "Rejoindre la liste d’attente" not in page, "nobody waits for them"

"""M3 through the house: what the page and the API say of a quorum, the lab that keeps a session, and one that is cancelled for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.booking.quorum.handlers import timers
from shared import clock
from shared.contracts.quorum import GetQuorum
from shared.database import Database
from shared.timers import TimerPoller
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, LAB, OPERATOR, House, add_session
from tests.gateway.given import refusal


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking")
    await house.register(ALICE, LAB)
    return house


async def shown(house: House, session_id: UUID, state: str | None) -> dict[str, Any]:
    """The session in the API, once its quorum is in this state."""
    item: dict[str, Any] = {}

    async def is_so() -> bool:
        answer = await house.browser().get(f"/api/v1/sessions/{session_id}")
        item.update(answer.json())
        return answer.status_code == 200 and (item["quorum"] or {}).get("state") == state

    await eventually(is_so)
    return item


async def test_M3_the_page_and_the_api_say_how_many_are_needed_and_when(open_house: House) -> None:
    session_id = await add_session(open_house, quorum=6)

    item = await shown(open_house, session_id, "open")

    found = await open_house.bus.ask(GetQuorum(session_id=session_id), OPERATOR)
    assert item["quorum"]["needed"] == 6
    assert found.decides_at.isoformat().startswith(item["quorum"]["decides_at"].removesuffix("Z"))
    page = (await open_house.browser().get(f"/seances/{session_id}")).text
    assert "aura lieu si au moins 6 personnes sont inscrites le " in page
    assert " à 9 h." in page


async def test_M3_a_session_without_quorum_says_nothing_of_one(open_house: House) -> None:
    session_id = await add_session(open_house)

    assert (await shown(open_house, session_id, None))["quorum"] is None
    assert "aura lieu" not in (await open_house.browser().get(f"/seances/{session_id}")).text


async def test_M3_the_lab_keeps_a_session_and_the_page_says_that_it_takes_place(open_house: House) -> None:
    session_id = await add_session(open_house, quorum=6)
    await shown(open_house, session_id, "open")
    lab, address = await open_house.script(LAB), f"/api/v1/lab/sessions/{session_id}/quorum"
    alice = await open_house.script(ALICE)
    assert refusal(await alice.post(f"{address}/keep", json={"reason": "je viens"})) == (403, "not_allowed")
    assert refusal(await alice.get(address)) == (403, "not_allowed")

    kept = await lab.post(f"{address}/keep", json={"reason": "le lieu est réservé"}, headers={"Idempotency-Key": "une fois"})
    again = await lab.post(f"{address}/keep", json={"reason": "le lieu est réservé"}, headers={"Idempotency-Key": "une fois"})

    assert kept.status_code == again.status_code == 200, kept.text
    assert kept.json() == again.json()
    assert (kept.json()["state"], kept.json()["reason"], kept.json()["taken"]) == ("kept", "le lieu est réservé", 0)
    assert (await lab.get(address)).json() == kept.json()
    assert refusal(await lab.post(f"{address}/keep", json={"reason": "encore"})) == (409, "quorum_already_decided")
    await shown(open_house, session_id, "kept")
    assert "Cette séance aura bien lieu." in (await open_house.browser().get(f"/seances/{session_id}")).text


async def test_M3_a_missed_quorum_goes_through_the_house_to_a_page_that_says_why(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    session_id = await add_session(open_house, quorum=6, days=17)
    await shown(open_house, session_id, "open")
    alice = await open_house.script(ALICE)
    booked = (await alice.post(f"/api/v1/sessions/{session_id}/bookings")).json()
    booking = Database.of(open_house.settings_for("booking"))
    open_house.stack.push_async_callback(booking.dispose)
    later = clock.now() + timedelta(days=12)
    monkeypatch.setattr(clock, "now", lambda: later)

    assert await TimerPoller(booking, [timers]).fire_next()

    async def is_cancelled() -> bool:
        place = (await alice.get(f"/api/v1/bookings/{booked['booking_id']}")).json()
        session = (await alice.get(f"/api/v1/sessions/{session_id}")).json()
        return (place.get("state"), session.get("status")) == ("cancelled_by_lab", "cancelled")

    await eventually(is_cancelled)
    page = (await open_house.browser().get(f"/seances/{session_id}")).text
    assert "pas assez d&#39;inscriptions, il en fallait 6" in page
    assert "aura lieu" not in page

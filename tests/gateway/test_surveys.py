"""The three questions by the link of a mail, and through the API; what the lab may read (P5)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from services.booking.feedback.handlers import timers
from services.booking.strikes import handlers as strikes
from shared import clock
from shared.database import Database
from shared.links import Link, Purpose
from shared.timers import TimerPoller
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, BOB, LAB, House, add_session
from tests.gateway.given import refusal

SECRET = SecretStr("what notify and the gateway share")


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking")
    await house.register(ALICE, BOB, LAB)
    return house


async def invited(house: House, monkeypatch: pytest.MonkeyPatch) -> tuple[UUID, UUID]:
    """A session that Alice came to, and her invitation."""
    session_id = await add_session(house, days=17)
    alice = await house.script(ALICE)

    async def is_booked() -> bool:
        return (await alice.post(f"/api/v1/sessions/{session_id}/bookings")).status_code == 201

    await eventually(is_booked)  # once booking has heard of the session
    booking = Database.of(house.settings_for("booking"))
    house.stack.push_async_callback(booking.dispose)
    later = clock.now() + timedelta(days=19)
    monkeypatch.setattr(clock, "now", lambda: later)
    poller = TimerPoller(booking, [timers, strikes.timers])
    while await poller.fire_next():
        pass
    async with booking.connect() as connection:
        return session_id, await connection.scalar(text("select invitation_id from feedback_invitation"))


def address(invitation_id: UUID, agent_id: UUID = ALICE.agent_id) -> str:
    return f"/avis/{Link(Purpose.GIVE_FEEDBACK, invitation_id, agent_id, clock.now()).sign(SECRET)}"


async def test_P5_the_link_asks_three_questions_its_form_answers_them_once_and_names_nobody(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, invitation_id = await invited(open_house, monkeypatch)
    anybody, link = open_house.browser(), address(invitation_id)

    for _ in range(3):  # a scanner, a preview, the person
        page = await anybody.get(link)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert "Cette séance vous a-t-elle été utile" in page.text
        assert ALICE.usual_name not in page.text
        assert "<script" not in page.text
    half = await anybody.post(link, data={"useful": "4", "words": "Plus <d'essais>"})
    assert (half.status_code, half.text.count("Choisissez une réponse.")) == (422, 1)
    assert 'value="4" required checked' in half.text
    assert "Plus &lt;d&#39;essais&gt;" in half.text

    done = await anybody.post(link, data={"useful": "4", "applied": "3", "words": "Plus d'essais"})
    assert (done.status_code, "enregistrées, sans votre nom" in done.text) == (200, True)
    again = await anybody.post(link, data={"useful": "1", "applied": "1"})
    assert (again.status_code, "déjà enregistré" in again.text) == (409, True)
    assert "Avis déjà donné" in (await anybody.get(link)).text


async def test_a_link_for_somebody_else_or_forged_leads_nowhere_and_a_late_one_says_so(
    open_house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, invitation_id = await invited(open_house, monkeypatch)
    anybody = open_house.browser()

    assert (await anybody.get(address(invitation_id, BOB.agent_id))).status_code == 404
    assert (await anybody.get("/avis/nothing-that-we-signed")).status_code == 404
    much_later = clock.now() + timedelta(days=40)
    monkeypatch.setattr(clock, "now", lambda: much_later)
    late = await anybody.get(address(invitation_id))
    assert (late.status_code, "Ce questionnaire est clos" in late.text) == (200, True)
    assert (await anybody.post(address(invitation_id), data={"useful": "4", "applied": "3"})).status_code == 410


async def test_P5_the_api_takes_one_answer_and_shows_the_lab_none_below_five(open_house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id, invitation_id = await invited(open_house, monkeypatch)
    alice, bob, lab = [await open_house.script(each) for each in (ALICE, BOB, LAB)]
    survey = f"/api/v1/me/surveys/{invitation_id}"

    assert (await alice.get(survey)).json()["answered"] is False
    assert refusal(await bob.post(survey, json={"useful": 4, "applied": 3})) == (404, "feedback_not_asked")
    assert refusal(await alice.post(survey, json={"useful": 5, "applied": 3})) == (422, "invalid_request")
    assert (await alice.post(survey, json={"useful": 4, "applied": 3, "words": "Bien."})).json()["answered"] is True
    assert refusal(await alice.post(survey, json={"useful": 1, "applied": 1})) == (409, "feedback_given")
    assert refusal(await alice.get(f"/api/v1/me/surveys/{uuid4()}")) == (404, "feedback_not_asked")

    results = f"/api/v1/lab/sessions/{session_id}/feedback"
    assert refusal(await alice.get(results)) == (403, "not_allowed")
    (hot,) = (await lab.get(results)).json()["surveys"]
    assert (hot["asked"], hot["answers"], hot["useful"], hot["words"]) == (1, 0, [0, 0, 0, 0], [])

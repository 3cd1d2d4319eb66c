"""What an agent is written to about: the page, the API, and the end of it in one click (RFC 8058)."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from services.notify.bounces import store as bounces
from shared.contracts.booking import BookSeat
from shared.contracts.preferences import GetPreferences, Preferences, Topic
from shared.contracts.reminders import GiveJoiningInstructions
from shared.database import Database
from shared.errors import Refused
from shared.links import OptOut
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, BOB, OPERATOR, House, IdentityProvider, add_session, sign_in
from tests.gateway.given import refusal

SECRET = SecretStr("what notify and the gateway share")


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("notify")
    await house.register(ALICE, BOB)
    return house


async def chosen(house: House) -> Preferences:
    return await house.bus.ask(GetPreferences(agent_id=ALICE.agent_id), OPERATOR)


def address(topic: Topic = Topic.REMINDERS, agent_id: UUID = ALICE.agent_id) -> str:
    return f"/desabonnement/{OptOut(topic, agent_id).sign(SECRET)}"


async def test_RFC8058_opening_the_link_changes_nothing_and_one_click_does(open_house: House) -> None:
    mail_program = open_house.browser()

    for method in ("GET", "HEAD", "GET"):
        page = await mail_program.request(method, address())
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert "les rappels et les convocations" in page.text
    assert "<script" not in page.text
    assert (await chosen(open_house)).version == 0

    for _ in range(2):
        done = await mail_program.post(
            address(),
            data={"List-Unsubscribe": "One-Click"},
            headers={"Sec-Fetch-Site": "cross-site", "Origin": "https://courriel.invalid"},
        )
        assert (done.status_code, "set-cookie" in done.headers) == (200, False)
        assert "Vous ne recevrez plus" in done.text
    after = await chosen(open_house)
    assert (after.reminders, after.waitlist, after.version) == ("none", "immediate", 1)


async def test_RFC8058_the_body_may_come_in_either_form_or_not_at_all(open_house: House) -> None:
    for topic, sent in (
        (Topic.WAITLIST, {"files": {"List-Unsubscribe": (None, "One-Click")}}),
        (Topic.REMINDERS, {"content": b""}),
        (Topic.NEWS, {"data": {"List-Unsubscribe": "One-Click"}}),
    ):
        assert (await open_house.browser().post(address(topic), **sent)).status_code == 200  # pyright: ignore[reportArgumentType]

    after = await chosen(open_house)
    assert (after.reminders, after.waitlist, after.news) == ("none", "none", "none")


async def test_a_link_that_we_did_not_sign_ends_nothing(open_house: House) -> None:
    good = address().rpartition("/")[2]
    other = OptOut(Topic.NEWS, ALICE.agent_id).sign(SecretStr("another"))

    for wrong in (good[:-2] + "AA", "cg" + good[2:-1], "x", str(other)):
        for method in ("GET", "POST"):
            assert (await open_house.browser().request(method, f"/desabonnement/{wrong}")).status_code == 404, wrong
    assert (await chosen(open_house)).version == 0


async def test_my_preferences_are_chosen_on_a_plain_page(open_house: House, identity: IdentityProvider) -> None:
    assert identity
    alice = open_house.browser()
    assert (await alice.get("/mes-preferences")).status_code == 303
    assert (await sign_in(alice, ALICE)).status_code == 303

    page = (await alice.get("/mes-preferences")).text
    assert 'value="immediate" checked' in page
    form = {
        "reminders": "immediate",
        "waitlist": "digest",
        "news": "digest",
        "surveys": "none",
        "departments:31": "oui",
        "departments:82": "oui",
    }
    saved = await alice.post("/mes-preferences", data=form, follow_redirects=True)

    assert "Vos préférences sont enregistrées." in saved.text
    assert saved.text.count("checked") == 6
    after = await chosen(open_house)
    assert (after.waitlist, after.news, after.departments, after.themes) == ("digest", "digest", ("31", "82"), ())
    assert (await alice.post("/mes-preferences", data=form | {"bookings": "none"})).status_code == 303
    assert (await alice.post("/mes-preferences", data=form | {"reminders": "digest"})).status_code == 422
    assert (await chosen(open_house)).bookings == "immediate"


async def test_the_api_reads_and_changes_preferences(open_house: House) -> None:
    script = await open_house.script(ALICE)
    before = await script.get("/api/v1/me/preferences")
    assert (before.json()["reminders"], before.json()["news"], before.headers["etag"]) == ("immediate", "none", '"0"')

    changed = await script.put(
        "/api/v1/me/preferences", json={"news": "digest", "themes": ["Prise de parole"]}, headers={"If-Match": '"0"'}
    )
    late = await script.put("/api/v1/me/preferences", json={"news": "none"}, headers={"If-Match": '"0"'})
    refused = await script.put("/api/v1/me/preferences", json={"bookings": "none"})

    assert (changed.status_code, changed.json()["news"], changed.json()["version"]) == (200, "digest", 1)
    assert refusal(late) == (412, "version_conflict")
    assert refusal(refused) == (422, "invalid_request")
    assert refusal(await open_house.browser().get("/api/v1/me/preferences")) == (401, "not_signed_in")
    current = await script.get("/api/v1/me/preferences", headers={"If-None-Match": '"1"'})
    assert current.status_code == 304


async def test_how_to_come_is_for_those_who_have_a_seat_and_given_by_the_lab(open_house: House) -> None:
    await open_house.start("catalog", "booking")
    session_id = await add_session(open_house)
    alice, bob = await open_house.script(ALICE), await open_house.script(BOB)
    path = f"/api/v1/joining-instructions/{session_id}"

    async def ready(order: Any) -> bool:
        try:
            await open_house.bus.ask(order, OPERATOR)
        except Refused as early:
            if early.code != "session_not_ready":
                raise
            return False
        return True

    instructions = GiveJoiningInstructions(session_id=session_id, video_url="https://visio.exemple.invalid/x")
    await eventually(lambda: ready(instructions))
    await eventually(lambda: ready(BookSeat(session_id=session_id, agent_id=ALICE.agent_id)))

    async def seen() -> bool:
        return (await alice.get(path)).status_code == 200

    await eventually(seen)
    assert (await alice.get(path)).json()["video_url"] == "https://visio.exemple.invalid/x"
    assert refusal(await bob.get(path)) == (403, "seat_not_confirmed")
    assert refusal(await bob.put(path, json={"bring": "rien"})) == (403, "not_allowed")
    assert refusal(await alice.put(path, json={"video_url": "javascript:alert(1)"})) == (422, "invalid_request")
    assert refusal(await alice.get(path.replace(str(session_id), str(uuid4())))) == (409, "session_not_ready")


# --- calendar feeds (K4) -------------------------------------------------------------------------------------------------------------


async def test_K4_a_feed_is_opened_read_without_a_sign_in_listed_and_closed(open_house: House) -> None:
    alice, bob, calendar = await open_house.script(ALICE), await open_house.script(BOB), open_house.browser()

    opened = await alice.post("/api/v1/me/calendar-feeds", json={"label": "téléphone"})
    assert opened.status_code == 201
    url, feed_id = opened.json()["url"], opened.json()["feed_id"]

    read = await calendar.get(url)
    assert (read.status_code, read.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    assert read.text.startswith("BEGIN:VCALENDAR")
    assert (await calendar.get(url, headers={"If-None-Match": read.headers["etag"]})).status_code == 304
    assert (await calendar.get(url.replace(".ics", "x.ics"))).status_code == 404

    (listed,) = (await alice.get("/api/v1/me/calendar-feeds")).json()["feeds"]
    assert (listed["label"], listed["last_used_at"] is not None, "url" in listed) == ("téléphone", True, False)
    assert (await bob.get("/api/v1/me/calendar-feeds")).json()["feeds"] == []
    assert refusal(await bob.delete(f"/api/v1/me/calendar-feeds/{feed_id}")) == (404, "calendar_feed_unknown")
    assert (await alice.delete(f"/api/v1/me/calendar-feeds/{feed_id}")).status_code == 204
    assert (await calendar.get(url)).status_code == 404


async def test_S7_an_agent_sees_that_mails_come_back(open_house: House, identity: IdentityProvider) -> None:
    assert identity
    await open_house.start("booking")
    script = await open_house.script(ALICE)
    before = (await script.get("/api/v1/me/mails")).json()
    assert (before["deliveries"], before["undeliverable_since"]) == ([], None)
    alice = open_house.browser()
    await sign_in(alice, ALICE)
    assert "Courriel non remis" not in (await alice.get("/mes-inscriptions")).text

    notify = Database.of(open_house.settings_for("notify"))
    async with notify.begin() as tx:
        await bounces.mark(tx, ALICE.agent_id, uuid4())
    await notify.dispose()

    assert (await script.get("/api/v1/me/mails")).json()["undeliverable_since"]
    assert "Courriel non remis" in (await alice.get("/mes-inscriptions")).text

"""The attendance sheet and the check-in as people meet them: signed links, forms, no JavaScript, no account (A1, A4, K5)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from shared import clock
from shared.contracts.attendance import AttendanceSheet, EntrustSheet, GetSheet
from shared.contracts.booking import Booking, BookSeat, GetBooking
from shared.errors import Refused
from shared.links import Link, Purpose
from tests.gateway.conftest import ALICE, BOB, LAB, OPERATOR, House, IdentityProvider, add_session, sign_in
from tests.gateway.given import at, refusal

Eventually = Callable[..., Awaitable[Any]]
SECRET = SecretStr("what notify and the gateway share")
MORNING, EVENING = datetime(2027, 3, 18, 9, tzinfo=clock.PARIS), datetime(2027, 3, 18, 17, 30, tzinfo=clock.PARIS)
DAY = (at("2027-03-18", "09:00", "12:30"), at("2027-03-18", "14:00", "17:30"))


@pytest.fixture(autouse=True)
def clock_goes_on() -> Iterator[None]:
    before = clock.offset()
    yield
    clock.shift(before, "embedded")


def it_is(moment: datetime) -> None:
    clock.shift(clock.offset() + (moment - clock.now()), "embedded")


class Class:
    """A training of Thursday 18 March 2027 with Alice and Bob on it, and somebody without an account who keeps its sheet."""

    def __init__(self, house: House, session_id: UUID, alice: Booking, bob: Booking, sheet: AttendanceSheet) -> None:
        self.house, self.session_id, self.alice, self.bob = house, session_id, alice, bob
        assert sheet.trainer_id is not None
        self.trainer_id = sheet.trainer_id
        self.address = f"/emargement/{self.link(Purpose.KEEP_SHEET, session_id, sheet.trainer_id)}"

    def link(self, purpose: Purpose, about: UUID, who: UUID, until: datetime | None = None) -> str:
        token = Link(purpose, about, who, until or clock.now() + timedelta(days=30)).sign(SECRET)
        assert token
        return token

    def code_of(self, booking: Booking) -> str:
        return f"/presence/{self.link(Purpose.SHOW_ONESELF, booking.booking_id, booking.agent_id)}"

    async def sheet(self) -> AttendanceSheet:
        return await self.house.bus.ask(GetSheet(session_id=self.session_id), OPERATOR)

    async def present(self) -> dict[UUID, list[tuple[int, str]]]:
        return {line.agent_id: [(each.half_day, each.way.value) for each in line.presences] for line in (await self.sheet()).lines}


@pytest.fixture
async def training(house: House) -> Class:
    it_is(datetime(2027, 3, 1, 10, tzinfo=clock.PARIS))
    await house.start("catalog", "booking")
    await house.register(ALICE, BOB, LAB)
    session_id = await add_session(house, periods=DAY)
    alice, bob = [await _patient(house, BookSeat(session_id=session_id, agent_id=who.agent_id)) for who in (ALICE, BOB)]
    sheet = await _patient(house, EntrustSheet(session_id=session_id))
    return Class(house, session_id, alice, bob, sheet)


async def _patient(house: House, order: Any) -> Any:
    """Until booking has heard of the session."""
    for _ in range(200):
        try:
            return await house.bus.ask(order, OPERATOR)
        except Refused as early:
            if early.code not in {"session_not_ready", "sheet_unknown"}:
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


def forms(page: str) -> str:
    return page.split("<main", 1)[1]


def fields(page: str, half_day: int) -> dict[str, str]:
    """What a browser sends when « Enregistrer » is pressed and nothing was touched."""
    (form,) = re.findall(rf'<form method="post" action="[^"]*/{half_day}/saisie">(.*?)</form>', page, re.DOTALL)
    ticked = re.findall(r'name="(present-[^"]+)" value="oui" checked', form)
    (shown,) = re.findall(r'name="affiches" value="([^"]*)"', form)
    return dict.fromkeys(ticked, "oui") | {"affiches": shown, "motif": "Feuille papier signée"}


async def test_A1_whoever_has_the_link_keeps_the_sheet_without_an_account(training: Class) -> None:
    anybody = training.house.browser()
    it_is(EVENING)

    page = await anybody.get(training.address)
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert ALICE.usual_name in page.text
    assert "<script" not in page.text
    for address in (training.address, f"{training.address}/papier", f"{training.address}/code"):
        assert (await anybody.get(address)).status_code in (200, 409)
    assert await training.present() == {ALICE.agent_id: [], BOB.agent_id: []}, "looking changes nothing"

    entered = fields(page.text, 1) | {f"present-{training.alice.booking_id}": "oui"}
    assert (await anybody.post(f"{training.address}/1/saisie", data=entered)).status_code == 303
    for half_day in (1, 2):
        assert (await anybody.post(f"{training.address}/{half_day}/signature")).status_code == 303

    sheet = await training.sheet()
    assert (sheet.state, {line.agent_id: line.outcome for line in sheet.lines}) == (
        "closed", {ALICE.agent_id: "attended", BOB.agent_id: "absent"},
    )  # fmt: skip
    assert {half_day.closed_by for half_day in sheet.half_days} == {str(training.trainer_id)}
    assert "La feuille est close" in (await anybody.get(training.address)).text


async def test_A4_saving_a_page_that_is_no_longer_fresh_takes_nobody_off_the_sheet(training: Class) -> None:
    anybody = training.house.browser()
    it_is(MORNING)
    stale = fields((await anybody.get(training.address)).text, 1)
    code = re.search(r'class="room-code">.*?</span>(\w{3} \w{3})<', (await anybody.get(f"{training.address}/code")).text)
    assert code
    done = await anybody.post(training.code_of(training.bob), data={"code": code[1], "quand": ""})
    assert (done.status_code, "Présence notée" in done.text) == (200, True)

    await anybody.post(f"{training.address}/1/saisie", data=stale | {f"present-{training.alice.booking_id}": "oui"})

    assert await training.present() == {ALICE.agent_id: [(1, "by_hand")], BOB.agent_id: [(1, "room_code")]}
    fresh = fields((await anybody.get(training.address)).text, 1)
    fresh.pop(f"present-{training.bob.booking_id}")
    await anybody.post(f"{training.address}/1/saisie", data=fresh)
    assert await training.present() == {ALICE.agent_id: [(1, "by_hand")], BOB.agent_id: []}, "what was cleared on purpose is"


async def test_A1_a_telephone_that_was_told_to_checks_in_whoever_shows_their_code(training: Class) -> None:
    phone, stranger = training.house.browser(), training.house.browser()
    it_is(MORNING)
    address = training.code_of(training.alice)

    looked = await stranger.get(address)
    assert "Code affiché dans la salle" in looked.text
    assert ALICE.usual_name not in forms(looked.text), "an address names nobody to a stranger"
    refused = await stranger.post(address, data={"code": "ZZZZZZ"})
    assert (refused.status_code, "n&#39;est pas celui de la salle" in refused.text) == (403, True)

    assert (await phone.post(f"{training.address}/pointer-ici")).status_code == 303
    asked = await phone.get(address)
    assert f"{ALICE.usual_name} {ALICE.given_name}" in forms(asked.text)
    assert await training.present() == {ALICE.agent_id: [], BOB.agent_id: []}
    for _ in range(2):
        assert "Présence notée" in (await phone.post(address)).text

    assert await training.present() == {ALICE.agent_id: [(1, "personal_qr")], BOB.agent_id: []}


async def test_K5_a_link_opens_nothing_else_than_what_it_was_signed_for(training: Class) -> None:
    anybody = training.house.browser()
    of_agent = training.link(Purpose.SHOW_ONESELF, training.alice.booking_id, ALICE.agent_id)
    of_another_trainer = training.link(Purpose.KEEP_SHEET, training.session_id, uuid4())
    old = training.link(Purpose.KEEP_SHEET, training.session_id, training.trainer_id, clock.now() - timedelta(minutes=1))
    keep = training.address.rpartition("/")[2]
    for address, status in (
        (f"/emargement/{of_agent}", 404), (f"/presence/{keep}", 404), (f"/reponse/{keep}", 404), (f"/reponse/{of_agent}", 404),
        (f"/emargement/{of_another_trainer}", 404), (f"/emargement/{old}", 410), (f"/emargement/{keep[:-2]}AA", 404),
    ):  # fmt: skip
        assert (await anybody.get(address)).status_code == status, address
    assert (await anybody.post(f"/emargement/{of_another_trainer}/1/signature")).status_code == 404


async def test_A1_an_agent_finds_their_code_among_their_bookings(training: Class, identity: IdentityProvider) -> None:
    browser = training.house.browser()
    await sign_in(browser, ALICE)

    assert f"/mes-inscriptions/{training.alice.booking_id}/code" in (await browser.get("/mes-inscriptions")).text
    page = await browser.get(f"/mes-inscriptions/{training.alice.booking_id}/code")
    assert "<svg" in forms(page.text)
    (address,) = re.findall(r'href="(/presence/[^"]+)"', page.text)
    assert (await training.house.browser().get(address)).status_code == 200
    assert (await browser.get(f"/mes-inscriptions/{training.bob.booking_id}/code")).status_code == 404


async def test_N3_an_absence_is_excused_on_a_page_that_asks_for_no_reason(training: Class, identity: IdentityProvider) -> None:
    it_is(EVENING)
    anybody, browser = training.house.browser(), training.house.browser()
    for half_day in (1, 2):
        await anybody.post(f"{training.address}/{half_day}/signature")
    await sign_in(browser, BOB)
    address = f"/mes-inscriptions/{training.bob.booking_id}/empechement"
    mine = (await browser.get("/mes-inscriptions")).text
    assert "Absence non excusée" in mine
    assert address in mine

    asked = await browser.get(address)
    assert re.findall(r'<(?:input|textarea|select)[^>]*name="(\w+)"', forms(asked.text)) == []
    assert (await training.house.bus.ask(GetBooking(booking_id=training.bob.booking_id), OPERATOR)).attendance == "absent"
    assert "C’est enregistré" in (await browser.post(address)).text

    assert (await training.house.bus.ask(GetBooking(booking_id=training.bob.booking_id), OPERATOR)).attendance == "excused"
    assert "pas d&#39;absence à excuser" in (await browser.post(address)).text
    assert "Absences notées" not in (await browser.get("/mes-inscriptions")).text


async def test_N3_a_late_cancellation_is_half_an_absence_which_its_agent_alone_sees(
    training: Class, identity: IdentityProvider, eventually: Eventually
) -> None:
    it_is(datetime(2027, 3, 12, 18, 30, tzinfo=clock.PARIS))
    browser, lab = training.house.browser(), await training.house.script(LAB)
    await sign_in(browser, ALICE)
    address = f"/mes-inscriptions/{training.alice.booking_id}/annuler"
    asked = await browser.get(address)
    assert "compte pour une demi-absence" in asked.text

    await browser.post(address, data=dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', asked.text)))
    assert "cela compte pour une demi-absence, effacée au bout de six mois" in (await browser.get("/mes-inscriptions")).text

    async def noted() -> bool:
        return "Une demi-absence sur les six derniers mois" in (await browser.get("/mes-inscriptions")).text

    await eventually(noted)
    assert (await lab.get("/api/v1/me/strikes")).json() == {"strikes": [], "halves": 0, "reached_at": None}
    excuse = f"/mes-inscriptions/{training.alice.booking_id}/empechement"
    assert "C’est enregistré" in (await browser.post(excuse)).text
    assert not await noted()


async def test_A1_the_lab_entrusts_a_sheet_and_agents_check_in_through_the_api(training: Class) -> None:
    lab, alice = await training.house.script(LAB), await training.house.script(ALICE)
    sheets = f"/api/v1/sheets/{training.session_id}"

    entrusted = await lab.put(f"{sheets}/trainer", json={})
    opened = await training.house.browser().get(urlsplit(entrusted.json()["url"]).path)
    assert (entrusted.status_code, opened.status_code) == (200, 200)
    assert (await training.house.browser().get(training.address)).status_code == 404, "the former link has ended"

    for answer in (await alice.put(f"{sheets}/trainer", json={}), await alice.get("/api/v1/sheets")):
        assert refusal(answer) == (403, "not_allowed")
    assert refusal(await alice.get(sheets)) == (404, "sheet_unknown")
    it_is(MORNING)
    code = (await lab.get(f"{sheets}/room-code")).json()["code"]
    mine = f"/api/v1/bookings/{training.alice.booking_id}/check-in"
    assert refusal(await alice.post(mine, json={})) == (403, "room_code_wrong")
    assert (await alice.post(mine, json={"room_code": code})).json()["half_day"]["number"] == 1
    assert refusal(await alice.post(f"/api/v1/bookings/{training.bob.booking_id}/check-in", json={"room_code": code})) == (
        404, "booking_unknown",
    )  # fmt: skip

    it_is(EVENING)
    late = {"room_code": code, "scanned_at": (MORNING + timedelta(minutes=1)).isoformat()}
    assert (await alice.post(mine, json=late)).status_code == 200
    entry = {"entries": [{"booking_id": str(training.bob.booking_id), "present": True}], "reason": "Feuille papier"}
    assert (await lab.post(f"{sheets}/half-days/2/entries", json=entry)).status_code == 200
    assert refusal(await lab.post(f"{sheets}/half-days/2/entries", json=entry | {"reason": ""})) == (422, "invalid_request")
    assert refusal(await lab.post(f"{sheets}/half-days/3/close")) == (404, "half_day_unknown")
    assert [sheet["session_id"] for sheet in (await lab.get("/api/v1/sheets")).json()["sheets"]] == [str(training.session_id)]
    for half_day in (1, 2):
        assert (await lab.post(f"{sheets}/half-days/{half_day}/close")).status_code == 200
    mine = (await alice.get("/api/v1/me/bookings")).json()["bookings"]
    assert [booking["attendance"] for booking in mine] == ["attended"]
    assert refusal(await alice.post(f"/api/v1/bookings/{training.alice.booking_id}/excuse")) == (409, "nothing_to_excuse")

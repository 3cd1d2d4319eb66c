"""Answering an offer: by the buttons of « Mes inscriptions », through the API, and by the link of a mail without signing in (K5)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from pydantic import SecretStr

from shared import clock
from shared.contracts.booking import Booking, BookSeat, CancelBooking, GetBooking
from shared.contracts.catalog import ActivityType
from shared.errors import Refused
from shared.links import Link, Purpose, read_link
from tests.gateway.conftest import ALICE, BOB, OPERATOR, House, IdentityProvider, add_session, sign_in
from tests.gateway.given import refusal

Eventually = Callable[..., Awaitable[Any]]
SECRET = SecretStr("what notify and the gateway share")


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


async def book(house: House, session_id: UUID, agent_id: UUID) -> Booking:
    for _ in range(100):
        try:
            return await house.bus.ask(BookSeat(session_id=session_id, agent_id=agent_id), OPERATOR)
        except Refused as early:
            if early.code != "session_not_ready":
                raise
            await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


async def given_up(house: House, *, kind: ActivityType = ActivityType.TRAINING) -> Booking:
    """Bob's place in the queue of a session whose only seat Alice has just given back."""
    session_id = await add_session(house, capacity=1, activity_type=kind)
    seat, bob = await book(house, session_id, ALICE.agent_id), await book(house, session_id, BOB.agent_id)
    await house.bus.ask(CancelBooking(booking_id=seat.booking_id), OPERATOR)
    return await now_of(house, bob)


async def now_of(house: House, booking: Booking) -> Booking:
    return await house.bus.ask(GetBooking(booking_id=booking.booking_id), OPERATOR)


def address(booking: Booking, purpose: Purpose, until: datetime | None = None) -> str:
    until = until or (booking.offer.deadline if booking.offer else clock.now() + timedelta(days=9))
    return f"/reponse/{Link(purpose, booking.booking_id, booking.agent_id, until).sign(SECRET)}"


# --- by a link -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("purpose", "button", "said", "state"),
    [
        (Purpose.ACCEPT_OFFER, "Oui, j’accepte la place", "Votre place est confirmée", "confirmed"),
        (Purpose.DECLINE_OFFER, "Oui, je laisse la place", "proposée à la personne suivante", "left"),
    ],
)
async def test_K5_opening_a_link_changes_nothing_its_form_does_and_a_second_time_says_so(
    open_house: House, purpose: Purpose, button: str, said: str, state: str
) -> None:
    offered = await given_up(open_house)
    anybody = open_house.browser()
    link = address(offered, purpose)

    for _ in range(3):  # a scanner, a preview, the person
        page = await anybody.get(link)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert button in page.text
        assert "<script" not in page.text
    assert (await anybody.head(link)).status_code == 200
    assert await now_of(open_house, offered) == offered

    done = await anybody.post(link)
    assert done.status_code == 200
    assert said in done.text
    after = await now_of(open_house, offered)
    assert after.state == state

    for other in (purpose, Purpose.ACCEPT_OFFER, Purpose.DECLINE_OFFER):
        again = await anybody.post(address(offered, other))
        assert again.status_code == 409
        assert "Vous avez déjà répondu" in again.text
    looked = await anybody.get(link)
    assert (looked.status_code, "Réponse déjà donnée" in looked.text, "<form method" in looked.text.split("<main")[1]) == (200, True, False)
    assert await now_of(open_house, offered) == after


async def test_K5_a_seat_that_came_by_itself_is_given_back_once(open_house: House) -> None:
    promoted = await given_up(open_house, kind=ActivityType.INNOVATION_THURSDAY)
    assert promoted.state == "confirmed"
    anybody = open_house.browser()
    link = address(promoted, Purpose.GIVE_BACK)
    assert "Oui, je rends la place" in (await anybody.get(link)).text

    assert "Votre place est rendue" in (await anybody.post(link)).text
    assert (await anybody.post(link)).status_code == 409
    assert (await now_of(open_house, promoted)).state == "cancelled_by_agent"


async def test_K5_a_seat_is_given_back_by_its_link_and_booking_again_is_not_touched_by_it(open_house: House) -> None:
    session_id = await add_session(open_house, capacity=1)
    first = await book(open_house, session_id, ALICE.agent_id)
    anybody = open_house.browser()
    link = address(first, Purpose.GIVE_BACK)
    assert "s’il y en a une" in (await anybody.get(link)).text
    assert (await now_of(open_house, first)).state == "confirmed"

    assert "Votre place est rendue" in (await anybody.post(link)).text
    again = await book(open_house, session_id, ALICE.agent_id)

    assert (await anybody.post(link)).status_code == 409
    assert [(await now_of(open_house, each)).state for each in (first, again)] == ["cancelled_by_agent", "confirmed"]


async def test_K5_a_link_is_bound_to_what_it_was_signed_for(open_house: House) -> None:
    offered = await given_up(open_house)
    anybody = open_house.browser()
    good = address(offered, Purpose.DECLINE_OFFER).rpartition("/")[2]
    foreign = Link(Purpose.ACCEPT_OFFER, offered.booking_id, ALICE.agent_id, clock.now() + timedelta(days=1)).sign(SECRET)
    with_another = Link(Purpose.ACCEPT_OFFER, offered.booking_id, offered.agent_id, clock.now() + timedelta(days=1)).sign(SecretStr("no"))

    for wrong in ("YQ" + good[2:], good[:-2] + "AA", good[:20], "x", "é", "a" * 2000, str(with_another)):
        for method in ("GET", "POST"):
            answer = await anybody.request(method, f"/reponse/{wrong}")
            assert answer.status_code == 404, wrong
            assert "Ce lien n’est pas valable" in answer.text.replace("&#39;", "’")
    assert (await anybody.post(f"/reponse/{foreign}")).status_code == 404, "another agent's booking does not exist"
    assert await now_of(open_house, offered) == offered


async def test_K5_a_link_expires_with_its_offer(open_house: House) -> None:
    offered = await given_up(open_house)
    promoted = await given_up(open_house, kind=ActivityType.INNOVATION_THURSDAY)
    anybody = open_house.browser()
    assert offered.offer is not None
    link, back = address(offered, Purpose.ACCEPT_OFFER), address(promoted, Purpose.GIVE_BACK, clock.now() + timedelta(days=1))
    clock.shift(offered.offer.deadline - clock.now() + timedelta(seconds=2), "embedded")

    page, answer = await anybody.get(link), await anybody.post(link)
    gone = [(await anybody.request(method, back)).status_code for method in ("GET", "POST")]

    assert (page.status_code, answer.status_code) == (410, 410)
    assert "Ce lien a expiré" in page.text
    assert "Le délai pour répondre est passé" in answer.text
    assert "En vous réinscrivant maintenant, vous auriez une place." in answer.text
    assert gone == [410, 410]
    assert (await now_of(open_house, promoted)).state == "confirmed"


async def test_K5_without_a_secret_no_link_is_believed() -> None:
    link = Link(Purpose.ACCEPT_OFFER, uuid4(), uuid4(), clock.now())
    token = link.sign(SECRET)

    assert token is not None
    assert link.sign(SecretStr("")) is None
    assert read_link(token, SecretStr("")) is None
    found = read_link(token, SECRET)
    assert found is not None
    assert (found.booking_id, found.purpose, found.expires_at - link.expires_at < timedelta(seconds=1)) == (
        link.booking_id,
        link.purpose,
        True,
    )


async def test_an_answer_asked_by_another_site_is_refused(open_house: House) -> None:
    offered = await given_up(open_house)

    answer = await open_house.browser().post(address(offered, Purpose.ACCEPT_OFFER), headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert await now_of(open_house, offered) == offered


# --- « Mes inscriptions » ------------------------------------------------------------------------------------------------------------


async def visitor(house: House, agent: Any) -> httpx2.AsyncClient:
    browser = house.browser()
    assert (await sign_in(browser, agent)).status_code == 303
    return browser


async def test_W5_my_bookings_show_the_offer_with_its_deadline_and_two_buttons(open_house: House, identity: IdentityProvider) -> None:
    assert identity
    offered = await given_up(open_house)
    other = await given_up(open_house)
    bob = await visitor(open_house, BOB)

    page = (await bob.get("/mes-inscriptions")).text
    assert page.count("Accepter la place") == page.count("Laisser la place") == 2
    assert re.search(r"gardée jusqu’au <strong>\w+ \d+(er)? \w+ \d{4} à \d+ h", page)
    assert "rang 1, place libérée le" in page
    for path in (f"/seances/{offered.session_id}", "/?places=toutes"):
        assert (await bob.get(path)).status_code == 200
    assert "Une place vous est proposée" in (await bob.get(f"/seances/{offered.session_id}")).text

    yes = await bob.post(f"/mes-inscriptions/{offered.booking_id}/accepter", follow_redirects=True)
    no = await bob.post(f"/mes-inscriptions/{other.booking_id}/decliner", follow_redirects=True)
    again = await bob.post(f"/mes-inscriptions/{other.booking_id}/accepter", follow_redirects=True)

    assert "Votre place est confirmée." in yes.text
    assert "vous n’êtes plus en liste d’attente" in no.text
    assert "Place proposée, laissée à l’agent suivant" in no.text
    assert "Vous avez déjà répondu" in again.text
    assert (await now_of(open_house, offered)).state == "confirmed"


# --- the API -------------------------------------------------------------------------------------------------------------------------


async def test_the_api_accepts_and_declines_and_shows_the_offer(open_house: House) -> None:
    offered, other = await given_up(open_house), await given_up(open_house)
    bob, alice = await open_house.script(BOB), await open_house.script(ALICE)
    mine = {each["booking_id"]: each for each in (await bob.get("/api/v1/me/bookings")).json()["bookings"]}
    assert mine[str(offered.booking_id)]["offer"]["state"] == "offered"

    foreign = await alice.post(f"/api/v1/bookings/{offered.booking_id}/offer/accept")
    taken = await bob.post(f"/api/v1/bookings/{offered.booking_id}/offer/accept")
    left = await bob.post(f"/api/v1/bookings/{other.booking_id}/offer/decline")
    twice = await bob.post(f"/api/v1/bookings/{other.booking_id}/offer/accept")
    never = await bob.post(f"/api/v1/bookings/{uuid4()}/offer/accept")

    assert refusal(foreign) == (404, "booking_unknown")
    assert (taken.status_code, taken.json()["state"], taken.json()["offer"]["state"]) == (200, "confirmed", "accepted")
    assert (left.json()["state"], left.json()["offer"]["state"]) == ("left", "declined")
    assert refusal(twice) == (409, "offer_answered")
    assert refusal(never) == (404, "booking_unknown")


async def pressed(script: httpx2.AsyncClient, session_id: UUID) -> httpx2.Response:
    """The answer once booking has heard of the session (E1)."""
    for _ in range(100):
        answer = await script.post(f"/api/v1/sessions/{session_id}/bookings")
        if answer.json().get("code") != "session_not_ready":
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


async def test_B6_too_early_and_too_late_are_said_with_the_date(open_house: House, identity: IdentityProvider) -> None:
    assert identity
    early, late = await add_session(open_house, days=60), await add_session(open_house, days=4)
    bob = await open_house.script(BOB)
    answers = [await pressed(bob, session_id) for session_id in (early, late)]

    assert [refusal(answer) for answer in answers] == [(409, "booking_not_open_yet"), (409, "booking_closed")]
    assert datetime.fromisoformat(answers[0].json()["opens_at"]) > clock.now() > datetime.fromisoformat(answers[1].json()["closes_at"])
    reader = await visitor(open_house, BOB)
    assert "Les inscriptions ouvrent le" in (await reader.get(f"/seances/{early}")).text
    assert "Les inscriptions sont closes depuis le" in (await reader.get(f"/seances/{late}")).text
    refused = await reader.post(f"/seances/{early}/inscription")
    assert refused.status_code == 409
    assert "Elles ouvrent le" in refused.text

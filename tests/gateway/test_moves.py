"""Answering after a move, by the signed link of the mail or through the API (M1, W7, N4, K5)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from pydantic import SecretStr

from shared import clock
from shared.contracts.booking import Booking, BookSeat, CancelBooking, GetBooking
from shared.contracts.catalog import GetSession, LocalPeriod, RescheduleSession
from shared.errors import Refused
from shared.links import Link, Purpose
from tests.conftest import eventually
from tests.gateway.conftest import ALICE, BOB, OPERATOR, House, add_session

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


async def now_of(house: House, booking: Booking) -> Booking:
    return await house.bus.ask(GetBooking(booking_id=booking.booking_id), OPERATOR)


async def given_a_move(house: House) -> tuple[Booking, Booking]:
    """Alice has the only seat of a session that moved to another day, Bob waits."""
    session_id = await add_session(house, capacity=1)
    seat, waiting = await book(house, session_id, ALICE.agent_id), await book(house, session_id, BOB.agent_id)
    session = await house.bus.ask(GetSession(session_id=session_id), OPERATOR)
    day = timedelta(days=1)
    periods = tuple(LocalPeriod(local_start=each.local_start + day, local_end=each.local_end + day) for each in session.periods)
    await house.bus.ask(RescheduleSession(session_id=session_id, periods=periods, reason="salle inondée"), OPERATOR)

    async def is_asked() -> bool:
        return (await now_of(house, seat)).pending is not None

    await eventually(is_asked)
    return await now_of(house, seat), await now_of(house, waiting)


def address(booking: Booking, purpose: Purpose) -> str:
    until = booking.pending.deadline if booking.pending else clock.now() + timedelta(days=9)
    return f"/reponse/{Link(purpose, booking.booking_id, booking.agent_id, until).sign(SECRET)}"


@pytest.mark.parametrize(
    ("purpose", "button", "said", "state"),
    [
        (Purpose.CONFIRM_BOOKING, "Oui, je viens", "vous gardez votre place", "confirmed"),
        (Purpose.GIVE_UP_SEAT, "Oui, je rends la place", "Votre place est rendue", "cancelled_by_agent"),
    ],
)
async def test_M1_a_link_asks_and_its_form_answers_once(open_house: House, purpose: Purpose, button: str, said: str, state: str) -> None:
    asked, _ = await given_a_move(open_house)
    anybody, link = open_house.browser(), address(asked, purpose)
    for _ in range(2):
        page = await anybody.get(link)
        assert page.status_code == 200
        assert button in page.text
        assert "<script" not in page.text
    assert await now_of(open_house, asked) == asked

    done = await anybody.post(link)

    assert done.status_code == 200
    assert said in done.text
    after = await now_of(open_house, asked)
    assert after.state == state
    for other in (Purpose.CONFIRM_BOOKING, Purpose.GIVE_UP_SEAT):
        assert (await anybody.post(address(asked, other))).status_code in {404, 409}, "a link of before serves no more (K5)"
    assert await now_of(open_house, asked) == after


async def test_W7_whoever_waits_leaves_by_a_link_and_only_while_they_wait(open_house: House) -> None:
    asked, waiting = await given_a_move(open_house)
    anybody, link = open_house.browser(), address(waiting, Purpose.LEAVE_QUEUE)
    assert "Oui, je quitte la liste" in (await anybody.get(link)).text

    await open_house.bus.ask(CancelBooking(booking_id=asked.booking_id), OPERATOR)
    assert (await anybody.post(link)).status_code == 409, "a seat is offered meanwhile: that is another question"
    assert (await now_of(open_house, waiting)).offer is not None


async def test_M1_the_api_confirms_and_my_bookings_say_what_is_asked(open_house: House) -> None:
    asked, _ = await given_a_move(open_house)
    script = await open_house.script(ALICE)
    assert (await script.get(f"/api/v1/bookings/{asked.booking_id}")).json()["pending"]["kind"] == "to_reconfirm"

    done = await script.post(f"/api/v1/bookings/{asked.booking_id}/confirm")
    again = await script.post(f"/api/v1/bookings/{asked.booking_id}/confirm")

    assert (done.status_code, done.json()["pending"]["state"]) == (200, "granted")
    assert (again.status_code, again.json()["code"]) == (409, "reconfirmation_answered")

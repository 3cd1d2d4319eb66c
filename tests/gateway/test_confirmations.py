"""Saying that one comes to a full session, by the signed link of the mail, with two strikes (N3)."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from services.booking.strikes import handlers, store
from services.booking.strikes.planning import CONFIRMATION_DAY
from shared import clock
from shared.contracts.booking import Booking
from shared.contracts.strikes import Strike, StrikeReason
from shared.database import Database
from shared.links import Purpose
from shared.timers import Timer
from tests.gateway.conftest import ALICE, BOB, House, add_session
from tests.gateway.test_moves import address, book, now_of


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


@pytest.fixture
async def asked(open_house: House) -> Booking:
    """Alice has two strikes and the only seat, Bob waits, and the day of the question has come."""
    session_id = await add_session(open_house, capacity=1)
    seat, waiting = await book(open_house, session_id, ALICE.agent_id), await book(open_house, session_id, BOB.agent_id)
    async with booking_of(open_house).begin() as tx:
        for each in (seat, waiting):
            await store.give(tx, strike(each), ALICE.agent_id)
        due = Timer(f"confirm/{session_id}", CONFIRMATION_DAY, clock.now(), {"session_id": str(session_id)})
        await handlers.ask_who_has_strikes(due, tx)
    return await now_of(open_house, seat)


def booking_of(house: House) -> Database:
    database = Database.of(house.settings_for("booking"))
    house.stack.push_async_callback(database.dispose)
    return database


def strike(about: Booking) -> Strike:
    now, ids = clock.now(), {"booking_id": about.booking_id, "session_id": about.session_id}
    return Strike(**ids, reason=StrikeReason.ABSENT, halves=2, given_at=now, expires_at=now + timedelta(days=180))


async def the_deadline_passes(house: House, booking_id: UUID) -> None:
    async with booking_of(house).begin() as tx:
        await tx.execute(
            text("update booking set pending_until = :past where booking_id = :booking_id"),
            {"past": clock.now() - timedelta(minutes=1), "booking_id": booking_id},
        )


async def test_N3_the_link_asks_and_its_form_answers_once(open_house: House, asked: Booking) -> None:
    anybody, link = open_house.browser(), address(asked, Purpose.CONFIRM_BOOKING)
    for _ in range(2):
        page = await anybody.get(link)
        assert page.status_code == 200
        assert "La séance est complète. Répondez avant le" in page.text
        assert "a été déplacée" not in page.text
    assert await now_of(open_house, asked) == asked

    done = await anybody.post(link)
    again = await anybody.post(link)

    assert (done.status_code, again.status_code) == (200, 409)
    assert "vous gardez votre place" in done.text
    assert "Votre réponse est déjà enregistrée" in again.text
    after = await now_of(open_house, asked)
    assert (after.state, after.pending and after.pending.state) == ("confirmed", "granted")


async def test_N3_the_seat_is_given_back_by_the_other_link_without_a_trace(open_house: House, asked: Booking) -> None:
    anybody, link = open_house.browser(), address(asked, Purpose.GIVE_UP_SEAT)
    assert "La séance est complète : rien n’est noté à votre sujet" in (await anybody.get(link)).text

    assert "Votre place est rendue" in (await anybody.post(link)).text

    assert (await now_of(open_house, asked)).state == "cancelled_by_agent"


async def test_N3_after_the_deadline_the_page_says_so(open_house: House, asked: Booking) -> None:
    await the_deadline_passes(open_house, asked.booking_id)
    late = await now_of(open_house, asked)
    anybody, link = open_house.browser(), address(late, Purpose.CONFIRM_BOOKING)

    page, answer = await anybody.get(link), await anybody.post(link)

    assert (page.status_code, answer.status_code) == (410, 410)
    assert "Oui, je viens" not in page.text
    assert "Le délai pour répondre est passé" in answer.text
    assert await now_of(open_house, asked) == late

"""N3: three days before a full session, who has two strikes confirms that they come; a seat that nobody confirms is released."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.moves.domain import ReconfirmationExpired
from services.booking.seats import handlers as seats
from services.booking.strikes import store
from services.booking.strikes.domain import confirmation_day
from shared.bus import Caller
from shared.contracts.booking import Booking, BookingState, GetBooking
from shared.contracts.catalog import ActivityType
from shared.contracts.strikes import Strike, StrikeReason
from shared.database import Database
from tests.booking.given import (
    ALICE,
    BOB,
    CAROL,
    book,
    cancel,
    catalog_says,
    confirm,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    paris,
    timers_fire,
    told,
)

BOOKED = paris(2027, 3, 1, 9)
START = paris(2027, 3, 18, 14)  # a Thursday
ASKED, ANSWERED, DEADLINE = paris(2027, 3, 15, 9), paris(2027, 3, 15, 10), paris(2027, 3, 16, 9)


async def given_strikes(booking: Database, agent_id: UUID, *, days_ago: int = 10, halves: int = 4) -> None:
    """As many halves, all given so many days before the question."""
    given_at = ASKED - timedelta(days=days_ago)
    for _ in range(halves // 2):
        over = await book(booking, await given_session(booking, starts_at=paris(2027, 4, 8, 9)))
        until = given_at + timedelta(days=180)
        about: Any = {"booking_id": over.booking_id, "session_id": over.session_id, "given_at": given_at, "expires_at": until}
        async with booking.begin() as tx:
            await store.give(tx, Strike(**about, reason=StrikeReason.ABSENT, halves=2), agent_id)


async def given_full(booking: Database, *agents: UUID) -> list[Booking]:
    """A session with these agents on its seats, and nobody waiting."""
    it_is(BOOKED)
    session_id = await given_session(booking, starts_at=START, capacity=len(agents))
    return [await book(booking, session_id, each) for each in agents]


async def the_day_comes(booking: Database) -> None:
    it_is(ASKED)
    await timers_fire(booking)


def question(booking: Booking) -> tuple[str, str] | None:
    return booking.pending and (booking.pending.kind.value, booking.pending.state.value)


def test_N3_the_question_comes_three_days_before_at_9_h_whatever_the_clocks_do() -> None:
    assert confirmation_day(START) == ASKED
    assert confirmation_day(paris(2027, 3, 30, 0, 30)) == paris(2027, 3, 27, 9)


async def test_N3_who_has_two_strikes_is_asked_and_keeps_the_seat_by_saying_yes(booking: Database) -> None:
    alice, bob = await given_full(booking, ALICE, BOB)
    await given_strikes(booking, ALICE)

    await the_day_comes(booking)

    asked = await now_of(booking, alice)
    assert (asked.state, question(asked)) == (BookingState.CONFIRMED, ("to_confirm", "open"))
    assert asked.pending
    assert asked.pending.deadline == DEADLINE, "one working day"
    assert question(await now_of(booking, bob)) is None
    it_is(ANSWERED)
    assert question(await confirm(booking, alice)) == ("to_confirm", "granted")
    it_is(DEADLINE)
    await timers_fire(booking)
    assert await told(booking, alice) == ["booking_confirmed", "booking_confirmation_requested", "booking_reconfirmed"]
    await nothing_is_wrong(booking)


async def test_N3_a_seat_that_nobody_confirms_goes_to_the_queue_without_a_strike(booking: Database) -> None:
    (alice,) = await given_full(booking, ALICE)
    await given_strikes(booking, ALICE)
    waiting = await book(booking, alice.session_id, BOB)
    await the_day_comes(booking)

    it_is(DEADLINE)
    await timers_fire(booking)

    gone = await now_of(booking, alice)
    assert (gone.state, question(gone)) == (BookingState.CANCELLED_BY_LAB, ("to_confirm", "expired"))
    assert gone.reason == "vous n'avez pas confirmé votre venue avant le 16 mars 2027 à 9 h"
    assert (await now_of(booking, waiting)).state is BookingState.CONFIRMED
    with pytest.raises(ReconfirmationExpired):
        await confirm(booking, alice)
    async with booking.connect() as connection:
        assert not await store.has(connection, alice.booking_id)
    await nothing_is_wrong(booking)


async def test_N3_who_gives_the_seat_back_when_asked_is_not_late(booking: Database) -> None:
    it_is(BOOKED)
    alice = await book(booking, await given_session(booking, starts_at=START, capacity=1, kind=ActivityType.TRAINING), ALICE)
    await given_strikes(booking, ALICE)
    await the_day_comes(booking)
    assert question(await now_of(booking, alice)) == ("to_confirm", "open"), "after the cut-off of five working days"

    assert (await cancel(booking, alice)).state is BookingState.CANCELLED_BY_AGENT


@pytest.mark.parametrize(
    ("halves", "days_ago", "capacity"),
    [
        pytest.param(2, 10, 1, id="one strike"),
        pytest.param(4, 60, 1, id="sixty days ago"),
        pytest.param(4, 10, 2, id="a free seat, nobody waits"),
    ],
)
async def test_N3_nobody_is_asked_without_two_fresh_strikes_and_a_session_that_is_full(
    booking: Database, halves: int, days_ago: int, capacity: int
) -> None:
    it_is(BOOKED)
    alice = await book(booking, await given_session(booking, starts_at=START, capacity=capacity), ALICE)
    await given_strikes(booking, ALICE, halves=halves, days_ago=days_ago)

    await the_day_comes(booking)

    assert question(await now_of(booking, alice)) is None


async def test_N3_who_books_after_the_question_was_due_is_not_asked(booking: Database) -> None:
    await given_full(booking, BOB)
    await given_strikes(booking, ALICE)
    session_id = await given_session(booking, starts_at=START + timedelta(hours=3), capacity=1)
    await the_day_comes(booking)
    it_is(ANSWERED)

    alice = await book(booking, session_id, ALICE)
    await hear(booking, catalog_says(session_id, version=2, capacity=1, starts_at=START + timedelta(hours=3, minutes=10)))
    await timers_fire(booking)

    assert question(await now_of(booking, alice)) is None


async def test_N3_one_question_at_a_time(booking: Database) -> None:
    (alice,) = await given_full(booking, ALICE)
    await given_strikes(booking, ALICE)
    it_is(paris(2027, 3, 15, 8))
    await hear(booking, catalog_says(alice.session_id, version=2, capacity=1, starts_at=START + timedelta(hours=4)))

    await the_day_comes(booking)

    assert question(await now_of(booking, alice)) == ("to_reconfirm", "open")


async def test_N3_a_move_within_the_day_asks_anew_and_silence_still_gives_the_seat_away(booking: Database) -> None:
    (alice,) = await given_full(booking, ALICE)
    await given_strikes(booking, ALICE)
    await the_day_comes(booking)

    await hear(booking, catalog_says(alice.session_id, version=2, capacity=1, starts_at=START + timedelta(hours=2)))
    asked = await now_of(booking, alice)
    assert question(asked) == ("to_reconfirm", "open")
    assert asked.pending
    it_is(asked.pending.deadline)
    await timers_fire(booking)

    assert (await now_of(booking, alice)).reason == "la séance a été déplacée, et vous n'avez pas répondu avant le 17 mars 2027 à 16 h"
    await nothing_is_wrong(booking)


async def test_N3_the_question_follows_a_session_that_moves_and_goes_with_one_that_is_cancelled(booking: Database) -> None:
    alice, bob = (await given_full(booking, ALICE))[0], (await given_full(booking, BOB))[0]
    for agent_id in (ALICE, BOB):
        await given_strikes(booking, agent_id)
    await hear(booking, catalog_says(alice.session_id, version=2, capacity=1, starts_at=START + timedelta(days=7)))
    await confirm(booking, alice)
    await hear(booking, catalog_says(bob.session_id, version=2, capacity=1, starts_at=START, status="cancelled"))

    await the_day_comes(booking)
    assert (await told(booking, alice))[-1] == "booking_reconfirmed"
    assert (await told(booking, bob))[-1] == "booking_cancelled"
    it_is(ASKED + timedelta(days=7))
    await timers_fire(booking)

    assert (await told(booking, alice))[-1] == "booking_confirmation_requested"


async def test_N3_a_private_session_asks_nobody(booking: Database) -> None:
    it_is(BOOKED)
    session_id = await given_session(booking, starts_at=START, capacity=1, private=True)
    alice = await book(booking, session_id, ALICE)
    await given_strikes(booking, ALICE)

    await the_day_comes(booking)

    assert question(await now_of(booking, alice)) is None


async def test_N3_the_line_manager_does_not_see_that_somebody_was_asked(booking: Database) -> None:
    it_is(BOOKED)
    manager_id = uuid4()
    session_id = await given_session(booking, starts_at=START, capacity=1)
    alice = await book(booking, session_id, ALICE)
    async with booking.begin() as tx:
        await tx.execute(
            text("update booking set manager_id = :id where booking_id = :booking_id"), {"id": manager_id, "booking_id": alice.booking_id}
        )
    await given_strikes(booking, ALICE)
    await the_day_comes(booking)

    async def seen_by(caller: Caller) -> Booking:
        return await seats.get_booking(GetBooking(booking_id=alice.booking_id), caller, booking)

    assert (await seen_by(Caller(str(manager_id), frozenset({"line_manager"})))).pending is None
    assert question(await seen_by(Caller(str(ALICE), frozenset({"agent"})))) == ("to_confirm", "open")


async def test_N3_the_answer_and_the_deadline_at_once_leave_one_of_both(booking: Database) -> None:
    (alice,) = await given_full(booking, ALICE)
    await given_strikes(booking, ALICE)
    carol = await book(booking, alice.session_id, CAROL)
    await the_day_comes(booking)
    it_is(DEADLINE - timedelta(microseconds=1))
    async with booking.begin() as tx:  # the timer comes early: both are in time
        await tx.execute(text("update timer set due_at = :now where kind = 'pending_ends'"), {"now": ASKED})

    await gather(confirm(booking, alice), timers_fire(booking), return_exceptions=True)

    states = [(await now_of(booking, each)).state for each in (alice, carol)]
    assert states in ([BookingState.CONFIRMED, BookingState.WAITING], [BookingState.CANCELLED_BY_LAB, BookingState.CONFIRMED])
    await nothing_is_wrong(booking)


async def test_B9_of_a_hybrid_session_those_are_asked_whose_mode_is_full(booking: Database) -> None:
    it_is(BOOKED)
    session_id = await given_session(booking, starts_at=START, capacity=1, remote_capacity=2)
    alice, bob = await book(booking, session_id, ALICE), await book(booking, session_id, BOB, remote=True)
    await given_strikes(booking, ALICE)
    await given_strikes(booking, BOB)

    await the_day_comes(booking)

    assert question(await now_of(booking, alice)) == ("to_confirm", "open")
    assert question(await now_of(booking, bob)) is None
    await nothing_is_wrong(booking)

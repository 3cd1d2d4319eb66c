"""The capacity was lowered under the bookings: volunteers are asked, then the newest seats are taken back (B8)."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.overbooking import handlers as overbooking
from services.booking.overbooking.domain import NotOverCapacity
from services.booking.seats.refusals import SessionIsCancelled, SessionNotReady
from shared.bus import Caller
from shared.contracts.booking import Booking, BookingState
from shared.contracts.overbooking import Asked, CallForVolunteers, Withdrawn, WithdrawSeats
from shared.database import Database
from shared.errors import NotAllowed, Refused
from tests.booking.given import (
    ALICE,
    OPERATOR,
    agent,
    approve,
    book,
    cancel,
    catalog_says,
    counters,
    given_session,
    hear,
    in_days,
    nothing_is_wrong,
    now_of,
    told,
)

START = in_days(30)
REASON = "l'autre salle a deux places"


async def lowered(booking: Database, capacity: int = 2) -> tuple[UUID, list[Booking]]:
    """Four seats given, one agent waiting, then so many places."""
    session_id = await given_session(booking, starts_at=START, capacity=4)
    places = [await book(booking, session_id) for _ in range(5)]
    await hear(booking, catalog_says(session_id, starts_at=START, version=2, capacity=capacity))
    return session_id, places


async def ask(booking: Database, session_id: UUID, caller: Caller = OPERATOR) -> Asked:
    async with booking.begin() as tx:
        return await overbooking.call_for_volunteers(CallForVolunteers(session_id=session_id), caller, tx)


async def take_back(booking: Database, session_id: UUID, number: int, caller: Caller = OPERATOR) -> Withdrawn:
    request = WithdrawSeats(session_id=session_id, number=number, reason=REASON)
    async with booking.begin() as tx:
        return await overbooking.withdraw_seats(request, caller, tx)


async def test_B8_everybody_who_has_a_seat_is_asked_and_nothing_changes(booking: Database) -> None:
    session_id, (first, second, third, fourth, waiting) = await lowered(booking)

    assert (await ask(booking, session_id)).agents == 4

    for place in (first, second, third, fourth):
        assert await told(booking, place) == ["booking_confirmed", "volunteer_sought"]
        assert (await now_of(booking, place)).state is BookingState.CONFIRMED
    assert await told(booking, waiting) == ["waitlist_joined"]
    assert await counters(booking, session_id) == (2, 4, 1)
    await nothing_is_wrong(booking)


async def test_B8_the_newest_seats_are_taken_back_with_the_reason_and_a_priority_token(booking: Database) -> None:
    session_id, (first, second, third, fourth, waiting) = await lowered(booking)

    taken = await take_back(booking, session_id, 2)

    assert [each.booking_id for each in taken.bookings] == [fourth.booking_id, third.booking_id]
    assert {(each.state, each.reason) for each in taken.bookings} == {(BookingState.CANCELLED_BY_LAB, REASON)}
    assert [(await now_of(booking, place)).state for place in (first, second)] == [BookingState.CONFIRMED] * 2
    assert (await now_of(booking, waiting)).rank == 1, "nobody is served before those who have a seat fit again"
    async with booking.connect() as connection:
        tokens = set(await connection.scalars(text("select agent_id from priority_token where used_at is null")))
    assert tokens == {third.agent_id, fourth.agent_id}
    assert await counters(booking, session_id) == (2, 2, 1)
    await nothing_is_wrong(booking)


async def test_B8_newest_is_who_was_given_a_seat_last_however_long_they_waited(booking: Database) -> None:
    session_id, (first, _, _, _, waiting) = await lowered(booking, capacity=4)
    await cancel(booking, first)
    assert (await now_of(booking, waiting)).state is BookingState.CONFIRMED
    newest = waiting
    await hear(booking, catalog_says(session_id, starts_at=START, version=3, capacity=3))

    (taken,) = (await take_back(booking, session_id, 1)).bookings

    assert taken.booking_id == newest.booking_id


async def test_B8_never_more_than_are_too_many_whoever_asks_at_once(booking: Database) -> None:
    session_id, _ = await lowered(booking)

    answers = await gather(*(take_back(booking, session_id, 2) for _ in range(3)), return_exceptions=True)

    assert sum(isinstance(answer, Withdrawn) for answer in answers) == 1
    refused = [answer for answer in answers if isinstance(answer, NotOverCapacity)]
    assert [answer.members for answer in refused] == [{"over_capacity": 0}] * 2
    assert await counters(booking, session_id) == (2, 2, 1)
    with pytest.raises(NotOverCapacity):
        await ask(booking, session_id)
    await nothing_is_wrong(booking)


@pytest.mark.parametrize("order", [ask, lambda booking, session_id, who=OPERATOR: take_back(booking, session_id, 1, who)])
async def test_B8_only_the_lab_and_only_in_a_session_that_stands(booking: Database, order: Callable[..., Awaitable[object]]) -> None:
    session_id, places = await lowered(booking)

    async def code(session_id: UUID, *who: Caller) -> str:
        try:
            await order(booking, session_id, *who)
        except Refused as refusal:
            return refusal.code
        return "done"

    assert await code(session_id, agent(ALICE)) == NotAllowed.code
    assert await code(uuid4()) == SessionNotReady.code
    await hear(booking, catalog_says(session_id, starts_at=START, version=3, status="cancelled"))
    assert await code(session_id) == SessionIsCancelled.code
    assert await told(booking, places[0]) == ["booking_confirmed", "booking_cancelled"]


async def test_B7_B8_a_seat_that_awaits_an_approval_is_taken_back_with_its_question(booking: Database) -> None:
    session_id = await given_session(booking, starts_at=START, capacity=2, needs_approval=True)
    first, newest = [await book(booking, session_id, None, uuid4()) for _ in range(2)]
    await hear(booking, catalog_says(session_id, starts_at=START, version=2, capacity=1, needs_approval=True))

    await take_back(booking, session_id, 1)

    over = await now_of(booking, newest)
    assert (over.state, over.pending and over.pending.state) == (BookingState.CANCELLED_BY_LAB, "closed")
    assert (await approve(booking, first)).state is BookingState.CONFIRMED, "there is a place for it now"
    await nothing_is_wrong(booking)

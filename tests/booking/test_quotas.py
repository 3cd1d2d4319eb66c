"""Seats that some agents may book before everybody else, by a published rule, and never a queue for them (W1, B6)."""

from __future__ import annotations

from asyncio import gather
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.groups.domain import GroupTooLarge
from services.booking.names.store import keep_units
from services.booking.seats import handlers
from services.booking.seats.refusals import BookingNotOpenYet, QuotaTaken
from shared.contracts.agenda import SwapBooking
from shared.contracts.booking import Booking, BookingState
from shared.contracts.gateway import AgentRegistered
from shared.contracts.quotas import Quota
from shared.database import Database
from shared.errors import Refused
from tests.booking.given import (
    ALICE,
    BOB,
    CAROL,
    a_session,
    agent,
    an_order,
    book,
    book_together,
    cancel,
    catalog_says,
    findings,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    paris,
)
from tests.booking.group_givens import book_group
from tests.booking.mode_givens import change, counted

OPENS, FIRST_DAY, UNTIL, STARTS = (paris(2027, 3, day, 9) for day in (1, 2, 8, 18))
LOZERE, PARIS = "48", "75"


async def given_reserved(booking: Database, *, seats: int = 2, capacity: int = 4, newcomers: bool = True, **others: Any) -> UUID:
    """Opened yesterday, on Monday 1 March 2027; to everybody the Monday after."""
    it_is(FIRST_DAY)
    session_id = uuid4()
    quota = Quota(seats=seats, until=UNTIL, newcomers=newcomers, departments=(LOZERE, "09"))
    await hear(booking, catalog_says(session_id, capacity=capacity, starts_at=STARTS, opens_at=OPENS, quota=quota, **others))
    return session_id


async def works_in(booking: Database, agent_id: UUID, department: str) -> None:
    async with booking.begin() as tx:
        await keep_units(tx, [AgentRegistered(agent_id=agent_id, version=1, org_unit="DDT", department=department, roles=("agent",))])


async def had_a_seat(booking: Database, agent_id: UUID) -> None:
    it_is(FIRST_DAY)
    await book(booking, await given_session(booking, starts_at=STARTS - timedelta(days=14)), agent_id)


def opening(refused: Refused) -> datetime:
    return datetime.fromisoformat(refused.members["opens_at"])


async def test_W1_reserved_seats_are_for_newcomers_and_for_the_departments_that_the_rule_names(booking: Database) -> None:
    for agent_id, department in ((ALICE, PARIS), (BOB, PARIS)):
        await had_a_seat(booking, agent_id)
        await works_in(booking, agent_id, department)
    await works_in(booking, ALICE, LOZERE)
    session_id = await given_reserved(booking)

    with pytest.raises(BookingNotOpenYet) as refused:
        await book(booking, session_id, BOB)

    assert opening(refused.value) == UNTIL
    assert [(await book(booking, session_id, each)).state for each in (ALICE, CAROL)] == [BookingState.CONFIRMED] * 2
    await nothing_is_wrong(booking)


async def test_W1_a_newcomer_has_no_right_where_the_rule_names_departments_alone(booking: Database) -> None:
    session_id = await given_reserved(booking, newcomers=False)
    await works_in(booking, CAROL, PARIS)

    for agent_id in (CAROL, BOB):  # the directory said nothing of Bob
        with pytest.raises(BookingNotOpenYet):
            await book(booking, session_id, agent_id)


async def test_W1_whoever_waited_or_gave_a_seat_back_is_still_a_newcomer(booking: Database) -> None:
    it_is(FIRST_DAY)
    full = await given_session(booking, capacity=1, starts_at=STARTS - timedelta(days=14))
    given_back, _, waits = [await book(booking, full, each) for each in (ALICE, BOB, CAROL)]
    await cancel(booking, given_back)
    assert (await now_of(booking, waits)).state is BookingState.WAITING
    session_id = await given_reserved(booking)

    assert {(await book(booking, session_id, each)).state for each in (ALICE, CAROL)} == {BookingState.CONFIRMED}


async def test_W1_once_they_are_taken_nobody_waits_for_them_and_one_that_is_given_back_is_reserved_again(booking: Database) -> None:
    session_id = await given_reserved(booking, seats=2, capacity=2)
    first, _ = [await book(booking, session_id) for _ in range(2)]

    with pytest.raises(QuotaTaken) as refused:
        await book(booking, session_id)
    assert opening(refused.value) == UNTIL

    await cancel(booking, first)
    assert (await book(booking, session_id)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_W1_what_is_left_is_everybody_s_from_the_hour_that_was_published(booking: Database) -> None:
    await had_a_seat(booking, ALICE)
    session_id = await given_reserved(booking, seats=3, capacity=4)
    await book(booking, session_id)
    it_is(UNTIL - timedelta(microseconds=1))
    with pytest.raises(BookingNotOpenYet):
        await book(booking, session_id, ALICE)

    it_is(UNTIL)

    others = [await book(booking, session_id, each) for each in (ALICE, *(uuid4() for _ in range(3)))]
    assert [place.state for place in others] == [BookingState.CONFIRMED] * 3 + [BookingState.WAITING]
    assert others[-1].rank == 1, "one queue, in the order of arrival"
    await nothing_is_wrong(booking)


async def test_W1_before_the_opening_the_rule_opens_nothing(booking: Database) -> None:
    session_id = await given_reserved(booking)
    it_is(OPENS - timedelta(seconds=1))

    with pytest.raises(BookingNotOpenYet) as refused:
        await book(booking, session_id, ALICE)

    assert opening(refused.value) == OPENS


async def test_B1_of_twenty_who_ask_at_once_as_many_have_a_seat_as_are_reserved(booking: Database) -> None:
    session_id = await given_reserved(booking, seats=5, capacity=10)

    answers = await gather(*(book(booking, session_id) for _ in range(20)), return_exceptions=True)

    assert Counter(type(answer) for answer in answers) == {Booking: 5, QuotaTaken: 15}
    await nothing_is_wrong(booking)


async def test_W1_who_asks_for_two_reserved_seats_at_once_is_a_newcomer_once(booking: Database) -> None:
    one, other = await given_reserved(booking), await given_reserved(booking, city="Foix")

    together = await book_together(booking, [an_order(one, ALICE), an_order(other, ALICE)])
    apart = await gather(book(booking, one, BOB), book(booking, other, BOB), return_exceptions=True)

    for answers in (together, apart):
        assert Counter(type(answer) for answer in answers) == {Booking: 1, BookingNotOpenYet: 1}


async def test_W1_a_group_comes_when_everybody_may(booking: Database) -> None:
    session_id = await given_reserved(booking, capacity=10)

    with pytest.raises(BookingNotOpenYet):
        await book_group(booking, session_id, 2)
    it_is(UNTIL)
    with pytest.raises(GroupTooLarge):
        await book_group(booking, session_id, 9)


async def test_B9_at_a_distance_everybody_books_at_once_and_nobody_comes_from_there_to_a_reserved_seat(booking: Database) -> None:
    await had_a_seat(booking, BOB)
    session_id = await given_reserved(booking, remote_capacity=20)

    there = await book(booking, session_id, BOB, remote=True)
    with pytest.raises(BookingNotOpenYet):
        await change(booking, there, remote=False)

    assert await counted(booking, session_id) == ((0, 0), (1, 0))
    it_is(UNTIL)
    assert not (await change(booking, there, remote=False)).remote


async def test_B5_an_exchange_for_a_reserved_seat_is_for_whom_the_rule_names(booking: Database) -> None:
    it_is(FIRST_DAY)
    given = await book(booking, await given_session(booking, starts_at=STARTS), ALICE)
    session_id = await given_reserved(booking)

    async def swap() -> Booking:
        async with booking.begin() as tx:
            return await handlers.swap_booking(SwapBooking(booking_id=given.booking_id, session_id=session_id), agent(ALICE), tx)

    with pytest.raises(BookingNotOpenYet):
        await swap()
    assert (await now_of(booking, given)).state is BookingState.CONFIRMED

    await works_in(booking, ALICE, LOZERE)
    assert (await swap()).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_E4_a_session_that_moves_keeps_its_rule_and_counts_what_was_reserved(booking: Database) -> None:
    session_id = await given_reserved(booking)
    await book(booking, session_id)
    quota = Quota(seats=2, until=UNTIL, newcomers=True)
    moved = catalog_says(session_id, version=2, capacity=1, starts_at=STARTS + timedelta(days=1), opens_at=OPENS, quota=quota)

    await hear(booking, moved)

    with pytest.raises(QuotaTaken):  # there are fewer seats than were reserved: nobody waits for them either
        await book(booking, session_id)
    await nothing_is_wrong(booking)


def test_E4_what_is_decided_with_the_word_of_catalog_knows_its_rule() -> None:
    session, quota = a_session(), Quota(seats=2, until=UNTIL, newcomers=True)
    said = catalog_says(session.session_id, version=2, starts_at=session.starts_at, quota=quota).session

    assert session.follow(said, session.milestones)

    assert session.quota == quota


async def test_more_reserved_seats_than_were_published_are_found(booking: Database) -> None:
    session_id = await given_reserved(booking, seats=1)
    await book(booking, session_id)
    assert await findings(booking, session_id) == set()

    async with booking.begin() as tx:
        await tx.execute(text("update session set quota = quota || '{\"seats\": 0}'"))

    assert await findings(booking, session_id) == {"more_seats_given_than_are_reserved"}
    it_is(UNTIL)
    assert await findings(booking, session_id) == set()

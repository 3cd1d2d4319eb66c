"""Hybrid sessions: seats in the room and at a distance, each with its own queue, and the way from one to the other (B9)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.booking.agenda.domain import Overlap
from services.booking.modes.domain import AnswerAwaited
from services.booking.overbooking import handlers as overbooking
from services.booking.overbooking.domain import NotOverCapacity
from services.booking.seats.refusals import (
    AlreadyBooked,
    NoRemotePlaces,
)
from shared.contracts.booking import Booking, BookingState
from shared.contracts.catalog import ActivityType
from shared.contracts.overbooking import WithdrawSeats
from shared.database import Database
from tests.booking.given import (
    ALICE,
    BOB,
    FRIDAY_EVENING,
    OPERATOR,
    STARTS_AT,
    accept,
    an_order,
    approve,
    book,
    book_together,
    cancel,
    catalog_says,
    findings,
    given_session,
    hear,
    in_days,
    it_is,
    nothing_is_wrong,
    now_of,
    timers_fire,
)
from tests.booking.group_givens import MONDAY, VISIT, book_group, cancel_group, group_now, name_seats, of_units, seats, transfer
from tests.booking.mode_givens import available, change, counted

MANAGER = uuid4()


# --- seats of their own, a queue of their own -----------------------------------------------------------------------------------------


async def test_B9_each_mode_has_its_seats_and_its_queue(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=2)

    room = [await book(booking, session_id) for _ in range(3)]
    there = [await book(booking, session_id, remote=True) for _ in range(3)]

    assert [(each.state, each.rank, each.waiting, each.remote) for each in room] == [
        (BookingState.CONFIRMED, None, None, False), (BookingState.WAITING, 1, 1, False), (BookingState.WAITING, 2, 2, False),
    ]  # fmt: skip
    assert [(each.state, each.rank, each.waiting, each.remote) for each in there] == [
        (BookingState.CONFIRMED, None, None, True), (BookingState.CONFIRMED, None, None, True), (BookingState.WAITING, 1, 1, True),
    ]  # fmt: skip
    assert await counted(booking, session_id) == ((1, 2), (2, 1))
    assert [(await now_of(booking, each)).rank for each in (*room, *there)] == [None, 1, 2, None, None, 1]
    assert (await now_of(booking, there[2])).waiting == 1
    await nothing_is_wrong(booking)


async def test_B9_orders_of_both_modes_in_one_group_count_each_for_itself(booking: Database) -> None:
    session_id = await given_session(booking, capacity=2, remote_capacity=1)
    modes = [False, True, True, False, True, False]

    answers = await book_together(booking, [an_order(session_id, remote=remote) for remote in modes])

    states = [answer.state.value for answer in answers if isinstance(answer, Booking)]
    assert states == ["confirmed", "confirmed", "waiting", "confirmed", "waiting", "waiting"]
    assert [answer.rank for answer in answers if isinstance(answer, Booking)] == [None, None, 1, None, 2, 1]
    assert await counted(booking, session_id) == ((2, 1), (1, 2))
    await nothing_is_wrong(booking)


async def test_B9_thirty_agents_racing_for_both_modes_overbook_neither(booking: Database) -> None:
    session_id = await given_session(booking, capacity=4, remote_capacity=6)

    await gather(*(book(booking, session_id, remote=number % 2 == 0) for number in range(30)))

    assert await counted(booking, session_id) == ((4, 11), (6, 9))
    await nothing_is_wrong(booking)


async def test_B3_an_agent_has_one_place_in_both_modes_together(booking: Database) -> None:
    session_id = await given_session(booking, capacity=3, remote_capacity=3)
    agent_id = uuid4()

    answers = await gather(*(book(booking, session_id, agent_id, remote=remote) for remote in (False, True) * 3), return_exceptions=True)

    assert sum(isinstance(answer, Booking) for answer in answers) == 1
    assert sum(isinstance(answer, AlreadyBooked) for answer in answers) == 5
    await nothing_is_wrong(booking)


async def test_B9_a_session_without_places_at_a_distance_says_so(booking: Database) -> None:
    session_id = await given_session(booking)

    with pytest.raises(NoRemotePlaces):
        await book(booking, session_id, remote=True)

    assert (await available(booking, session_id)).remote is None
    with pytest.raises(NoRemotePlaces):
        await change(booking, await book(booking, session_id), remote=True)


async def test_B9_a_seat_given_back_goes_to_the_queue_of_its_mode(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    room, waits_for_the_room = [await book(booking, session_id) for _ in range(2)]
    there, waits_there = [await book(booking, session_id, remote=True) for _ in range(2)]

    await cancel(booking, there)

    assert (await now_of(booking, waits_there)).state is BookingState.CONFIRMED
    assert (await now_of(booking, waits_there)).remote
    assert (await now_of(booking, waits_for_the_room)).rank == 1
    await cancel(booking, room)
    assert (await now_of(booking, waits_for_the_room)).state is BookingState.CONFIRMED
    assert await counted(booking, session_id) == ((1, 0), (1, 0))
    await nothing_is_wrong(booking)


async def test_B5_a_place_at_a_distance_may_overlap_and_takes_nobody_out_of_another_room(booking: Database) -> None:
    starts_at, agent_id = in_days(20), uuid4()
    elsewhere = await given_session(booking, starts_at=starts_at)
    hybrid = await given_session(booking, starts_at=starts_at, capacity=2, remote_capacity=2)
    first = await book(booking, elsewhere, agent_id)

    with pytest.raises(Overlap):
        await book(booking, hybrid, agent_id)
    there = await book(booking, hybrid, agent_id, remote=True)

    assert [clash.booking_id for clash in there.overlaps] == [first.booking_id]
    with pytest.raises(Overlap):
        await change(booking, there, remote=False)
    third = await given_session(booking, starts_at=starts_at)
    await cancel(booking, first)
    assert (await book(booking, third, agent_id)).state is BookingState.CONFIRMED  # the place at a distance is in no room
    await nothing_is_wrong(booking)


async def test_W2_a_seat_at_a_distance_is_offered_accepted_and_runs_out_like_any_other(booking: Database) -> None:
    it_is(FRIDAY_EVENING)
    session_id = await given_session(
        booking, capacity=1, remote_capacity=1, starts_at=STARTS_AT, kind=ActivityType.TRAINING, closes_at=STARTS_AT
    )
    seated, first, second = [await book(booking, session_id, remote=True) for _ in range(3)]

    await cancel(booking, seated)
    offered = await now_of(booking, first)
    assert offered.offer is not None
    assert await counted(booking, session_id) == ((0, 0), (1, 1))
    it_is(offered.offer.deadline)
    await timers_fire(booking)

    assert (await now_of(booking, first)).state is BookingState.LEFT
    assert (await accept(booking, await now_of(booking, second))).remote
    assert await counted(booking, session_id) == ((0, 0), (1, 0))
    await nothing_is_wrong(booking)


async def test_B7_an_approval_for_a_place_at_a_distance_is_held_there(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1, needs_approval=True)

    held = await book(booking, session_id, manager_id=MANAGER, remote=True)

    assert held.remote
    assert (await now_of(booking, held)).remote
    assert await counted(booking, session_id) == ((0, 0), (1, 0))
    with pytest.raises(AnswerAwaited):
        await change(booking, held, remote=False)
    assert (await approve(booking, held)).remote
    await nothing_is_wrong(booking)


async def test_B8_places_at_a_distance_are_lowered_raised_and_taken_back_for_themselves(booking: Database) -> None:
    session_id = await given_session(booking, capacity=5, remote_capacity=3)
    starts_at = in_days(30)
    there = [await book(booking, session_id, remote=True) for _ in range(4)]
    room = await book(booking, session_id)

    await hear(booking, catalog_says(session_id, version=2, capacity=5, remote_capacity=1, starts_at=starts_at))
    lowered = await available(booking, session_id)
    assert lowered.remote is not None
    assert (lowered.over_capacity, lowered.remote.over_capacity) == (0, 2)
    await nothing_is_wrong(booking)

    async with booking.begin() as tx:
        with pytest.raises(NotOverCapacity):
            await overbooking.withdraw_seats(WithdrawSeats(session_id=session_id, number=1, reason="salle"), OPERATOR, tx)
    async with booking.begin() as tx:
        order = WithdrawSeats(session_id=session_id, number=1, reason="moins de connexions", remote=True)
        (withdrawn,) = (await overbooking.withdraw_seats(order, OPERATOR, tx)).bookings
    assert withdrawn.booking_id == there[2].booking_id
    assert (await now_of(booking, room)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)

    await hear(booking, catalog_says(session_id, version=3, capacity=5, remote_capacity=4, starts_at=starts_at))
    assert (await now_of(booking, there[3])).state is BookingState.CONFIRMED
    assert await counted(booking, session_id) == ((1, 0), (3, 0))
    await nothing_is_wrong(booking)


async def test_B8_a_session_that_is_hybrid_no_more_removes_nobody_and_serves_nobody_there(booking: Database) -> None:
    session_id = await given_session(booking, capacity=2, remote_capacity=1)
    seated, waits = [await book(booking, session_id, remote=True) for _ in range(2)]

    await hear(booking, catalog_says(session_id, version=2, capacity=2, starts_at=in_days(30)))

    assert (await now_of(booking, seated)).state is BookingState.CONFIRMED
    assert await counted(booking, session_id) == ((0, 0), (1, 1))
    with pytest.raises(NoRemotePlaces):
        await book(booking, session_id, remote=True)
    await cancel(booking, seated)
    assert (await now_of(booking, waits)).rank == 1
    assert not (await change(booking, await now_of(booking, waits), remote=False)).remote  # the room is free
    await nothing_is_wrong(booking)


async def test_E2_a_cancelled_session_ends_the_places_of_both_modes(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    places = [await book(booking, session_id, remote=remote) for remote in (False, True, False, True)]

    await hear(booking, catalog_says(session_id, version=2, capacity=1, remote_capacity=1, status="cancelled"))

    states = [(await now_of(booking, place)).state.value for place in places]
    assert states == ["cancelled_by_lab", "cancelled_by_lab", "closed", "closed"]
    assert await counted(booking, session_id) == ((0, 0), (0, 0))
    await nothing_is_wrong(booking)


async def test_M1_another_city_is_asked_about_in_the_room_and_another_day_everywhere(booking: Database) -> None:
    starts_at = in_days(30)
    session_id = await given_session(booking, capacity=2, remote_capacity=2, starts_at=starts_at)
    room, there = await book(booking, session_id), await book(booking, session_id, remote=True)

    about: Any = {"capacity": 2, "remote_capacity": 2}
    await hear(booking, catalog_says(session_id, version=2, starts_at=starts_at, city="Albi", **about))
    asked = [(await now_of(booking, each)).pending is not None for each in (room, there)]
    assert asked == [True, False]

    await hear(booking, catalog_says(session_id, version=3, starts_at=starts_at + timedelta(days=2), city="Albi", **about))
    assert (await now_of(booking, there)).pending is not None
    await nothing_is_wrong(booking)


# --- groups come to the room ----------------------------------------------------------------------------------------------------------


async def test_B9_a_seat_freed_at_a_distance_never_goes_to_a_group_nor_counts_it_in_that_queue(booking: Database) -> None:
    it_is(MONDAY)
    session_id = await given_session(booking, capacity=2, remote_capacity=1, starts_at=VISIT, private=True)
    there = await book(booking, session_id, remote=True)
    *_, waits = [await book(booking, session_id) for _ in range(3)]
    group = await book_group(booking, session_id, 2)
    waits_there = await book(booking, session_id, remote=True)
    assert (waits_there.rank, (await now_of(booking, waits_there)).rank) == (1, 1)

    await cancel(booking, there)

    assert (await now_of(booking, waits_there)).state is BookingState.CONFIRMED
    assert seats(await group_now(booking, group)) == (0, 2, 0)
    assert (await now_of(booking, waits)).rank == 1
    assert await counted(booking, session_id) == ((2, 2), (1, 0))
    await nothing_is_wrong(booking)


async def test_G3_who_is_named_in_a_group_keeps_their_place_at_a_distance_and_leaves_with_it(booking: Database) -> None:
    it_is(MONDAY)
    session_id = await given_session(booking, capacity=5, remote_capacity=1, starts_at=VISIT, private=True)
    there, waits_there = await book(booking, session_id, ALICE, remote=True), await book(booking, session_id, BOB, remote=True)
    group = await book_group(booking, session_id, 3)

    await name_seats(booking, group, ALICE, BOB)

    assert await counted(booking, session_id) == ((2, 0), (1, 0)), "Bob has left the queue there, Alice's second seat is free"
    assert (await now_of(booking, there)).remote
    assert (await now_of(booking, waits_there)).state is BookingState.LEFT
    await nothing_is_wrong(booking)
    await cancel_group(booking, group)
    assert await counted(booking, session_id) == ((0, 0), (0, 0))
    await nothing_is_wrong(booking)


async def test_G2_a_place_at_a_distance_passes_to_a_colleague_as_it_is(booking: Database) -> None:
    it_is(MONDAY)
    session_id = await given_session(booking, capacity=5, remote_capacity=1, starts_at=VISIT, private=True)
    there = await book(booking, session_id, ALICE, remote=True)
    group = await book_group(booking, session_id, 2)
    await name_seats(booking, group, ALICE)
    await of_units(booking, {ALICE: "ddt-32", BOB: "ddt-32"})

    newcomer = await transfer(booking, there, BOB)

    assert newcomer.remote
    assert (await now_of(booking, newcomer)).remote
    assert await counted(booking, session_id) == ((1, 0), (1, 0))
    await nothing_is_wrong(booking)


async def test_W1_a_priority_token_counts_in_the_queue_of_its_mode(booking: Database) -> None:
    series, first, second, third = uuid4(), uuid4(), uuid4(), uuid4()
    cancelled = await given_session(booking, capacity=3, activity_id=series)
    for each in (first, second, third):
        await book(booking, cancelled, each)
    await hear(booking, catalog_says(cancelled, version=2, status="cancelled", activity_id=series))
    session_id = await given_session(booking, capacity=1, remote_capacity=1, activity_id=series)
    for remote in (False, True) * 2:
        await book(booking, session_id, remote=remote)

    in_the_room = await book(booking, session_id, first)
    at_a_distance = [await book(booking, session_id, each, remote=True) for each in (second, third)]

    assert [(each.rank, each.priority) for each in (in_the_room, *at_a_distance)] == [(1, True), (1, True), (2, True)]
    assert [(await now_of(booking, each)).rank for each in (in_the_room, *at_a_distance)] == [1, 1, 2]
    await nothing_is_wrong(booking)


# --- what must never be ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        ("update session set remote_held = remote_held - 1", "held_is_not_the_number_of_seats_given"),
        ("update session set remote_waiting = remote_waiting + 1", "waiting_is_not_the_length_of_the_queue"),
        ("update booking set remote = false where state = 'confirmed'", "held_is_not_the_number_of_seats_given"),
        (
            "update booking set session_sequence = session_sequence - 100 where remote and state = 'waiting'",
            "seated_before_one_who_waited_longer",
        ),
    ],
)
async def test_B9_the_audit_judges_each_mode(booking: Database, damage: str, code: str) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    for remote in (True, True, False):
        await book(booking, session_id, remote=remote)
    await nothing_is_wrong(booking)

    async with booking.begin() as tx:
        await tx.execute(text(damage))

    assert code in await findings(booking)


async def test_B3_the_audit_finds_an_agent_with_a_place_in_each_mode(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    room, _ = await book(booking, session_id), await book(booking, session_id, remote=True)

    async with booking.begin() as tx:
        await tx.execute(text("drop index booking_one_active_place"))
        await tx.execute(text("update booking set agent_id = :agent_id"), {"agent_id": room.agent_id})

    assert await findings(booking) == {"two_places_of_one_agent"}


async def test_B1_the_database_refuses_a_seat_too_many_at_a_distance(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    await book(booking, session_id, remote=True)

    with pytest.raises(Exception, match="session_never_overbooked_at_a_distance"):
        async with booking.begin() as tx:
            await tx.execute(text("update session set remote_held = 2"))

"""From the room to a place at a distance and back: both or nothing, and the queue of the mode that is left is served (B9)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.booking.modes.domain import AnswerAwaited
from services.booking.overbooking import handlers as overbooking
from services.booking.seats import handlers
from services.booking.seats.refusals import (
    BookingClosed,
    BookingNotActive,
    BookingUnknown,
    NoSeatToSwap,
    SessionStarted,
)
from shared.contracts.agenda import SwapBooking
from shared.contracts.booking import Booking, BookingState, OfferState
from shared.contracts.catalog import ActivityType
from shared.contracts.overbooking import WithdrawSeats
from shared.database import Database
from shared.errors import VersionConflict
from tests.booking.given import (
    FRIDAY_EVENING,
    OPERATOR,
    STARTS_AT,
    agent,
    book,
    cancel,
    catalog_says,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    told,
)
from tests.booking.mode_givens import change, counted

MANAGER = uuid4()


async def test_B9_moving_to_a_distance_frees_the_room_seat_and_runs_its_queue(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    seated, waits = [await book(booking, session_id) for _ in range(2)]

    moved = await change(booking, seated, remote=True)

    assert (moved.booking_id, moved.version, moved.remote) == (seated.booking_id, 2, True)
    assert moved.state is BookingState.CONFIRMED
    assert await now_of(booking, seated) == moved
    served = await now_of(booking, waits)
    assert (served.state, served.reason and served.reason.split(" le ")[0]) == (BookingState.CONFIRMED, "rang 1, place libérée")
    assert await counted(booking, session_id) == ((1, 0), (1, 0))
    assert await told(booking, seated) == ["booking_confirmed", "booking_mode_changed"]
    await nothing_is_wrong(booking)

    with pytest.raises(NoSeatToSwap):
        await change(booking, moved, remote=False)
    assert await now_of(booking, seated) == moved
    await nothing_is_wrong(booking)


async def test_B9_who_waits_may_take_a_free_seat_of_the_other_mode_and_frees_none(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    _, first, second = [await book(booking, session_id) for _ in range(3)]

    moved = await change(booking, first, remote=True)

    assert (moved.state, moved.remote) == (BookingState.CONFIRMED, True)
    assert (await now_of(booking, second)).rank == 1
    with pytest.raises(NoSeatToSwap):
        await change(booking, second, remote=True)
    assert (await now_of(booking, second)).rank == 1
    assert await counted(booking, session_id) == ((1, 1), (1, 0))
    await nothing_is_wrong(booking)


async def test_B9_the_seat_of_who_came_last_from_the_other_mode_is_the_newest(booking: Database) -> None:
    session_id = await given_session(booking, capacity=2, remote_capacity=2)
    moves = await book(booking, session_id)
    stays = await book(booking, session_id, remote=True)
    await change(booking, moves, remote=True)

    await hear(booking, catalog_says(session_id, version=2, capacity=2, remote_capacity=1))
    async with booking.begin() as tx:
        order = WithdrawSeats(session_id=session_id, number=1, reason="moins de connexions", remote=True)
        (withdrawn,) = (await overbooking.withdraw_seats(order, OPERATOR, tx)).bookings

    assert withdrawn.booking_id == moves.booking_id
    assert (await now_of(booking, stays)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_B9_asking_for_the_mode_that_one_has_changes_nothing(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    seated = await book(booking, session_id, remote=True)

    again = await change(booking, seated, remote=True)

    assert (again.version, await told(booking, seated)) == (1, ["booking_confirmed"])


async def test_B9_what_a_change_of_mode_refuses(booking: Database) -> None:
    it_is(FRIDAY_EVENING)
    about: Any = {"remote_capacity": 2, "starts_at": STARTS_AT, "closes_at": STARTS_AT - timedelta(hours=2)}
    session_id = await given_session(booking, capacity=1, kind=ActivityType.TRAINING, **about)
    seated, waits = [await book(booking, session_id) for _ in range(2)]

    with pytest.raises(BookingUnknown):
        await change(booking, seated, remote=True, caller=agent(uuid4()))
    with pytest.raises(VersionConflict):
        await change(booking, seated, remote=True, expected_version=7)
    await cancel(booking, seated)
    with pytest.raises(BookingNotActive):
        await change(booking, seated, remote=True)
    offered = await now_of(booking, waits)
    assert offered.offer is not None
    assert offered.offer.state is OfferState.OFFERED
    with pytest.raises(AnswerAwaited):
        await change(booking, offered, remote=True)
    there = await book(booking, session_id, remote=True)
    await hear(booking, catalog_says(session_id, version=2, capacity=3, activity_type=ActivityType.TRAINING, **about))

    it_is(STARTS_AT - timedelta(hours=1))
    with pytest.raises(BookingClosed):
        await change(booking, there, remote=False)  # B6: nobody new in the room
    it_is(STARTS_AT)
    with pytest.raises(SessionStarted):
        await change(booking, there, remote=False)
    await nothing_is_wrong(booking)


async def test_B7_who_waits_where_an_approval_is_needed_is_not_seated_without_it(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, remote_capacity=1, needs_approval=True)
    await book(booking, session_id, manager_id=MANAGER)
    waits = await book(booking, session_id, manager_id=MANAGER)

    with pytest.raises(AnswerAwaited):
        await change(booking, waits, remote=True)

    assert (await now_of(booking, waits)).rank == 1
    await nothing_is_wrong(booking)


async def test_B9_of_many_who_move_at_once_as_many_do_as_there_are_seats(booking: Database) -> None:
    session_id = await given_session(booking, capacity=6, remote_capacity=2)
    seated = [await book(booking, session_id) for _ in range(6)]
    newcomers = 3

    answers = await gather(
        *(change(booking, place, remote=True) for place in seated),
        *(book(booking, session_id, remote=True) for _ in range(newcomers)),
        *(book(booking, session_id) for _ in range(newcomers)),
        return_exceptions=True,
    )

    assert all(isinstance(answer, Booking | NoSeatToSwap) for answer in answers)
    (room, waits_room), (there, waits_there) = await counted(booking, session_id)
    assert (there, room) == (2, 6)
    assert room + waits_room + there + waits_there == 6 + 2 * newcomers
    await nothing_is_wrong(booking)


async def test_B9_two_who_pass_each_other_never_have_two_places(booking: Database) -> None:
    """Full on both sides: nobody can move, whoever asks first, and nothing deadlocks."""
    session_id = await given_session(booking, capacity=1, remote_capacity=1)
    room, there = await book(booking, session_id), await book(booking, session_id, remote=True)

    answers = await gather(change(booking, room, remote=True), change(booking, there, remote=False), return_exceptions=True)

    assert all(isinstance(answer, NoSeatToSwap) for answer in answers)
    assert await counted(booking, session_id) == ((1, 0), (1, 0))
    await nothing_is_wrong(booking)


async def test_B5_a_seat_elsewhere_is_exchanged_for_one_at_a_distance(booking: Database) -> None:
    elsewhere = await given_session(booking, capacity=1)
    hybrid = await given_session(booking, capacity=1, remote_capacity=1)
    seated, waits = await book(booking, elsewhere), await book(booking, elsewhere)

    async with booking.begin() as tx:
        request = SwapBooking(booking_id=seated.booking_id, session_id=hybrid, remote=True)
        swapped = await handlers.swap_booking(request, agent(seated.agent_id), tx)

    assert swapped.remote
    assert await counted(booking, hybrid) == ((0, 0), (1, 0))
    assert (await now_of(booking, waits)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)

"""One agent's bookings on real rows, however many transactions they come in: overlaps and exchanges (B5), fair use (B10)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.agenda.domain import FairUseLimit, Overlap
from services.booking.approval.domain import LineManagerRequired
from services.booking.fairness import handlers as fairness
from services.booking.names.domain import NamedIsBusy
from services.booking.seats import handlers
from services.booking.seats.refusals import BookingUnknown, NoSeatToSwap, SessionNotReady
from shared.contracts.agenda import LiftFairUse, SwapBooking
from shared.contracts.booking import AcceptOffer, Booking, BookingState
from shared.contracts.catalog import ActivityType
from shared.contracts.groups import GroupBooking
from shared.database import Database
from shared.errors import NotAllowed, Refused
from tests.booking.given import (
    ALICE,
    BOB,
    CAROL,
    OPERATOR,
    STARTS_AT,
    accept,
    agent,
    an_order,
    approve,
    book,
    book_together,
    cancel,
    counters,
    given_session,
    in_days,
    it_is,
    nothing_is_wrong,
    now_of,
    one_waits,
    refuse,
    told,
)
from tests.booking.group_givens import VISIT, book_group, given_visit, group_now, name_seats, seats

CHIEF = uuid4()
TALK, TRAINING = ActivityType.INNOVATION_THURSDAY, ActivityType.TRAINING


async def two_at_once(booking: Database, capacity: int = 10) -> tuple[UUID, UUID]:
    """So many seats in the first."""
    start = in_days(20)
    return await given_session(booking, starts_at=start, capacity=capacity), await given_session(booking, starts_at=start)


async def swap(
    booking: Database, given: Booking, session_id: UUID, caller_id: UUID | None = None, manager_id: UUID | None = None
) -> Booking:
    request = SwapBooking(booking_id=given.booking_id, session_id=session_id, manager_id=manager_id)
    async with booking.begin() as tx:
        return await handlers.swap_booking(request, agent(caller_id or given.agent_id), tx)


# --- overlaps -----------------------------------------------------------------------------------------------------------------------------


async def test_B5_a_second_seat_at_the_same_hours_is_refused_with_the_first(booking: Database) -> None:
    one, other = await two_at_once(booking)
    first = await book(booking, one, ALICE)

    with pytest.raises(Overlap) as refusal:
        await book(booking, other, ALICE)

    (clash,) = refusal.value.members["clashes"]
    assert (clash["booking_id"], clash["session_id"]) == (str(first.booking_id), str(one))
    assert (await book(booking, other, BOB)).state is BookingState.CONFIRMED
    await cancel(booking, first)
    assert (await book(booking, other, ALICE)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_B5_in_one_group_of_orders_the_second_knows_of_the_first(booking: Database) -> None:
    one, other = await two_at_once(booking)

    first, second = await book_together(booking, [an_order(one, ALICE), an_order(other, ALICE)])

    assert isinstance(first, Booking)
    assert isinstance(second, Overlap)


async def test_B5_booked_at_once_in_two_transactions_exactly_one_is_confirmed(booking: Database) -> None:
    """Neither sees the other's row when it begins; the lock on the agent makes the second see it all the same."""
    for _ in range(8):
        agent_id, sessions = uuid4(), await two_at_once(booking)

        answers = await gather(
            *(book(booking, session_id, agent_id) for session_id in (*sessions, *reversed(sessions))), return_exceptions=True
        )

        assert sum(isinstance(answer, Booking) for answer in answers) == 1
        assert {type(answer).__name__ for answer in answers} <= {"Booking", "Overlap", "AlreadyBooked"}
    await nothing_is_wrong(booking)


async def test_B5_who_waited_for_the_lock_sees_what_was_committed_meanwhile(booking: Database) -> None:
    one, other = await two_at_once(booking)
    async with booking.begin() as tx:
        (first,) = await handlers.book_seats([an_order(one, ALICE)], tx)

        async def second() -> Booking:
            return await book(booking, other, ALICE)

        waiting = gather(second(), return_exceptions=True)
        await one_waits(booking)

    assert isinstance(first, Booking)
    assert isinstance((await waiting)[0], Overlap)


async def test_B5_groups_that_share_agents_and_sessions_neither_deadlock_nor_overlap(booking: Database) -> None:
    start, agents = in_days(20), [uuid4() for _ in range(6)]
    sessions = [await given_session(booking, starts_at=start, capacity=50) for _ in range(4)]
    groups = [
        [an_order(session_id, who) for session_id in sessions[turn % 4 :] for who in agents[:: 1 if turn % 2 else -1]] for turn in range(8)
    ]

    await gather(*(book_together(booking, group) for group in groups))

    async with booking.connect() as connection:
        seats = await connection.execute(text("select agent_id, count(*) seats from booking where state = 'confirmed' group by agent_id"))
        assert {row.agent_id: row.seats for row in seats} == dict.fromkeys(agents, 1)
    await nothing_is_wrong(booking)


async def test_B5_a_freed_seat_of_a_talk_is_offered_to_whom_it_would_overlap_and_exchanged(booking: Database) -> None:
    one, other = await two_at_once(booking, capacity=1)
    seat = await book(booking, one, BOB)
    mine = await book(booking, other, ALICE)
    waiting = await book(booking, one, ALICE)
    behind = await book(booking, other)

    await cancel(booking, seat)

    asked = await now_of(booking, waiting)
    assert asked.offer is not None
    assert await told(booking, waiting) == ["waitlist_joined", "seat_offer_made"]
    with pytest.raises(Overlap):
        await accept(booking, waiting)
    async with booking.begin() as tx:
        order = AcceptOffer(booking_id=waiting.booking_id, instead_of=mine.booking_id)
        taken = await handlers.accept_offer(order, agent(ALICE), tx)
    assert taken.state is BookingState.CONFIRMED
    assert (await now_of(booking, mine)).state is BookingState.CANCELLED_BY_AGENT
    assert (await now_of(booking, behind)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_B5_a_promotion_does_not_wait_for_an_agent_who_is_booking(booking: Database) -> None:
    one, other = await two_at_once(booking, capacity=1)
    seat, waiting = await book(booking, one, BOB), await book(booking, one, ALICE)

    async with booking.begin() as tx:
        await handlers.book_seats([an_order(other, ALICE)], tx)
        await cancel(booking, seat)

    assert (await now_of(booking, waiting)).offer is not None, "asked, since nobody could tell"
    await nothing_is_wrong(booking)


# --- the exchange -------------------------------------------------------------------------------------------------------------------------


async def test_B5_an_exchange_gives_one_seat_back_and_takes_the_other(booking: Database) -> None:
    one, other = await two_at_once(booking, capacity=1)
    mine, behind = await book(booking, one, ALICE), await book(booking, one, BOB)

    taken = await swap(booking, mine, other)

    assert (taken.state, taken.session_id) == (BookingState.CONFIRMED, other)
    assert (await now_of(booking, mine)).state is BookingState.CANCELLED_BY_AGENT
    assert (await now_of(booking, behind)).state is BookingState.CONFIRMED
    assert await told(booking, mine) == ["booking_confirmed", "booking_cancelled"]
    assert await told(booking, taken) == ["booking_confirmed"]
    await nothing_is_wrong(booking)


async def test_B5_an_exchange_for_a_full_session_keeps_the_seat(booking: Database) -> None:
    full, mine_in = await two_at_once(booking, capacity=1)
    await book(booking, full)
    mine, behind = await book(booking, mine_in, ALICE), await counters(booking, mine_in)

    with pytest.raises(NoSeatToSwap):
        await swap(booking, mine, full)

    assert (await now_of(booking, mine)).version == 1
    assert (await counters(booking, full), await counters(booking, mine_in)) == ((1, 1, 0), behind)
    await nothing_is_wrong(booking)


async def test_B5_exchanges_in_both_directions_at_once_neither_deadlock_nor_lose_a_seat(booking: Database) -> None:
    for _ in range(4):
        one, other = await two_at_once(booking)
        there = [await book(booking, one) for _ in range(3)]
        here = [await book(booking, other) for _ in range(3)]

        await gather(*(swap(booking, each, other) for each in there), *(swap(booking, each, one) for each in here))

        assert (await counters(booking, one), await counters(booking, other)) == ((10, 3, 0), (10, 3, 0))
    await nothing_is_wrong(booking)


async def test_B5_the_same_exchange_twice_at_once_is_made_once(booking: Database) -> None:
    one, other = await two_at_once(booking)
    mine = await book(booking, one, ALICE)

    answers = await gather(*(swap(booking, mine, other) for _ in range(3)), return_exceptions=True)

    assert sum(isinstance(answer, Booking) for answer in answers) == 1
    assert all(isinstance(answer, Booking | Refused) for answer in answers)
    assert (await counters(booking, one), await counters(booking, other)) == ((10, 0, 0), (10, 1, 0))
    await nothing_is_wrong(booking)


async def test_B5_nobody_exchanges_another_agents_seat_nor_for_a_session_that_is_not_known(booking: Database) -> None:
    one, other = await two_at_once(booking)
    mine, theirs = await book(booking, one, ALICE), await book(booking, other, BOB)

    with pytest.raises(BookingUnknown):
        await swap(booking, mine, other, BOB)
    with pytest.raises(SessionNotReady):
        await swap(booking, mine, uuid4())
    with pytest.raises(BookingUnknown):
        async with booking.begin() as tx:
            request = AcceptOffer(booking_id=mine.booking_id, instead_of=theirs.booking_id)
            await handlers.accept_offer(request, agent(ALICE), tx)
    assert (await now_of(booking, mine)).version == 1


# --- line managers ------------------------------------------------------------------------------------------------------------------------


async def test_B5_B7_a_seat_that_awaits_an_approval_is_one_and_can_be_exchanged(booking: Database) -> None:
    start = in_days(20)
    asking = await given_session(booking, starts_at=start, capacity=1, needs_approval=True)
    free = await given_session(booking, starts_at=start, capacity=1)
    awaited = await book(booking, asking, ALICE, CHIEF)
    behind = await book(booking, asking, BOB, CHIEF)
    with pytest.raises(Overlap):
        await book(booking, free, ALICE)

    taken = await swap(booking, awaited, free)

    assert (taken.state, taken.pending, taken.manager_id) == (BookingState.CONFIRMED, None, None)
    over = await now_of(booking, awaited)
    assert (over.state, over.pending and over.pending.state) == (BookingState.CANCELLED_BY_AGENT, "closed")
    assert await told(booking, behind) == ["waitlist_joined", "booking_approval_requested"]
    await nothing_is_wrong(booking)


async def test_B5_B7_an_exchange_for_a_session_that_asks_the_manager_asks(booking: Database) -> None:
    start = in_days(20)
    free = await given_session(booking, starts_at=start)
    asking = await given_session(booking, starts_at=start, needs_approval=True)
    seat = await book(booking, free, ALICE)

    with pytest.raises(LineManagerRequired):
        await swap(booking, seat, asking)
    assert (await now_of(booking, seat)).version == 1, "the seat is kept"
    taken = await swap(booking, seat, asking, manager_id=CHIEF)

    assert (taken.pending and taken.pending.state, taken.manager_id) == ("open", CHIEF)
    assert taken == await now_of(booking, taken)
    assert await told(booking, taken) == ["booking_approval_requested"]
    assert (await approve(booking, taken)).pending != taken.pending
    await nothing_is_wrong(booking)


async def test_B7_B10_a_training_that_awaits_an_approval_counts(booking: Database) -> None:
    *sessions, fourth = await trainings(booking, 4, needs_approval=True)
    places = [await book(booking, session_id, ALICE, CHIEF) for session_id in sessions]

    with pytest.raises(FairUseLimit):
        await book(booking, fourth, ALICE, CHIEF)
    await refuse(booking, places[0])

    assert (await book(booking, fourth, ALICE, CHIEF)).state is BookingState.CONFIRMED


# --- fair use -----------------------------------------------------------------------------------------------------------------------------


async def trainings(booking: Database, number: int, *, needs_approval: bool = False) -> list[UUID]:
    it_is(STARTS_AT - timedelta(days=20))
    about: Any = {"kind": TRAINING, "needs_approval": needs_approval}
    return [await given_session(booking, starts_at=STARTS_AT + timedelta(hours=2 * turn), **about) for turn in range(number)]


async def test_B10_booked_at_once_exactly_three_of_five_trainings_are_had(booking: Database) -> None:
    sessions = await trainings(booking, 5)

    answers = await gather(*(book(booking, session_id, ALICE) for session_id in sessions), return_exceptions=True)

    had = [answer for answer in answers if isinstance(answer, Booking)]
    refused = [answer for answer in answers if isinstance(answer, FairUseLimit)]
    assert (len(had), len(refused)) == (3, 2)
    assert {each["booking_id"] for each in refused[0].members["bookings"]} <= {str(place.booking_id) for place in had}


async def test_B10_what_is_over_does_not_count(booking: Database) -> None:
    for session_id in (sessions := await trainings(booking, 3)):
        await book(booking, session_id, ALICE)
    it_is(STARTS_AT + timedelta(hours=1))  # the first one just ended
    later = await given_session(booking, starts_at=STARTS_AT + timedelta(days=20), kind=TRAINING)

    assert (await book(booking, later, ALICE)).state is BookingState.CONFIRMED
    with pytest.raises(FairUseLimit):
        await book(booking, await given_session(booking, starts_at=STARTS_AT + timedelta(days=21), kind=TRAINING), ALICE)
    assert len(sessions) == 3


async def test_B10_the_lab_lifts_the_limit_with_a_reason_that_is_kept(booking: Database) -> None:
    *usual, fourth, fifth = await trainings(booking, 5)
    for session_id in usual:
        await book(booking, session_id, ALICE)
    lift = LiftFairUse(agent_id=ALICE, session_id=fourth, reason="remplace une collègue")

    with pytest.raises(NotAllowed):
        async with booking.begin() as tx:
            await fairness.lift_fair_use(lift, agent(ALICE), tx)
    with pytest.raises(SessionNotReady):
        async with booking.begin() as tx:
            await fairness.lift_fair_use(lift.model_copy(update={"session_id": uuid4()}), OPERATOR, tx)
    for _ in range(2):
        async with booking.begin() as tx:
            await fairness.lift_fair_use(lift, OPERATOR, tx)

    assert (await book(booking, fourth, ALICE)).state is BookingState.CONFIRMED
    with pytest.raises(FairUseLimit):
        await book(booking, fifth, ALICE)
    async with booking.connect() as connection:
        (kept,) = (await connection.execute(text("select * from fair_use_lifted"))).all()
    assert (kept.agent_id, kept.session_id, kept.reason, kept.lifted_by) == (ALICE, fourth, "remplace une collègue", "operator")


# --- seats of groups ----------------------------------------------------------------------------------------------------


async def test_B5_B10_nobody_is_named_who_is_elsewhere_or_has_enough_and_then_nobody_at_all(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 2)
    await book(booking, await given_session(booking, starts_at=VISIT, kind=TALK), ALICE)
    for days in (1, 2, 3):
        await book(booking, await given_session(booking, starts_at=VISIT + timedelta(days=days), kind=TRAINING), BOB)

    for busy in (ALICE, BOB):
        with pytest.raises(NamedIsBusy) as refusal:
            await name_seats(booking, group, CAROL, busy)
        assert refusal.value.members == {"agent_id": str(busy)}, "and nothing of what they have"

    assert seats(await group_now(booking, group)) == (2, 0, 0)
    await nothing_is_wrong(booking)


async def test_B5_named_and_booked_elsewhere_at_once_an_agent_is_in_one_room(booking: Database) -> None:
    for _ in range(6):
        agent_id = uuid4()
        group = await book_group(booking, await given_visit(booking), 2)
        elsewhere = await given_session(booking, starts_at=VISIT, kind=TALK)

        answers = await gather(name_seats(booking, group, agent_id), book(booking, elsewhere, agent_id), return_exceptions=True)

        assert sum(isinstance(answer, Refused) for answer in answers) == 1
        assert {type(answer) for answer in answers} <= {GroupBooking, Booking, NamedIsBusy, Overlap}
    await nothing_is_wrong(booking)

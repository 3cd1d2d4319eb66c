"""Real concurrency on real rows: straight into the handlers, each order in a transaction of its own."""

from __future__ import annotations

import random
from asyncio import gather
from uuid import UUID, uuid4

import pytest
from asyncpg import CheckViolationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.seats.refusals import AlreadyBooked, BookingNotActive, SessionIsCancelled, SessionNotReady
from shared.contracts.booking import Booking, BookingState
from shared.database import Database, constraint_of
from shared.errors import Refused
from tests.booking.given import (
    ALICE,
    an_order,
    book,
    book_together,
    cancel,
    catalog_says,
    counters,
    findings,
    given_session,
    hear,
    nothing_is_wrong,
    now_of,
    places,
    told,
)


async def test_B1_twenty_agents_racing_for_five_seats_get_five(booking: Database) -> None:
    session_id = await given_session(booking, capacity=5)

    answers = await gather(*(book(booking, session_id) for _ in range(20)))

    assert await counters(booking, session_id) == (5, 5, 15)
    assert sum(answer.state is BookingState.CONFIRMED for answer in answers) == 5
    assert sorted(answer.rank for answer in answers if answer.rank) == list(range(1, 16))
    await nothing_is_wrong(booking)


async def test_B1_groups_that_share_sessions_neither_deadlock_nor_overbook(booking: Database) -> None:
    session_ids = [await given_session(booking, capacity=7) for _ in range(6)]
    groups = [[an_order(session_id) for session_id in random.sample(session_ids, 6) for _ in range(4)] for _ in range(8)]

    await gather(*(book_together(booking, group) for group in groups))

    for session_id in session_ids:
        assert await counters(booking, session_id) == (7, 7, 25)
    await nothing_is_wrong(booking)


async def test_B3_of_two_parallel_joins_of_one_agent_one_wins_and_the_other_is_told_which(booking: Database) -> None:
    session_id = await given_session(booking, capacity=5)

    answers = await gather(*(book(booking, session_id, ALICE) for _ in range(5)), return_exceptions=True)

    (won,) = [answer for answer in answers if isinstance(answer, Booking)]
    lost = [answer for answer in answers if isinstance(answer, AlreadyBooked)]
    assert len(lost) == 4
    assert {refusal.members["booking_id"] for refusal in lost} == {str(won.booking_id)}
    await nothing_is_wrong(booking)


async def test_B3_one_agent_twice_in_one_group_has_one_place(booking: Database) -> None:
    session_id = await given_session(booking)

    first, second = await book_together(booking, [an_order(session_id, ALICE), an_order(session_id, ALICE)])

    assert isinstance(first, Booking)
    assert isinstance(second, AlreadyBooked)
    assert second.members["booking_id"] == str(first.booking_id)


async def test_a_group_answers_each_order_by_itself_in_the_order_of_arrival(booking: Database) -> None:
    open_id, cancelled_id, unheard_of = await given_session(booking, capacity=1), await given_session(booking), uuid4()
    await hear(booking, catalog_says(cancelled_id, version=2, status="cancelled"))
    foreign = an_order(open_id, ALICE)

    answers = await book_together(
        booking,
        [
            an_order(unheard_of),
            an_order(open_id),
            an_order(cancelled_id),
            type(foreign)(foreign.request, an_order(open_id).caller),  # another agent asks for Alice
            an_order(open_id),
        ],
    )

    assert [answer.state if isinstance(answer, Booking) else answer.code for answer in answers] == [
        "session_not_ready",
        BookingState.CONFIRMED,
        "session_is_cancelled",
        "not_allowed",
        BookingState.WAITING,
    ]
    await nothing_is_wrong(booking)


async def test_W1_parallel_cancellations_promote_distinct_heads(booking: Database) -> None:
    session_id = await given_session(booking, capacity=10)
    seated = [await book(booking, session_id) for _ in range(10)]
    queue = [await book(booking, session_id) for _ in range(15)]

    await gather(*(cancel(booking, seat) for seat in seated[:8]))

    states = [(await now_of(booking, entry)).state for entry in queue]
    assert states == [BookingState.CONFIRMED] * 8 + [BookingState.WAITING] * 7
    assert [(await now_of(booking, entry)).rank for entry in queue[8:]] == list(range(1, 8))
    assert await counters(booking, session_id) == (10, 10, 7)
    await nothing_is_wrong(booking)


async def test_a_place_cancelled_twice_at_once_is_cancelled_once(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    seat, head = await book(booking, session_id), await book(booking, session_id)

    answers = await gather(*(cancel(booking, seat) for _ in range(4)), return_exceptions=True)

    assert sum(isinstance(answer, Booking) for answer in answers) == 1
    assert sum(isinstance(answer, BookingNotActive) for answer in answers) == 3
    assert await told(booking, head) == ["waitlist_joined", "waitlist_promoted"]
    await nothing_is_wrong(booking)


async def test_the_same_agent_leaves_and_comes_back_while_others_do(booking: Database) -> None:
    session_id = await given_session(booking, capacity=3)

    async def come_and_go(agent_id: UUID) -> None:
        for _ in range(5):
            await cancel(booking, await book(booking, session_id, agent_id))

    await gather(*(come_and_go(uuid4()) for _ in range(8)))

    assert await counters(booking, session_id) == (3, 0, 0)
    assert await places(booking, session_id, BookingState.CONFIRMED) == 0
    await nothing_is_wrong(booking)


async def test_a_storm_of_bookings_and_cancellations_leaves_nothing_wrong(booking: Database) -> None:
    session_ids = [await given_session(booking, capacity=4) for _ in range(3)]
    dice = random.Random(20270312)
    live: list[Booking] = []

    async def somebody() -> None:
        for _ in range(12):
            if live and dice.random() < 0.45:
                try:
                    await cancel(booking, live.pop(dice.randrange(len(live))))
                except BookingNotActive:
                    pytest.fail("every place is cancelled by one only")
            else:
                orders = [an_order(dice.choice(session_ids)) for _ in range(dice.randint(1, 4))]
                live.extend(answer for answer in await book_together(booking, orders) if isinstance(answer, Booking))

    await gather(*(somebody() for _ in range(8)))

    await nothing_is_wrong(booking)


async def test_E2_bookings_that_race_with_the_cancellation_of_the_session_are_cancelled_too(booking: Database) -> None:
    session_id = await given_session(booking, capacity=5)

    *answers, _ = await gather(
        *(book(booking, session_id) for _ in range(10)),
        hear(booking, catalog_says(session_id, version=2, capacity=5, status="cancelled")),
        return_exceptions=True,
    )
    after = await gather(book(booking, session_id), return_exceptions=True)

    accepted = [answer for answer in answers if isinstance(answer, Booking)]
    assert all(isinstance(answer, Booking | SessionIsCancelled) for answer in answers)
    assert isinstance(after[0], SessionIsCancelled)
    for place in accepted:
        now = await now_of(booking, place)
        assert now.state is (BookingState.CANCELLED_BY_LAB if place.state is BookingState.CONFIRMED else BookingState.CLOSED)
        assert now.reason == "séance annulée : intervenant souffrant"
    assert await counters(booking, session_id) == (5, 0, 0)
    await nothing_is_wrong(booking)


async def test_E6_seats_added_while_bookings_race_are_all_used_and_the_queue_comes_first(booking: Database) -> None:
    session_id = await given_session(booking, capacity=3)

    await gather(
        *(book(booking, session_id) for _ in range(15)),
        hear(booking, catalog_says(session_id, version=2, capacity=9)),
        *(book(booking, session_id) for _ in range(15)),
    )

    assert await counters(booking, session_id) == (9, 9, 21)
    await nothing_is_wrong(booking)


async def test_E1_a_booking_that_races_with_the_first_news_of_its_session_is_told_to_try_again(booking: Database) -> None:
    session_id = uuid4()

    answers = await gather(*(book(booking, session_id) for _ in range(6)), hear(booking, catalog_says(session_id)), return_exceptions=True)

    assert all(answer is None or isinstance(answer, Booking | SessionNotReady) for answer in answers)
    assert isinstance(await book(booking, session_id), Booking)
    await nothing_is_wrong(booking)


# --- what the database swears ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_hand", "constraint"),
    [
        ("update session set held = held + 1", "session_never_overbooked"),
        ("update session set waiting = -1", "session_waiting_check"),
        (
            "insert into booking select uuidv7(), session_id, agent_id, 'waiting', 99, 1, booked_at, decided_at from booking",
            "booking_one_active_place",
        ),
        (
            "insert into booking select uuidv7(), session_id, uuidv7(), 'waiting', 9, 1, now(), now() from booking, (values (1), (2))",
            "booking_queue",
        ),
        ("update booking set state = 'offered'", "booking_state_known"),
    ],
)
async def test_the_database_refuses_what_no_rule_allows(booking: Database, by_hand: str, constraint: str) -> None:
    await book(booking, await given_session(booking, capacity=1))

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(text(by_hand))

    assert constraint_of(refused.value) == constraint


async def test_the_database_refuses_a_seat_too_many_even_over_capacity(booking: Database) -> None:
    session_id = await given_session(booking, capacity=3)
    for _ in range(3):
        await book(booking, session_id)
    await hear(booking, catalog_says(session_id, version=2, capacity=2))

    with pytest.raises(IntegrityError, match="session_never_overbooked"):
        async with booking.begin() as tx:
            await tx.execute(text("update session set held = held + 1"))


async def test_a_rule_that_forgot_the_capacity_is_refused_by_the_database(booking: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = await given_session(booking, capacity=1)
    await book(booking, session_id)
    await book(booking, session_id)
    monkeypatch.setattr("services.booking.seats.domain.Session.servable", lambda *_: 1)
    monkeypatch.setattr("services.booking.seats.domain.Session.follow", lambda *_: True)

    with pytest.raises(CheckViolationError, match="session_never_overbooked"):
        await hear(booking, catalog_says(session_id, version=2, capacity=1))


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("update booking set state = 'left' where state = 'confirmed'", "held_is_not_the_number_of_seats_given"),
        ("update session set waiting = waiting + 1", "waiting_is_not_the_length_of_the_queue"),
        ("update booking set session_sequence = 0 where state = 'waiting'", "seated_before_one_who_waited_longer"),
        ("update session set capacity = capacity + 1", "a_free_seat_and_a_queue"),
        ("update session set status = 'cancelled'", "a_place_in_a_cancelled_session"),
        ("update booking set session_sequence = 99 where state = 'waiting'", "a_place_from_the_future"),
    ],
)
async def test_the_audit_sees_what_constraints_cannot(booking: Database, damage: str, finding: str) -> None:
    session_id = await given_session(booking, capacity=1)
    await book(booking, session_id)
    await book(booking, session_id)
    await nothing_is_wrong(booking)

    async with booking.begin() as tx:
        await tx.execute(text(damage))

    assert finding in await findings(booking)


async def test_a_refused_order_leaves_no_trace(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    await book(booking, session_id, ALICE)
    before = await counters(booking, session_id)

    with pytest.raises(Refused):
        await book(booking, session_id, ALICE)

    assert await counters(booking, session_id) == before
    await nothing_is_wrong(booking)

"""Through the real bus, with two replicas of the service: what agents see when a newsletter opens a popular session."""

from __future__ import annotations

from asyncio import gather
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.seats import handlers
from shared import clock, outbox, requests
from shared.bus import Bus
from shared.contracts.booking import Booking, BookingState, BookSeat, CancelBooking
from shared.database import Database
from shared.errors import KeyInUse, KeyReused, Refused
from tests.booking.given import (
    agent,
    an_order,
    book,
    catalog_says,
    counters,
    given_session,
    in_days,
    nothing_is_wrong,
    now_of,
    places,
)

pytestmark = pytest.mark.usefixtures("replicas")
Eventually = Callable[..., Any]


async def ask_for_a_seat(gateway: Bus, session_id: UUID, agent_id: UUID, key: str | None = None) -> Booking:
    return await gateway.ask(BookSeat(session_id=session_id, agent_id=agent_id), agent(agent_id, key), timeout=15)


async def test_B1_two_hundred_parallel_bookings_of_ten_seats(booking: Database, gateway: Bus) -> None:
    session_id = await given_session(booking, capacity=10)

    answers = await gather(*(ask_for_a_seat(gateway, session_id, uuid4(), key=f"click-{n}") for n in range(200)))

    assert Counter(answer.state for answer in answers) == {BookingState.CONFIRMED: 10, BookingState.WAITING: 190}
    in_order = sorted(answers, key=lambda answer: answer.session_sequence)
    assert [answer.state for answer in in_order[:10]] == [BookingState.CONFIRMED] * 10
    assert [answer.rank for answer in in_order[10:]] == list(range(1, 191))
    assert [(await now_of(booking, answer)).rank for answer in in_order[10::10]] == list(range(1, 191, 10))
    assert await counters(booking, session_id) == (10, 10, 190)
    await nothing_is_wrong(booking)


async def test_cancellations_among_bookings_leave_nothing_wrong(booking: Database, gateway: Bus) -> None:
    session_id = await given_session(booking, capacity=10)

    async def come(n: int) -> None:
        place = await ask_for_a_seat(gateway, session_id, uuid4())
        if n % 3:
            await gateway.ask(CancelBooking(booking_id=place.booking_id), agent(place.agent_id), timeout=15)

    await gather(*(come(n) for n in range(90)))

    assert await counters(booking, session_id) == (10, 10, 20)
    await nothing_is_wrong(booking)


async def test_B3_the_same_click_five_times_at_once_is_one_booking(booking: Database, gateway: Bus) -> None:
    session_id, agent_id = await given_session(booking), uuid4()

    answers = await gather(*(ask_for_a_seat(gateway, session_id, agent_id, key="one-click") for _ in range(5)), return_exceptions=True)
    later = await ask_for_a_seat(gateway, session_id, agent_id, key="one-click")

    assert all(isinstance(answer, Booking | Refused) for answer in answers)
    assert {answer.booking_id for answer in answers if isinstance(answer, Booking)} == {later.booking_id}
    assert {answer.code for answer in answers if isinstance(answer, Refused)} <= {KeyInUse.code}
    assert await places(booking, session_id, BookingState.CONFIRMED) == 1
    with pytest.raises(Refused) as another:
        await ask_for_a_seat(gateway, await given_session(booking), agent_id, key="one-click")
    assert another.value.code == KeyReused.code
    with pytest.raises(Refused) as refusal:
        await ask_for_a_seat(gateway, session_id, agent_id, key="another-click")
    assert (refusal.value.code, refusal.value.members) == ("already_booked", {"booking_id": str(later.booking_id)})


async def test_one_order_that_breaks_does_not_fail_its_neighbours(booking: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id, cursed = await given_session(booking), uuid4()
    real = outbox.record_each

    async def record_each(tx: Any, facts: Any) -> None:
        assert all(fact.agent_id != cursed for fact, _ in facts), "a bug that one order in a group meets"
        await real(tx, facts)

    monkeypatch.setattr(outbox, "record_each", record_each)
    group = requests.Group(handlers.book_seats, 256, booking, "book_seat")
    agents = [uuid4(), uuid4(), cursed, uuid4()]
    answers = await gather(*(group.submit(an_order(session_id, each)) for each in agents), return_exceptions=True)

    assert [isinstance(answer, str) for answer in answers] == [True, True, False, True]
    assert isinstance(answers[2], AssertionError)
    assert await counters(booking, session_id) == (10, 3, 0)
    await nothing_is_wrong(booking)


async def test_E1_E4_sessions_arrive_from_the_stream_and_old_versions_change_nothing(
    booking: Database, catalog: Database, gateway: Bus, eventually: Eventually
) -> None:
    session_id = uuid4()
    with pytest.raises(Refused) as refusal:
        await ask_for_a_seat(gateway, session_id, uuid4())
    assert (refusal.value.code, refusal.value.status, refusal.value.retryable) == ("session_not_ready", 409, True)

    moved = in_days(40)
    first, second, third = (
        catalog_says(session_id, version=1, capacity=10),
        catalog_says(session_id, version=2, capacity=20),
        catalog_says(session_id, version=3, capacity=30, starts_at=moved),
    )

    async def heard() -> int:
        async with booking.connect() as connection:
            return await connection.scalar(text("select count(*) from inbox where consumer = 'booking-sessions'")) or 0

    for number, event in enumerate((third, second, first), start=1):
        async with catalog.begin() as tx:
            await outbox.record(tx, event)
        await eventually(lambda number=number: _is(heard(), number))

    answer = await ask_for_a_seat(gateway, session_id, uuid4())
    assert answer.state is BookingState.CONFIRMED
    assert await counters(booking, session_id) == (30, 1, 0)
    async with booking.connect() as connection:
        assert await connection.scalar(text("select starts_at from session")) == moved


async def test_E2_a_session_cancelled_in_catalog_ends_every_place_that_was_taken_meanwhile(
    booking: Database, catalog: Database, gateway: Bus, eventually: Eventually
) -> None:
    session_id = await given_session(booking, capacity=5)

    async def cancelled() -> None:
        async with catalog.begin() as tx:
            await outbox.record(tx, catalog_says(session_id, version=2, capacity=5, status="cancelled"))

    await gather(*(ask_for_a_seat(gateway, session_id, uuid4()) for _ in range(20)), cancelled(), return_exceptions=True)
    for _ in range(20):  # the gap: booking goes on selling until it hears
        try:
            await book(booking, session_id)
        except Refused:
            break

    async def over() -> bool:
        return await counters(booking, session_id) == (5, 0, 0)

    await eventually(over)
    assert await places(booking, session_id, BookingState.CONFIRMED) == await places(booking, session_id, BookingState.WAITING) == 0
    await nothing_is_wrong(booking)


async def test_a_session_that_began_by_the_shifted_clock_refuses(booking: Database, gateway: Bus) -> None:
    session_id = await given_session(booking, starts_at=in_days(1))
    clock.shift(timedelta(days=1, minutes=1), "embedded")

    with pytest.raises(Refused) as refusal:
        await ask_for_a_seat(gateway, session_id, uuid4())

    assert refusal.value.code == "session_started"


async def _is(answer: Awaitable[int], number: int) -> bool:
    return await answer == number

"""Priority tokens on real rows: who was sent away by the lab comes first, once (W1, W7)."""

from __future__ import annotations

from asyncio import create_task
from datetime import UTC, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.seats import handlers
from shared.contracts.booking import Booking, BookingState
from shared.database import Database, constraint_of
from tests.booking.given import (
    ALICE,
    BOB,
    FRIDAY_EVENING,
    an_order,
    book,
    cancel,
    catalog_says,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    one_waits,
)


async def given_displaced(database: Database, series: UUID, *agents: UUID) -> None:
    """A session with one seat, booked by these agents in order, then cancelled by the lab."""
    cancelled = await given_session(database, capacity=1, activity_id=series)
    for each in agents:
        await book(database, cancelled, each)
    await hear(database, catalog_says(cancelled, version=2, status="cancelled", activity_id=series))


async def tokens(database: Database) -> list[tuple[UUID, bool]]:
    async with database.connect() as connection:
        rows = await connection.execute(text("select agent_id, used_at is not null from priority_token order by token_id"))
        return [(row[0], row[1]) for row in rows]


async def test_W7_who_was_sent_away_by_the_lab_comes_first_in_the_next_queue_of_the_series_once(booking: Database) -> None:
    series = uuid4()
    await given_displaced(booking, series, ALICE, BOB)
    assert await tokens(booking) == [(ALICE, False), (BOB, False)]
    session_id, other = (await given_session(booking, capacity=1, activity_id=series), await given_session(booking, capacity=1))
    for each in (session_id, other):
        for _ in range(3):
            await book(booking, each)

    elsewhere = await book(booking, other, BOB)
    bob, alice = await book(booking, session_id, BOB), await book(booking, session_id, ALICE)
    last = await book(booking, session_id)

    assert (elsewhere.rank, elsewhere.priority) == (3, False), "of another series"
    assert [(each.rank, each.priority) for each in (bob, alice, last)] == [(1, True), (2, True), (5, False)]
    assert [(await now_of(booking, each)).rank for each in (bob, alice, last)] == [1, 2, 5]
    assert await tokens(booking) == [(ALICE, True), (BOB, True)]
    await nothing_is_wrong(booking)
    await cancel(booking, bob)
    assert (await book(booking, session_id, BOB)).priority is False, "it was used"
    await nothing_is_wrong(booking)


async def test_W1_priority_is_served_first(booking: Database) -> None:
    series = uuid4()
    await given_displaced(booking, series, ALICE)
    session_id = await given_session(booking, capacity=1, activity_id=series)
    seat, waiting, first = [await book(booking, session_id, who) for who in (uuid4(), uuid4(), ALICE)]

    await cancel(booking, seat)

    assert (await now_of(booking, first)).state is BookingState.CONFIRMED
    assert (await now_of(booking, waiting)).rank == 1
    await nothing_is_wrong(booking)


async def test_W7_a_token_lasts_ninety_days_and_is_kept_where_a_seat_is_free(booking: Database) -> None:
    series = uuid4()
    it_is(FRIDAY_EVENING)
    await given_displaced(booking, series, ALICE)
    free = await given_session(booking, activity_id=series)
    assert (await book(booking, free, ALICE)).state is BookingState.CONFIRMED
    assert await tokens(booking) == [(ALICE, False)]

    for days, priority in ((90, False), (89, True)):
        it_is(FRIDAY_EVENING.astimezone(UTC) + timedelta(days=days))
        full = await given_session(booking, capacity=1, activity_id=series)
        await book(booking, full)
        await book(booking, full)
        assert (await book(booking, full, ALICE)).priority is priority


async def test_W7_one_token_on_two_sessions_at_once_is_used_once(booking: Database) -> None:
    series = uuid4()
    await given_displaced(booking, series, ALICE)
    full = [await given_session(booking, capacity=1, activity_id=series) for _ in range(3)]
    for session_id in full:
        await book(booking, session_id)

    async with booking.begin() as tx:
        together = await handlers.book_seats([an_order(session_id, ALICE) for session_id in full[:2]], tx)
        racing = create_task(book(booking, full[2], ALICE))
        await one_waits(booking)
    answers = [*together, await racing]

    assert [isinstance(answer, Booking) and answer.priority for answer in answers] == [True, False, False]
    await nothing_is_wrong(booking)


async def test_the_database_refuses_a_token_used_by_nobody(booking: Database) -> None:
    await given_displaced(booking, uuid4(), ALICE)

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(text("update priority_token set used_at = now()"))

    assert constraint_of(refused.value) == "priority_token_used_once"

"""No-shows, used fairly: what counts, what takes it away, who sees it (N1, N3, N4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.attendance import handlers as attendance
from services.booking.attendance.domain import NothingToExcuse
from services.booking.strikes import domain, handlers
from shared.consumers import Received
from shared.contracts.attendance import DeclareExcuse
from shared.contracts.booking import Booking, BookingCancelled
from shared.contracts.messages import Envelope
from shared.contracts.strikes import ListStrikes, Strike, StrikeList, StrikeReason
from shared.database import Database
from shared.errors import NotAllowed
from shared.inbox import Delivery
from shared.outbox import uuid7
from tests.booking.given import ALICE, BOB, agent, book, cancel, it_is, paris
from tests.booking.given_attendance import (
    BOTH,
    EVENING,
    LAB,
    PLANNED,
    ask,
    catalog_says,
    enter,
    given_training,
    hear,
    said,
    sign,
    timers_fire,
)

LATE = paris(2027, 3, 12, 18, 30)
"""Friday evening before the training of Thursday: after its cut-off, five working days before."""


async def strikes_of(database: Database, agent_id: UUID) -> StrikeList:
    return await handlers.list_strikes(ListStrikes(agent_id=agent_id), agent(agent_id), database)


async def halves(database: Database, agent_id: UUID) -> int:
    return (await strikes_of(database, agent_id)).halves


async def cancel_late(database: Database, booking: Booking) -> BookingCancelled:
    """And booking hears of it, twice."""
    await cancel(database, booking)
    (fact,) = [BookingCancelled.model_validate(each) for each in await said(database, "booking_cancelled")]
    for _ in range(2):
        await hear_cancellation(database, fact)
    return fact


async def hear_cancellation(database: Database, fact: BookingCancelled) -> None:
    envelope = Envelope.of(fact, event_id=uuid7(), time=datetime.now(UTC))
    received = Received(fact, envelope, Delivery("EVT_BOOKING", 1, f"{fact.subject}.{fact.booking_id}", {}, b""))
    async with database.begin() as tx:
        await handlers.follow_cancellation(received, tx)


async def test_N3_a_no_show_is_one_strike_and_a_late_cancellation_half(booking: Database) -> None:
    session_id, (alice, _) = await given_training(booking, ALICE, BOB)
    it_is(LATE)
    await cancel_late(booking, alice)
    it_is(EVENING)
    await sign(booking, session_id, 1, 2)

    (half,), (whole,) = (await strikes_of(booking, ALICE)).strikes, (await strikes_of(booking, BOB)).strikes

    assert (half.reason, half.halves, half.given_at, half.expires_at) == ("late_cancelled", 1, LATE, paris(2027, 9, 12, 18, 30))
    assert (whole.reason, whole.halves, whole.given_at) == ("absent", 2, EVENING)


async def test_N1_a_cancellation_in_time_leaves_no_trace(booking: Database) -> None:
    _, (alice,) = await given_training(booking, ALICE)
    await cancel_late(booking, alice)

    assert await halves(booking, ALICE) == 0


async def test_N3_strikes_expire_and_are_erased_after_six_months(booking: Database) -> None:
    _, (alice,) = await given_training(booking, ALICE)
    it_is(LATE)
    await cancel_late(booking, alice)

    it_is(paris(2027, 9, 12, 18, 29))
    await timers_fire(booking)
    assert await halves(booking, ALICE) == 1
    it_is(paris(2027, 9, 12, 18, 30))
    assert await halves(booking, ALICE) == 0
    await timers_fire(booking)
    async with booking.connect() as connection:
        assert await connection.scalar(text("select count(*) from strike")) == 0


async def test_N3_an_excuse_or_a_correction_takes_the_strike_away(booking: Database) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(EVENING)
    await sign(booking, session_id, 1, 2)
    assert [await halves(booking, who) for who in (ALICE, BOB)] == [2, 2]

    await ask(booking, attendance.declare_excuse, DeclareExcuse(booking_id=alice.booking_id), agent(ALICE))
    await enter(booking, bob, 1)
    assert [await halves(booking, who) for who in (ALICE, BOB)] == [0, 0]

    await enter(booking, bob, 1, present=False)
    assert await halves(booking, BOB) == 2


async def test_N3_a_late_cancellation_is_excused_at_once_and_stays_so_when_it_is_heard_of_again(booking: Database) -> None:
    _, (alice,) = await given_training(booking, ALICE)
    it_is(LATE)
    fact = await cancel_late(booking, alice)

    excused = await ask(booking, attendance.declare_excuse, DeclareExcuse(booking_id=alice.booking_id), agent(ALICE))

    assert (excused.excused, excused.outcome) == (True, None)
    await hear_cancellation(booking, fact)
    assert await halves(booking, ALICE) == 0
    with pytest.raises(NothingToExcuse):
        await ask(booking, attendance.declare_excuse, DeclareExcuse(booking_id=alice.booking_id), agent(ALICE))


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("status", ["cancelled", "scheduled"])
async def test_N4_a_session_that_is_cancelled_or_moved_makes_no_strikes(booking: Database, *, before: bool, status: str) -> None:
    """Whether the lab changes it before the cancellation is heard of, or after."""
    session_id, (alice,) = await given_training(booking, ALICE)
    later = tuple((start + timedelta(days=7), end + timedelta(days=7)) for start, end in BOTH)
    change = catalog_says(session_id, *(BOTH if status == "cancelled" else later), version=2, status=status)
    it_is(LATE)
    await cancel(booking, alice)
    (fact,) = [BookingCancelled.model_validate(each) for each in await said(booking, "booking_cancelled")]
    steps = [hear(booking, change), hear_cancellation(booking, fact)]
    for step in steps if before else reversed(steps):
        await step

    assert await halves(booking, ALICE) == 0


async def test_N4_who_booked_after_the_move_chose_its_date(booking: Database) -> None:
    session_id, (_,) = await given_training(booking, ALICE)
    later = tuple((start + timedelta(days=7), end + timedelta(days=7)) for start, end in BOTH)
    await hear(booking, catalog_says(session_id, *later, version=2))
    it_is(PLANNED + timedelta(hours=1))
    await book(booking, session_id, BOB)

    it_is(later[1][1])
    await sign(booking, session_id, 1, 2)

    assert [await halves(booking, who) for who in (ALICE, BOB)] == [0, 2]


async def test_N3_strikes_are_seen_by_their_agent_and_by_nobody_else(booking: Database) -> None:
    for caller in (agent(BOB), LAB):
        with pytest.raises(NotAllowed):
            await handlers.list_strikes(ListStrikes(agent_id=ALICE), caller, booking)


def a_strike(halves: int, day: datetime) -> Strike:
    reason = StrikeReason.ABSENT if halves == 2 else StrikeReason.LATE_CANCELLED
    return Strike(
        booking_id=uuid4(), session_id=uuid4(), reason=reason, halves=halves, given_at=day, expires_at=domain.months_after(day, 6)
    )


def test_N3_two_strikes_come_together_with_the_one_that_makes_them_two() -> None:
    january, march, may = (paris(2027, month, 10) for month in (1, 3, 5))

    assert domain.reached_at([a_strike(1, may), a_strike(2, january), a_strike(1, march)]) == may
    assert domain.reached_at([a_strike(2, january), a_strike(1, march)]) is None


@pytest.mark.parametrize(
    ("day", "months_later"),
    [
        (paris(2027, 8, 31, 9), paris(2028, 2, 29, 9)),
        (paris(2027, 1, 15, 9), paris(2027, 7, 15, 9)),
        (paris(2027, 12, 1), paris(2028, 6, 1)),
    ],
)
def test_N3_six_months_are_calendar_months_at_the_same_hour_in_paris(day: datetime, months_later: datetime) -> None:
    assert domain.months_after(day.astimezone(UTC), 6) == months_later

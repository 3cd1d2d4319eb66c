"""The quorum: decided seven days before by the seats that are taken, unless the lab keeps the session (M3, M5, E2)."""

from __future__ import annotations

import json
from asyncio import gather
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.availability import store as availability
from services.booking.quorum import handlers
from services.booking.quorum.domain import QuorumAlreadyDecided, QuorumUnknown, decision_time
from services.booking.quorum.planning import QUORUM_DAY
from services.booking.seats import store
from services.booking.seats.refusals import SessionIsCancelled, SessionNotReady, SessionStarted
from shared.bus import Caller
from shared.contracts.booking import Booking, BookingState
from shared.contracts.catalog import ActivityType
from shared.contracts.quorum import GetQuorum, KeepDespiteQuorum, QuorumReport, QuorumState
from shared.database import Database
from shared.errors import NotAllowed, Refused
from shared.timers import Timer
from tests.booking.given import (
    ALICE,
    OPERATOR,
    STARTS_AT,
    book,
    cancel,
    catalog_says,
    given_session,
    hear,
    is_holiday,
    it_is,
    nothing_else,
    nothing_is_wrong,
    now_of,
    one_waits,
    paris,
    timers_fire,
)
from tests.booking.group_givens import book_group, seats

MONDAY = paris(2027, 3, 1, 9)
DECIDED_AT = paris(2027, 3, 11, 9)
"""Of the session of Thursday 18 March 2027."""
WEEK, SECOND = timedelta(days=7), timedelta(seconds=1)
LAB = Caller("0192f3c4-0000-7000-8000-00000000000a", frozenset({"lab_team"}))


async def given_a_quorum(database: Database, needed: int | None = 2, **about: Any) -> UUID:
    """Of a session of ten seats on Thursday 18 March 2027, 14:00, that can be booked until it starts; it is Monday 1 March."""
    it_is(MONDAY)
    given: dict[str, Any] = {"starts_at": STARTS_AT, "kind": ActivityType.TRAINING, "closes_at": STARTS_AT, "quorum": needed}
    return await given_session(database, **given | about)


async def report(database: Database, session_id: UUID) -> QuorumReport:
    return await handlers.get_quorum(GetQuorum(session_id=session_id), LAB, database)


async def keep(database: Database, session_id: UUID, caller: Caller = LAB) -> QuorumReport:
    async with database.begin() as tx:
        return await handlers.keep_despite_quorum(KeepDespiteQuorum(session_id=session_id, reason="salle payée"), caller, tx)


async def missed(database: Database) -> list[dict[str, Any]]:
    async with database.connect() as connection:
        query = "select payload from outbox where aggregate_type = 'quorum_decision' order by id"
        return [json.loads(body) for body in await connection.scalars(text(query))]


async def move(database: Database, session_id: UUID, starts_at: datetime, version: int = 2) -> None:
    await hear(database, catalog_says(session_id, version=version, starts_at=starts_at, closes_at=starts_at, quorum=2))


async def fire_again(database: Database, session_id: UUID, day: str = "2027-03-18") -> None:
    """The timer, straight into its handler."""
    timer = Timer(f"quorum/{session_id}/{day}", QUORUM_DAY, DECIDED_AT, {"session_id": str(session_id), "day": day})
    async with database.begin() as tx:
        await handlers.decide_quorum(timer, tx)


# --- when -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "decided"),
    [
        (date(2027, 3, 18), DECIDED_AT),
        (date(2027, 4, 1), paris(2027, 3, 25, 9)),  # nine on the clocks, whatever changes on 28 March
        (date(2027, 5, 13), paris(2027, 5, 5, 9)),  # Thursday 6 May is Ascension
        (date(2027, 5, 15), paris(2027, 5, 7, 9)),  # a Saturday
        (date(2027, 4, 5), paris(2027, 3, 26, 9)),  # Easter Monday, then a weekend
    ],
)
def test_M3_the_decision_is_seven_days_before_at_nine_or_on_the_working_day_before(day: date, decided: datetime) -> None:
    assert decision_time(day, is_holiday) == decided


# --- decided --------------------------------------------------------------------------------------------------------------------------


async def test_M3_a_missed_quorum_is_said_once_and_not_before_its_hour(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    await book(booking, session_id)
    it_is(DECIDED_AT - SECOND)
    await timers_fire(booking)
    assert (await report(booking, session_id)).state is QuorumState.OPEN

    it_is(DECIDED_AT)
    await timers_fire(booking)

    assert (await report(booking, session_id)).state is QuorumState.MISSED
    (said,) = await missed(booking)
    assert (said["version"], said["session_id"], said["needed"], said["day"]) == (1, str(session_id), 2, "2027-03-18")


async def test_M3_a_quorum_that_is_met_says_nothing(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    await book(booking, session_id)
    await book(booking, session_id)
    it_is(DECIDED_AT)

    await timers_fire(booking)

    assert (await report(booking, session_id)).state is QuorumState.MET
    assert await missed(booking) == []


async def test_M3_a_seat_that_awaits_its_approval_counts_and_one_given_back_does_not(booking: Database) -> None:
    session_id = await given_a_quorum(booking, needs_approval=True)
    await cancel(booking, await book(booking, session_id, manager_id=uuid4()))
    it_is(DECIDED_AT - timedelta(days=1))
    for _ in range(2):
        await book(booking, session_id, manager_id=uuid4())
    assert (await report(booking, session_id)).taken == 2
    it_is(DECIDED_AT)

    await timers_fire(booking)

    assert (await report(booking, session_id)).state is QuorumState.MET


async def test_M3_seats_that_a_group_has_without_names_count(booking: Database) -> None:
    session_id = await given_a_quorum(booking, needed=4, capacity=6)
    got = await book_group(booking, session_id, 2)
    await book(booking, session_id)
    assert seats(got) == (2, 0, 0)
    assert (await report(booking, session_id)).taken == 3


async def test_M3_who_waits_and_what_is_kept_for_a_group_does_not_count(booking: Database) -> None:
    session_id = await given_a_quorum(booking, needed=10)
    places = [await book(booking, session_id) for _ in range(8)]
    waiting = await book_group(booking, session_id, 4)
    await cancel(booking, places[0])

    assert waiting.seats_awaited == 4
    assert (await report(booking, session_id)).taken == 7


async def test_M5_the_timer_fired_twice_decides_once(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    it_is(DECIDED_AT)

    await gather(*(fire_again(booking, session_id) for _ in range(4)))

    assert len(await missed(booking)) == 1


async def test_M3_a_private_session_and_one_without_quorum_are_not_decided_about(booking: Database) -> None:
    private, plain = await given_a_quorum(booking, private=True), await given_a_quorum(booking, needed=None)
    it_is(DECIDED_AT)
    assert await timers_fire(booking) == 0

    for session_id in (private, plain):
        with pytest.raises(QuorumUnknown):
            await report(booking, session_id)


async def test_M3_a_session_that_has_begun_before_the_timer_fires_takes_place(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    it_is(STARTS_AT)

    await timers_fire(booking)

    assert await missed(booking) == []
    assert (await report(booking, session_id)).state is QuorumState.OPEN


# --- moved ----------------------------------------------------------------------------------------------------------------------------


async def test_M3_a_session_that_moves_is_decided_about_on_its_new_day_only(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    await move(booking, session_id, STARTS_AT + WEEK)
    it_is(DECIDED_AT)
    await timers_fire(booking)
    assert await missed(booking) == []

    it_is(DECIDED_AT + WEEK)
    await timers_fire(booking)

    assert [said["day"] for said in await missed(booking)] == ["2027-03-25"]


async def test_M3_another_hour_of_the_same_day_changes_nothing(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    it_is(DECIDED_AT)
    await timers_fire(booking)

    await move(booking, session_id, STARTS_AT + timedelta(hours=2))
    await timers_fire(booking)

    assert (await report(booking, session_id)).state is QuorumState.MISSED
    assert len(await missed(booking)) == 1


async def test_M3_scheduled_or_moved_too_close_nothing_is_decided(booking: Database) -> None:
    it_is(DECIDED_AT)
    late = await given_session(booking, starts_at=STARTS_AT, quorum=2)
    session_id = await given_a_quorum(booking)
    it_is(DECIDED_AT - timedelta(days=1))

    await move(booking, session_id, STARTS_AT - timedelta(days=3))
    it_is(DECIDED_AT)

    assert await timers_fire(booking) == 1  # that of the old day, which does nothing
    assert await missed(booking) == []
    assert {(await report(booking, each)).state for each in (late, session_id)} == {QuorumState.NONE}


async def test_M3_a_missed_session_that_moved_meanwhile_is_decided_about_anew(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    it_is(DECIDED_AT)
    await timers_fire(booking)
    await move(booking, session_id, STARTS_AT + WEEK)
    assert (await report(booking, session_id)).state is QuorumState.OPEN
    it_is(DECIDED_AT + WEEK)

    await timers_fire(booking)

    assert [said["version"] for said in await missed(booking)] == [1, 1]
    assert len({said["quorum_decision_id"] for said in await missed(booking)}) == 2


# --- the lab --------------------------------------------------------------------------------------------------------------------------


async def test_M3_what_the_lab_keeps_takes_place_also_when_it_moves(booking: Database) -> None:
    session_id = await given_a_quorum(booking)

    kept = await keep(booking, session_id)
    await move(booking, session_id, STARTS_AT + WEEK)
    it_is(DECIDED_AT + WEEK)
    await timers_fire(booking)

    assert (kept.state, kept.reason, kept.kept_by) == (QuorumState.KEPT, "salle payée", LAB.actor)
    assert (await report(booking, session_id)).state is QuorumState.KEPT
    assert await missed(booking) == []


async def test_M3_the_lab_may_still_decide_while_the_timer_is_late(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    it_is(DECIDED_AT + timedelta(hours=1))
    await keep(booking, session_id)

    await timers_fire(booking)

    assert await missed(booking) == []


async def test_M3_keeping_is_the_labs_and_refused_where_there_is_nothing_to_decide(booking: Database) -> None:
    session_id = await given_a_quorum(booking)
    with pytest.raises(NotAllowed):
        await keep(booking, session_id, Caller(str(ALICE), frozenset({"agent"})))
    with pytest.raises(NotAllowed):
        await handlers.get_quorum(GetQuorum(session_id=session_id), Caller(str(ALICE), frozenset({"agent"})), booking)
    with pytest.raises(SessionNotReady):
        await keep(booking, uuid4())
    with pytest.raises(SessionNotReady):
        await report(booking, uuid4())
    with pytest.raises(QuorumUnknown):
        await keep(booking, await given_session(booking, starts_at=STARTS_AT))

    await keep(booking, session_id)
    with pytest.raises(QuorumAlreadyDecided) as again:
        await keep(booking, session_id)
    assert again.value.members["state"] == "kept"

    cancelled = await given_a_quorum(booking)
    await hear(booking, catalog_says(cancelled, version=2, status="cancelled", starts_at=STARTS_AT, quorum=2))
    with pytest.raises(SessionIsCancelled):
        await keep(booking, cancelled)
    begun = await given_a_quorum(booking)
    it_is(STARTS_AT)
    with pytest.raises(SessionStarted):
        await keep(booking, begun, OPERATOR)


# --- races ----------------------------------------------------------------------------------------------------------------------------


async def test_M3_the_lab_and_the_timer_decide_once_between_them(booking: Database) -> None:
    sessions = [await given_a_quorum(booking) for _ in range(8)]
    it_is(DECIDED_AT)

    answers = await gather(
        *(keep(booking, each) for each in sessions), *(fire_again(booking, each) for each in sessions), return_exceptions=True
    )

    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert all(isinstance(answer, QuorumAlreadyDecided) for answer in refused)
    assert [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, Refused)] == []
    states = [(await report(booking, each)).state for each in sessions]
    assert states.count(QuorumState.MISSED) == len(refused) == len(await missed(booking))
    assert states.count(QuorumState.KEPT) == len(sessions) - len(refused)


async def test_E2_a_booking_that_comes_while_it_is_decided_counts_if_it_was_first(booking: Database) -> None:
    session_id = await given_a_quorum(booking, needed=1)
    it_is(DECIDED_AT)

    async with booking.begin() as tx:
        locked = await store.lock_session(tx, session_id)
        assert locked is not None
        decision = gather(fire_again(booking, session_id))
        await one_waits(booking)
        fact = locked.book(uuid4(), ALICE, nothing_else(), DECIDED_AT)
        await store.record(tx, {session_id: locked}, [fact])
    await decision

    assert (await report(booking, session_id)).state is QuorumState.MET


async def test_E2_bookings_beside_the_decision_are_counted_or_told_of_the_cancellation(booking: Database) -> None:
    sessions = [await given_a_quorum(booking, needed=1) for _ in range(8)]
    it_is(DECIDED_AT)

    *booked, _ = await gather(
        *(book(booking, each) for each in sessions), gather(*(fire_again(booking, each) for each in sessions))
    )  # fmt: skip

    for session_id, place in zip(sessions, booked, strict=True):
        assert isinstance(place, Booking)
        if (await report(booking, session_id)).state is QuorumState.MISSED:
            await hear(booking, catalog_says(session_id, version=2, status="cancelled", starts_at=STARTS_AT, quorum=1))
            assert (await now_of(booking, place)).state is BookingState.CANCELLED_BY_LAB
        else:
            assert (await now_of(booking, place)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_M5_the_labs_cancellation_beside_the_timer_ends_each_place_once(booking: Database) -> None:
    sessions = [await given_a_quorum(booking) for _ in range(6)]
    booked = [await book(booking, each) for each in sessions]
    it_is(DECIDED_AT)
    gone = [catalog_says(each, version=2, status="cancelled", starts_at=STARTS_AT, quorum=2) for each in sessions]

    await gather(*(hear(booking, each) for each in gone), *(fire_again(booking, each) for each in sessions))
    await gather(*(hear(booking, each) for each in gone), *(fire_again(booking, each) for each in sessions))

    assert [(await now_of(booking, place)).version for place in booked] == [2] * len(booked)
    assert len(await missed(booking)) <= len(sessions)
    await nothing_is_wrong(booking)


# --- announced ------------------------------------------------------------------------------------------------------------------------


async def test_M3_what_becomes_of_the_quorum_is_announced_with_the_counters(booking: Database) -> None:
    session_id, plain = await given_a_quorum(booking), await given_session(booking)

    async def announced(of: UUID) -> Any:
        async with booking.begin() as tx:
            await tx.execute(text("update announcement set announced_at = announced_at - interval '2 seconds'"))
            (said,) = [each for each in await availability.announce(tx, 100) if each.session_id == of]
            return said.quorum

    first = await announced(session_id)
    assert (first.needed, first.decides_at, first.state) == (2, DECIDED_AT, QuorumState.OPEN)
    await book(booking, plain)
    assert await announced(plain) is None

    await keep(booking, session_id)

    assert (await announced(session_id)).state is QuorumState.KEPT

"""Moves and late cancellations: who is asked again, until when, what silence means, whom the lab phones (M1, M4, M5, N4, W7, E2, E4)."""

from __future__ import annotations

from asyncio import gather
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.booking.moves import handlers
from services.booking.moves.domain import (
    Dates,
    Move,
    ReconfirmationAnswered,
    ReconfirmationExpired,
    ReconfirmationUnknown,
    move,
)
from services.booking.seats.refusals import BookingUnknown
from shared.contracts.booking import Booking, BookingState
from shared.contracts.catalog import ActivityType
from shared.contracts.moves import ListPeopleToPhone
from shared.database import Database
from shared.errors import NotAllowed, Refused
from tests.booking.given import (
    ALICE,
    BOB,
    OPERATOR,
    STARTS_AT,
    agent,
    book,
    cancel,
    catalog_says,
    confirm,
    counters,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    paris,
    timers_fire,
    told,
)

MONDAY = paris(2027, 3, 1, 9)
THURSDAY_9 = paris(2027, 3, 4, 9)
"""Three working days after Monday, 1 March, 9:00."""
HOUR, DAY, HALF_AN_HOUR = timedelta(hours=1), timedelta(days=1), timedelta(minutes=30)


def dates(start: datetime = STARTS_AT, hours: int = 3, city: str | None = "Toulouse", *more: datetime) -> Dates:
    return Dates(city, tuple((each, each + timedelta(hours=hours)) for each in (start, *more)))


@pytest.mark.parametrize(
    ("now", "how"),
    [
        (dates(), Move.NONE),
        (dates(STARTS_AT + HALF_AN_HOUR), Move.SMALL),
        (dates(STARTS_AT - HALF_AN_HOUR), Move.SMALL),
        (dates(STARTS_AT + HALF_AN_HOUR + timedelta(minutes=1)), Move.SAME_DAY),
        (dates(hours=4), Move.SAME_DAY),
        (dates(city="Montpellier"), Move.SAME_DAY),
        (dates(city=None), Move.SAME_DAY),
        (dates(STARTS_AT + DAY), Move.OTHER_DAY),
        (dates(STARTS_AT, 3, "Toulouse", STARTS_AT + DAY), Move.OTHER_DAY),
    ],
)
def test_M1_half_an_hour_the_same_day_in_the_same_city_is_nothing_to_ask_about(now: Dates, how: Move) -> None:
    assert move(dates(), now) is how


def test_M1_a_day_is_a_day_in_paris() -> None:
    late = paris(2027, 3, 18, 23, 45)
    assert move(dates(late), dates(late + HALF_AN_HOUR)) is Move.OTHER_DAY


# --- on real rows ---------------------------------------------------------------------------------------------------------------------


async def given_seats(database: Database, *, seats: int = 2, waiting: int = 0) -> tuple[UUID, list[Booking]]:
    """A training of Thursday 18 March 2027, 14:00, on Monday 1 March."""
    it_is(MONDAY)
    session_id = await given_session(database, capacity=seats, starts_at=STARTS_AT, kind=ActivityType.TRAINING)
    return session_id, [await book(database, session_id) for _ in range(seats + waiting)]


async def is_moved(database: Database, session_id: UUID, by: timedelta, *, version: int = 2, capacity: int = 2, **others: Any) -> None:
    kind = ActivityType.TRAINING
    said = catalog_says(session_id, version=version, capacity=capacity, starts_at=STARTS_AT + by, activity_type=kind, **others)
    await hear(database, said)


def question(booking: Booking) -> tuple[str, str, bool] | None:
    return booking.pending and (booking.pending.kind.value, booking.pending.state.value, booking.pending.silence_keeps)


async def test_M1_a_small_move_keeps_bookings_and_several_small_ones_add_up(booking: Database) -> None:
    session_id, (seat, _) = await given_seats(booking)

    await is_moved(booking, session_id, HALF_AN_HOUR)
    assert await told(booking, seat) == ["booking_confirmed"]

    await is_moved(booking, session_id, HOUR, version=3)
    assert await told(booking, seat) == ["booking_confirmed", "booking_reconfirmation_requested"]
    await nothing_is_wrong(booking)


async def test_M1_who_has_a_seat_is_asked_for_three_working_days_and_says_yes(booking: Database) -> None:
    session_id, (seat, other) = await given_seats(booking)

    await is_moved(booking, session_id, DAY)

    asked = await now_of(booking, seat)
    assert (asked.state, question(asked)) == (BookingState.CONFIRMED, ("to_reconfirm", "open", False))
    assert asked.pending is not None
    assert asked.pending.deadline == THURSDAY_9
    assert await counters(booking, session_id) == (2, 2, 0), "the seat is held (B1)"
    await nothing_is_wrong(booking)

    stays = await confirm(booking, seat)

    assert question(stays) == ("to_reconfirm", "granted", False)
    assert stays == await now_of(booking, seat)
    with pytest.raises(ReconfirmationAnswered):
        await confirm(booking, seat)
    it_is(THURSDAY_9)
    assert await timers_fire(booking) == 2
    assert (await now_of(booking, seat)).state is BookingState.CONFIRMED
    assert (await now_of(booking, other)).state is BookingState.CANCELLED_BY_LAB
    await nothing_is_wrong(booking)


@pytest.mark.parametrize(
    ("by", "state", "fact"),
    [(2 * HOUR, ("to_reconfirm", "kept", True), "booking_reconfirmed"), (DAY, ("to_reconfirm", "expired", False), "booking_released")],
)
async def test_M1_silence_keeps_the_seat_on_the_same_day_and_releases_it_on_another(
    booking: Database, by: timedelta, state: tuple[str, str, bool], fact: str
) -> None:
    session_id, (seat, *_, head) = await given_seats(booking, waiting=1)
    await is_moved(booking, session_id, by)

    it_is(THURSDAY_9)
    assert await timers_fire(booking) == 2

    after = await now_of(booking, seat)
    assert question(after) == state
    assert await told(booking, seat) == ["booking_confirmed", "booking_reconfirmation_requested", fact]
    released = fact == "booking_released"
    assert ((await now_of(booking, head)).offer is not None) == released, "a released seat serves the queue at once"
    if released:
        assert after.reason == "la séance a été déplacée, et vous n'avez pas répondu avant le 4 mars 2027 à 9 h"
        with pytest.raises(ReconfirmationExpired):
            await confirm(booking, seat)
    await nothing_is_wrong(booking)


async def test_M1_a_second_move_within_the_day_does_not_soften_a_question_about_another_day(booking: Database) -> None:
    session_id, (seat, settled) = await given_seats(booking)
    await is_moved(booking, session_id, DAY)
    await confirm(booking, settled)

    await is_moved(booking, session_id, DAY + 2 * HOUR, version=3)

    assert question(await now_of(booking, seat)) == ("to_reconfirm", "open", False), "this agent never said that they come that day"
    assert question(await now_of(booking, settled)) == ("to_reconfirm", "open", True)
    it_is(THURSDAY_9)
    await timers_fire(booking)
    assert (await now_of(booking, seat)).state is BookingState.CANCELLED_BY_LAB
    assert (await now_of(booking, settled)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_M1_the_answer_is_due_24_hours_before_and_with_less_left_the_seat_is_kept(booking: Database) -> None:
    session_id, (seat, _) = await given_seats(booking)
    await is_moved(booking, session_id, timedelta(days=-15))  # to Wednesday, the day after tomorrow
    first = await now_of(booking, seat)
    assert first.pending is not None
    assert first.pending.deadline == STARTS_AT - timedelta(days=16)

    it_is(STARTS_AT - timedelta(days=16) + HOUR)
    await timers_fire(booking)
    session_id, (seat, _) = await given_seats(booking)
    it_is(STARTS_AT - 20 * HOUR)
    await is_moved(booking, session_id, 2 * HOUR)

    urgent = await now_of(booking, seat)
    assert question(urgent) == ("to_reconfirm", "open", True)
    assert urgent.pending is not None
    assert urgent.pending.deadline == STARTS_AT + 2 * HOUR
    it_is(STARTS_AT + 2 * HOUR)
    await timers_fire(booking)
    assert question(await now_of(booking, seat)) == ("to_reconfirm", "kept", True)
    await nothing_is_wrong(booking)


async def test_N4_who_does_not_come_to_a_moved_session_is_never_late(booking: Database) -> None:
    session_id, (seat, other) = await given_seats(booking)
    it_is(STARTS_AT - 30 * HOUR)  # after the cut-off
    await is_moved(booking, session_id, 2 * HOUR)

    assert (await cancel(booking, seat)).state is BookingState.CANCELLED_BY_AGENT
    await confirm(booking, other)
    assert (await cancel(booking, other)).state is BookingState.LATE_CANCELLED, "who said yes is bound again (N1)"
    await nothing_is_wrong(booking)


async def test_W7_whoever_waits_keeps_their_rank_and_is_asked_nothing(booking: Database) -> None:
    session_id, (*_, first, second) = await given_seats(booking, waiting=2)

    await is_moved(booking, session_id, DAY)

    assert [(await now_of(booking, each)).rank for each in (first, second)] == [1, 2]
    assert await told(booking, first) == ["waitlist_joined"]


async def test_M5_a_move_heard_twice_asks_once_and_a_second_move_asks_anew(booking: Database) -> None:
    session_id, (seat, _) = await given_seats(booking)
    for _ in range(3):
        await is_moved(booking, session_id, DAY)
    asked = ["booking_confirmed", "booking_reconfirmation_requested"]
    assert await told(booking, seat) == asked

    await is_moved(booking, session_id, DAY, version=3, capacity=5)  # seats only
    assert await told(booking, seat) == asked
    await is_moved(booking, session_id, 2 * DAY, version=4, capacity=5)
    assert await told(booking, seat) == [*asked, asked[-1]]
    it_is(THURSDAY_9)
    await timers_fire(booking)
    await nothing_is_wrong(booking)


async def test_E4_a_move_heard_before_the_one_before_it_is_measured_from_what_people_know(booking: Database) -> None:
    session_id, (seat, _) = await given_seats(booking)

    await is_moved(booking, session_id, DAY + HALF_AN_HOUR, version=3)
    await is_moved(booking, session_id, DAY, version=2)

    after = await now_of(booking, seat)
    assert (after.version, question(after)) == (2, ("to_reconfirm", "open", False))
    await nothing_is_wrong(booking)


async def test_E2_cancelling_a_moved_session_ends_the_questions_and_is_heard_twice_once(booking: Database) -> None:
    session_id, (seat, _) = await given_seats(booking)
    await is_moved(booking, session_id, DAY)
    for _ in range(2):
        await is_moved(booking, session_id, DAY, version=3, status="cancelled")

    after = await now_of(booking, seat)
    assert (after.state, question(after)) == (BookingState.CANCELLED_BY_LAB, ("to_reconfirm", "closed", False))
    assert await told(booking, seat) == ["booking_confirmed", "booking_reconfirmation_requested", "booking_cancelled"]
    with pytest.raises(Refused):
        await confirm(booking, seat)
    await nothing_is_wrong(booking)


@pytest.mark.parametrize("_", range(3))
async def test_M1_an_answer_and_the_deadline_racing_have_one_outcome(booking: Database, _: int) -> None:
    session_id, (seat, *_others) = await given_seats(booking, waiting=1)
    await is_moved(booking, session_id, DAY)
    it_is(THURSDAY_9 - timedelta(microseconds=1))

    async def fire_a_moment_later() -> None:
        it_is(THURSDAY_9)
        await timers_fire(booking)

    await gather(*(confirm(booking, seat) for _ in range(3)), fire_a_moment_later(), return_exceptions=True)

    after = await now_of(booking, seat)
    assert after.version == 3, "one decision was taken"
    assert len(await told(booking, seat)) == 3
    await nothing_is_wrong(booking)


async def test_only_the_agent_or_the_lab_answers_and_only_what_was_asked(booking: Database) -> None:
    session_id, (seat, other) = await given_seats(booking)
    with pytest.raises(ReconfirmationUnknown):
        await confirm(booking, seat)
    await is_moved(booking, session_id, DAY)

    for stranger in (agent(ALICE), agent(other.agent_id)):
        with pytest.raises(BookingUnknown):
            await confirm(booking, seat, stranger)
    assert question(await confirm(booking, seat, OPERATOR)) == ("to_reconfirm", "granted", False)


# --- the phone list -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("hours", "listed"), [(47, True), (49, False)])
async def test_M4_under_48_hours_the_lab_has_a_list_of_whom_to_phone(booking: Database, hours: int, listed: bool) -> None:
    session_id, (seat, gone, head) = await given_seats(booking, waiting=1)
    await cancel(booking, gone)
    it_is(STARTS_AT - hours * HOUR)
    await timers_fire(booking)  # the offer to whoever waited has lapsed
    request = ListPeopleToPhone(session_id=session_id)
    assert (await handlers.list_people_to_phone(request, OPERATOR, booking)).people == ()

    await is_moved(booking, session_id, timedelta(0), status="cancelled")

    found = await handlers.list_people_to_phone(request, OPERATOR, booking)
    assert (found.short_notice, [(each.agent_id, each.had_seat) for each in found.people]) == (
        listed,
        [(seat.agent_id, True)] if listed else [],
    )
    assert head.booking_id not in {each.booking_id for each in found.people}
    with pytest.raises(NotAllowed):
        await handlers.list_people_to_phone(request, agent(BOB), booking)

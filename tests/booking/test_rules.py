"""The rules of seats and of the queue, without a database."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from services.booking.places.domain import changed, must_be_at, opened
from services.booking.seats.refusals import (
    AlreadyBooked,
    BookingClosed,
    BookingNotActive,
    BookingNotOpenYet,
    SessionIsCancelled,
    SessionNotReady,
    SessionStarted,
)
from shared.clock import PARIS
from shared.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingState,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import ActivityType
from shared.errors import VersionConflict
from tests.booking.given import (
    A_MONTH_BEFORE,
    ALICE,
    STARTS_AT,
    THE_DAY_BEFORE,
    a_place,
    a_session,
    already_there,
    catalog_says,
    is_holiday,
    milestones_of,
    nothing_else,
)

A_BOOKING = uuid4()
TALK = ActivityType.INNOVATION_THURSDAY


def paris(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=PARIS)


# --- booking ----------------------------------------------------------------------------------------------------------


def test_B1_a_free_seat_and_no_queue_is_a_booking() -> None:
    session = a_session(capacity=10, held=9)

    fact = session.book(A_BOOKING, ALICE, nothing_else(), now=THE_DAY_BEFORE)

    assert isinstance(fact, BookingConfirmed)
    assert (session.held, session.waiting) == (10, 0)


def test_B1_no_free_seat_is_a_place_in_the_queue() -> None:
    session = a_session(capacity=10, held=10, waiting=3)

    fact = session.book(A_BOOKING, ALICE, nothing_else(), now=THE_DAY_BEFORE)

    assert isinstance(fact, WaitlistJoined)
    assert (session.held, session.waiting, fact.rank) == (10, 4, 4)
    assert (opened(fact, session, nothing_else()).rank, opened(fact, session, nothing_else()).waiting) == (4, 4)


def test_B2_a_newcomer_joins_the_queue_even_when_a_seat_is_free() -> None:
    freed = a_session(capacity=10, held=9, waiting=1)

    fact = freed.book(A_BOOKING, ALICE, nothing_else(), now=THE_DAY_BEFORE)

    assert isinstance(fact, WaitlistJoined)
    assert (freed.held, freed.waiting) == (9, 2)


def test_B3_an_agent_has_one_place_and_is_told_which() -> None:
    session = a_session(capacity=10, held=3)

    with pytest.raises(AlreadyBooked) as refusal:
        session.book(uuid4(), ALICE, already_there(session, A_BOOKING), now=THE_DAY_BEFORE)

    assert refusal.value.problem.model_extra == {"booking_id": str(A_BOOKING)}
    assert session.held == 3
    assert session.sequence == 100, "a refusal is no decision"


def test_B4_who_comes_back_after_cancelling_is_a_new_record_at_the_end() -> None:
    session = a_session(capacity=1, held=1, waiting=2)
    given_back = session.cancel(a_place(session, BookingState.WAITING, sequence=5), now=A_MONTH_BEFORE)

    again = session.book(uuid4(), ALICE, nothing_else(), now=A_MONTH_BEFORE)

    assert isinstance(again, WaitlistJoined)
    assert again.booking_id != given_back.booking_id
    assert (again.version, again.rank) == (1, 2)
    assert again.session_sequence > given_back.session_sequence


def test_W1_every_decision_takes_the_next_number_of_its_session() -> None:
    session = a_session(capacity=1, sequence=41)

    facts = [session.book(uuid4(), uuid4(), nothing_else(), now=THE_DAY_BEFORE) for _ in range(3)]

    assert [fact.session_sequence for fact in facts] == [42, 43, 44]


def test_a_session_that_began_takes_nobody_from_its_first_instant_on() -> None:
    session = a_session()

    with pytest.raises(BookingClosed):
        session.book(uuid4(), uuid4(), nothing_else(), now=STARTS_AT - timedelta(microseconds=1))
    with pytest.raises(SessionStarted):
        session.book(uuid4(), uuid4(), nothing_else(), now=STARTS_AT)


def test_B6_bookings_open_six_weeks_before_and_close_at_an_instant_that_the_refusal_names() -> None:
    session = a_session()
    opens_at, closes_at = STARTS_AT - timedelta(weeks=6), STARTS_AT - timedelta(hours=2)

    for now in (opens_at, closes_at - timedelta(microseconds=1)):
        session.book(uuid4(), uuid4(), nothing_else(), now=now)
    with pytest.raises(BookingNotOpenYet) as early:
        session.book(uuid4(), uuid4(), nothing_else(), now=opens_at - timedelta(microseconds=1))
    with pytest.raises(BookingClosed) as late:
        session.book(uuid4(), uuid4(), nothing_else(), now=closes_at)

    assert (early.value.status, early.value.members) == (409, {"opens_at": opens_at.isoformat()})
    assert (late.value.status, late.value.members) == (409, {"closes_at": closes_at.isoformat()})
    assert session.held == 2


def test_B3_B6_who_has_a_place_is_told_which_after_the_closing_too() -> None:
    session = a_session()
    with pytest.raises(AlreadyBooked):
        session.book(uuid4(), ALICE, already_there(session, A_BOOKING), now=STARTS_AT - timedelta(hours=1))


def test_a_cancelled_session_takes_nobody() -> None:
    with pytest.raises(SessionIsCancelled):
        a_session(status="cancelled").book(A_BOOKING, ALICE, nothing_else(), now=THE_DAY_BEFORE)


def test_E1_a_session_that_has_not_arrived_is_worth_another_try_and_never_a_404() -> None:
    problem = SessionNotReady().problem

    assert (problem.status, problem.code, problem.retryable) == (409, "session_not_ready", True)


# --- leaving ----------------------------------------------------------------------------------------------------------


def test_a_seat_given_back_can_be_served_to_the_queue() -> None:
    session = a_session(capacity=10, held=10, waiting=2)

    fact = session.cancel(a_place(session, BookingState.CONFIRMED, version=3), now=A_MONTH_BEFORE)

    assert isinstance(fact, BookingCancelled)
    assert (fact.state, fact.version) == (BookingState.CANCELLED_BY_AGENT, 4)
    assert (session.held, session.waiting, session.servable(A_MONTH_BEFORE)) == (9, 2, 1)


def test_a_waiting_agent_who_leaves_frees_no_seat_and_promotes_nobody() -> None:
    session = a_session(capacity=10, held=10, waiting=3)

    fact = session.cancel(a_place(session, BookingState.WAITING), now=A_MONTH_BEFORE)

    assert isinstance(fact, WaitlistLeft)
    assert fact.state is BookingState.LEFT
    assert (session.held, session.waiting, session.servable(A_MONTH_BEFORE)) == (10, 2, 0)


@pytest.mark.parametrize("over", [state for state in BookingState if state not in (BookingState.CONFIRMED, BookingState.WAITING)])
def test_a_place_that_is_over_cannot_be_cancelled_again(over: BookingState) -> None:
    session = a_session(held=5)

    with pytest.raises(BookingNotActive):
        session.cancel(a_place(session, over), now=A_MONTH_BEFORE)

    assert session.held == 5


def test_nobody_leaves_a_session_that_began() -> None:
    session = a_session(held=5)

    with pytest.raises(SessionStarted):
        session.cancel(a_place(session, BookingState.CONFIRMED), now=STARTS_AT)


def test_who_saw_an_older_version_of_a_place_is_told_so() -> None:
    place = a_place(a_session(), BookingState.CONFIRMED, version=2)

    must_be_at(place, None)
    must_be_at(place, 2)
    with pytest.raises(VersionConflict):
        must_be_at(place, 1)


def test_N1_up_to_the_cut_off_leaves_no_trace_and_after_it_the_seat_is_still_freed() -> None:
    session = a_session(capacity=10, held=10, waiting=1, cutoff=THE_DAY_BEFORE)

    in_time = session.cancel(a_place(session, BookingState.CONFIRMED), now=THE_DAY_BEFORE)
    late = session.cancel(a_place(session, BookingState.CONFIRMED), now=THE_DAY_BEFORE + timedelta(microseconds=1))

    assert in_time.state is BookingState.CANCELLED_BY_AGENT
    assert late.state is BookingState.LATE_CANCELLED
    assert session.servable(THE_DAY_BEFORE) == 2


def test_N1_leaving_the_queue_is_never_late() -> None:
    session = a_session(capacity=10, held=10, waiting=1, cutoff=A_MONTH_BEFORE)

    fact = session.cancel(a_place(session, BookingState.WAITING), now=THE_DAY_BEFORE)

    assert fact.state is BookingState.LEFT


# --- the queue --------------------------------------------------------------------------------------------------------


def test_W4_the_queue_is_not_served_once_the_session_began_or_was_cancelled() -> None:
    assert a_session(held=8, waiting=5).servable(STARTS_AT - timedelta(hours=2, microseconds=1)) == 2
    assert a_session(held=8, waiting=5).servable(STARTS_AT - timedelta(hours=2)) == 0
    assert a_session(held=8, waiting=5).servable(STARTS_AT) == 0
    assert a_session(held=8, waiting=5, status="cancelled").servable(A_MONTH_BEFORE) == 0


def test_W5_a_promotion_says_why_in_french_and_keeps_its_place() -> None:
    session = a_session(capacity=10, held=9, waiting=4)
    head = a_place(session, BookingState.WAITING, version=1)

    fact = session.serve(head, 1, "place libérée", paris(2027, 3, 12, 18, 30), is_holiday, nothing_else())

    assert isinstance(fact, WaitlistPromoted)
    assert fact.reason == "rang 1, place libérée le 12 mars 2027 à 18 h 30"
    assert (fact.booking_id, fact.version, fact.state) == (head.booking_id, 2, BookingState.CONFIRMED)
    assert (session.held, session.waiting) == (10, 3)


# --- what catalog says ------------------------------------------------------------------------------------------------


def test_B8_a_capacity_lowered_under_the_seats_given_removes_nobody_and_stops_promotions() -> None:
    session = a_session(capacity=10, held=10, waiting=3)

    session.follow(catalog_says(session.session_id, version=2, capacity=8, starts_at=STARTS_AT).session, milestones_of(TALK, STARTS_AT))

    assert (session.held, session.over_capacity, session.servable(A_MONTH_BEFORE)) == (10, 2, 0)
    for _ in range(2):
        session.cancel(a_place(session, BookingState.CONFIRMED), now=A_MONTH_BEFORE)
    assert (session.over_capacity, session.servable(A_MONTH_BEFORE)) == (0, 0)
    session.cancel(a_place(session, BookingState.CONFIRMED), now=A_MONTH_BEFORE)
    assert session.servable(A_MONTH_BEFORE) == 1


def test_B8_a_capacity_raised_serves_the_queue() -> None:
    session = a_session(capacity=10, held=10, waiting=3)

    session.follow(catalog_says(session.session_id, version=2, capacity=12, starts_at=STARTS_AT).session, milestones_of(TALK, STARTS_AT))

    assert session.servable(A_MONTH_BEFORE) == 2


def test_E4_an_older_version_of_a_session_is_ignored() -> None:
    session = a_session(capacity=10)
    moved = STARTS_AT + timedelta(days=7)

    assert session.follow(catalog_says(session.session_id, version=3, capacity=12, starts_at=moved).session, milestones_of(TALK, moved))
    assert not session.follow(
        catalog_says(session.session_id, version=2, capacity=4, starts_at=STARTS_AT).session, milestones_of(TALK, STARTS_AT)
    )
    assert not session.follow(
        catalog_says(session.session_id, version=3, capacity=4, starts_at=STARTS_AT).session, milestones_of(TALK, STARTS_AT)
    )

    assert (session.catalog_version, session.capacity, session.starts_at) == (3, 12, moved)


def test_E2_W7_a_cancelled_session_cancels_the_seats_and_closes_the_queue() -> None:
    session = a_session(capacity=1, held=1, waiting=1)
    session.follow(
        catalog_says(session.session_id, version=2, status="cancelled", starts_at=STARTS_AT).session, milestones_of(TALK, STARTS_AT)
    )
    seat, entry = a_place(session, BookingState.CONFIRMED), a_place(session, BookingState.WAITING)

    facts = [session.close(place, "séance annulée", now=STARTS_AT + timedelta(days=1)) for place in (seat, entry)]

    assert [fact.state for fact in facts] == [BookingState.CANCELLED_BY_LAB, BookingState.CLOSED]
    assert (session.held, session.waiting) == (0, 0)
    assert changed(seat, facts[0]).reason == "séance annulée"
    with pytest.raises(BookingNotActive):  # M5
        session.close(changed(seat, facts[0]), "séance annulée", now=STARTS_AT)

"""What fits into an agent's agenda (B5, B10), without a database."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from services.booking.agenda.domain import Agenda, FairUseLimit, Occasion, Overlap, Place
from services.booking.places.domain import opened
from shared.contracts.booking import BookingConfirmed, BookingState, SeatOfferMade, WaitlistJoined, WaitlistPromoted
from shared.contracts.catalog import ActivityType
from tests.booking.given import (
    A_MONTH_BEFORE,
    ALICE,
    LIMITS,
    STARTS_AT,
    THE_DAY_BEFORE,
    a_place,
    a_session,
    is_holiday,
    nothing_else,
)

TALK, TRAINING, LABTOUR = ActivityType.INNOVATION_THURSDAY, ActivityType.TRAINING, ActivityType.LABTOUR
HOUR = timedelta(hours=1)
CONFIRMED = BookingState.CONFIRMED


def occasion(
    *starts: datetime, kind: ActivityType = TALK, in_person: bool = True, city: str | None = "Toulouse", session_id: UUID | None = None
) -> Occasion:
    """One hour for each start."""
    return Occasion(session_id or uuid4(), kind, tuple((start, start + HOUR) for start in starts), in_person, city)


def has(*occasions: Occasion, state: BookingState = CONFIRMED) -> Agenda:
    return Agenda(LIMITS, [Place(uuid4(), state, each) for each in occasions])


@pytest.mark.parametrize(("minutes", "free"), [(0, False), (60, False), (89, False), (90, True), (-89, False), (-90, True)])
def test_B5_between_two_sessions_in_person_lies_half_an_hour(minutes: int, free: bool) -> None:
    agenda = has(occasion(STARTS_AT))

    assert bool(agenda.clashing(occasion(STARTS_AT + timedelta(minutes=minutes)))) is not free


@pytest.mark.parametrize(
    ("kind", "city", "minutes"),
    [(LABTOUR, "Montpellier", 60), (LABTOUR, "Toulouse", 30), (TRAINING, "Montpellier", 30)],
)
def test_B5_to_a_labtour_in_another_city_lies_the_journey(kind: ActivityType, city: str, minutes: int) -> None:
    after, agenda = STARTS_AT + HOUR + timedelta(minutes=minutes), has(occasion(STARTS_AT))

    assert agenda.clashing(occasion(after - timedelta(minutes=1), kind=kind, city=city))
    assert not agenda.clashing(occasion(after, kind=kind, city=city))
    there = has(occasion(after - timedelta(minutes=1), kind=kind, city=city))
    assert there.clashing(occasion(STARTS_AT)), "whichever was booked first"


def test_B5_each_period_counts_and_the_days_between_are_free() -> None:
    two_days = occasion(STARTS_AT, STARTS_AT + timedelta(days=28), kind=TRAINING)
    agenda = has(two_days)

    assert not agenda.clashing(occasion(STARTS_AT + timedelta(days=14)))
    with pytest.raises(Overlap) as refusal:
        agenda.must_be_free_for(occasion(STARTS_AT + timedelta(days=28)))
    assert refusal.value.status == 409
    assert refusal.value.members["clashes"] == [
        {
            "booking_id": str(agenda.places[0].booking_id),
            "session_id": str(two_days.session_id),
            "starts_at": "2027-03-18T13:00:00Z",
            "ends_at": "2027-04-15T14:00:00Z",
        }
    ]


@pytest.mark.parametrize(("mine", "new"), [(False, False), (True, False), (False, True)])
def test_B5_remote_sessions_may_be_held_together_with_a_warning(mine: bool, new: bool) -> None:
    agenda, session = has(occasion(STARTS_AT, in_person=mine)), a_session()
    session.occasion = occasion(STARTS_AT, in_person=new)

    fact = session.book(uuid4(), ALICE, agenda, THE_DAY_BEFORE)

    assert isinstance(fact, BookingConfirmed)
    assert opened(fact, session, agenda).overlaps == (agenda.places[0].clash,)
    session.occasion = occasion(STARTS_AT + HOUR, in_person=new)
    assert agenda.at_the_same_hours(session.occasion) == (), "one after the other is no overlap"


def test_B5_a_seat_in_two_rooms_is_refused_and_nothing_is_decided() -> None:
    session, agenda = a_session(), has(occasion(STARTS_AT))

    with pytest.raises(Overlap):
        session.book(uuid4(), ALICE, agenda, THE_DAY_BEFORE)

    assert (session.held, session.sequence) == (0, 100)


def test_B5_a_rank_in_a_queue_may_overlap_and_so_may_a_seat_with_a_rank() -> None:
    full = a_session(capacity=1, held=1)
    assert isinstance(full.book(uuid4(), ALICE, has(occasion(STARTS_AT)), THE_DAY_BEFORE), WaitlistJoined)

    waits_elsewhere = has(occasion(STARTS_AT), state=BookingState.WAITING)
    assert isinstance(a_session().book(uuid4(), ALICE, waits_elsewhere, THE_DAY_BEFORE), BookingConfirmed)


def test_B5_a_promotion_that_would_overlap_asks_whether_to_exchange_or_to_keep() -> None:
    session, agenda = a_session(capacity=1, waiting=1), has(occasion(STARTS_AT))
    head = a_place(session, BookingState.WAITING)

    fact = session.serve(head, 1, "place libérée", A_MONTH_BEFORE, is_holiday, agenda)

    assert isinstance(fact, SeatOfferMade)
    assert fact.overlaps == (agenda.places[0].clash,)
    assert (session.held, session.waiting) == (1, 0)


def test_B5_who_books_at_this_very_moment_is_asked_and_not_promoted() -> None:
    session = a_session(capacity=2, waiting=2)

    asked = session.serve(a_place(session, BookingState.WAITING), 1, "place libérée", A_MONTH_BEFORE, is_holiday, None)
    given = session.serve(a_place(session, BookingState.WAITING), 2, "place libérée", A_MONTH_BEFORE, is_holiday, nothing_else())

    assert (type(asked), type(given)) == (SeatOfferMade, WaitlistPromoted)


def test_B5_an_offer_is_taken_when_the_other_seat_is_given_back() -> None:
    session, agenda = a_session(held=1), has(occasion(STARTS_AT))
    offered = a_place(session, BookingState.WAITING, offered_until=STARTS_AT)

    with pytest.raises(Overlap):
        session.accept(offered, agenda, THE_DAY_BEFORE)
    assert session.accept(offered, agenda.without(agenda.places[0].booking_id), THE_DAY_BEFORE).state is CONFIRMED


# --- fair use -----------------------------------------------------------------------------------------------------------------------------


def weekly(number: int, kind: ActivityType) -> list[Occasion]:
    return [occasion(STARTS_AT - timedelta(weeks=week), kind=kind) for week in range(1, number + 1)]


def test_B10_a_fourth_training_or_visit_is_refused_with_the_list() -> None:
    agenda, session = has(*weekly(2, TRAINING), *weekly(1, LABTOUR)), a_session(kind=TRAINING)

    with pytest.raises(FairUseLimit) as refusal:
        session.book(uuid4(), ALICE, agenda, A_MONTH_BEFORE)

    assert (refusal.value.status, refusal.value.members["limit"]) == (409, 3)
    assert {each["booking_id"] for each in refusal.value.members["bookings"]} == {str(place.booking_id) for place in agenda.places}
    assert session.sequence == 100


def test_B10_so_is_a_rank_that_would_keep_others_waiting() -> None:
    with pytest.raises(FairUseLimit):
        a_session(kind=TRAINING, capacity=1, held=1).book(uuid4(), ALICE, has(*weekly(3, TRAINING)), A_MONTH_BEFORE)


def test_B10_talks_are_unlimited_and_count_for_nothing() -> None:
    assert a_session(kind=TALK).book(uuid4(), ALICE, has(*weekly(4, TRAINING)), A_MONTH_BEFORE)
    assert a_session(kind=LABTOUR).book(uuid4(), ALICE, has(*weekly(9, TALK), *weekly(2, LABTOUR)), A_MONTH_BEFORE)


def test_B10_ranks_do_not_count() -> None:
    waits = has(*weekly(5, TRAINING), state=BookingState.WAITING)

    assert a_session(kind=TRAINING).book(uuid4(), ALICE, waits, A_MONTH_BEFORE)


def test_B10_an_offer_beyond_the_limit_is_taken_when_another_seat_is_given_back() -> None:
    session, agenda = a_session(kind=TRAINING, held=1), has(*weekly(3, TRAINING))
    offered = a_place(session, BookingState.WAITING, offered_until=STARTS_AT)

    with pytest.raises(FairUseLimit):
        session.accept(offered, agenda, A_MONTH_BEFORE)
    assert session.accept(offered, agenda.without(agenda.places[1].booking_id), A_MONTH_BEFORE).state is CONFIRMED


def test_B10_the_lab_may_lift_the_limit_for_one_session() -> None:
    session, agenda = a_session(kind=TRAINING), has(*weekly(3, TRAINING))
    agenda.lifted = frozenset({session.session_id})

    assert session.book(uuid4(), ALICE, agenda, A_MONTH_BEFORE)
    with pytest.raises(FairUseLimit):
        a_session(kind=TRAINING).book(uuid4(), ALICE, agenda, A_MONTH_BEFORE)

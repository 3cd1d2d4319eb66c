"""Seats that are offered, and who comes first: the rules, without a database (W1-W5, W7)."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import pytest

from services.booking.places.domain import changed
from services.booking.seats.domain import OfferAnswered, OfferExpired, OfferUnknown, Session
from services.booking.seats.refusals import BookingNotActive, SessionIsCancelled
from shared.contracts.booking import (
    Booking,
    BookingState,
    OfferState,
    SeatOfferDeclined,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistPromoted,
)
from shared.contracts.catalog import ActivityType
from tests.booking.given import (
    A_MONTH_BEFORE,
    FRIDAY_EVENING,
    MONDAY_1130,
    STARTS_AT,
    a_place,
    a_session,
    catalog_says,
    is_holiday,
    milestones_of,
    nothing_else,
    paris,
)

TALK, VISIT, TRAINING = ActivityType.INNOVATION_THURSDAY, ActivityType.LABTOUR, ActivityType.TRAINING
A_MINUTE = timedelta(minutes=1)


def an_offer(session: Session, until: datetime = MONDAY_1130, state: OfferState = OfferState.OFFERED) -> Booking:
    over = {OfferState.ACCEPTED: BookingState.CONFIRMED, OfferState.OFFERED: BookingState.WAITING, OfferState.CLOSED: BookingState.CLOSED}
    return a_place(session, over.get(state, BookingState.LEFT), version=2, offered_until=until, offer=state)


@pytest.mark.parametrize(
    ("kind", "now", "fact"),
    [
        (TRAINING, A_MONTH_BEFORE, SeatOfferMade),
        (VISIT, A_MONTH_BEFORE, SeatOfferMade),
        (ActivityType.WORKSHOP_SUPPORT, A_MONTH_BEFORE, SeatOfferMade),
        (TALK, A_MONTH_BEFORE, WaitlistPromoted),
        (ActivityType.COACHING, A_MONTH_BEFORE, WaitlistPromoted),
        (TALK, STARTS_AT - timedelta(hours=24, microseconds=1), WaitlistPromoted),
        (TALK, STARTS_AT - timedelta(hours=24), SeatOfferMade),
    ],
)
def test_W2_a_freed_seat_is_offered_or_for_a_talk_up_to_the_day_before_given(kind: ActivityType, now: datetime, fact: type) -> None:
    session = a_session(kind=kind, capacity=1, held=0, waiting=1)

    assert type(session.serve(a_place(session, BookingState.WAITING), 1, "place libérée", now, is_holiday, nothing_else())) is fact
    assert (session.held, session.waiting) == (1, 0)


def test_W2_W5_an_offer_holds_the_seat_with_a_deadline_and_a_reason() -> None:
    session = a_session(kind=TRAINING, capacity=1, held=0, waiting=3)
    head = a_place(session, BookingState.WAITING)

    fact = session.serve(head, 1, "place libérée", FRIDAY_EVENING, is_holiday, nothing_else())

    assert isinstance(fact, SeatOfferMade)
    assert (fact.deadline, fact.version, fact.state) == (MONDAY_1130, 2, BookingState.WAITING)
    assert fact.reason == "rang 1, place libérée le 12 mars 2027 à 18 h 30"
    assert (session.held, session.waiting, session.servable(FRIDAY_EVENING)) == (1, 2, 0)
    place = changed(head, fact)
    assert place.offer is not None
    assert (place.offer.state, place.offer.deadline, place.offer.offered_at) == (OfferState.OFFERED, MONDAY_1130, FRIDAY_EVENING)


def test_B1_B2_a_newcomer_gets_no_seat_that_is_offered() -> None:
    session = a_session(kind=TRAINING, capacity=1, held=1)  # an offer, and nobody else waits

    assert isinstance(session.book(uuid4(), uuid4(), nothing_else(), now=A_MONTH_BEFORE), WaitlistJoined)


def test_W3_accepted_before_the_deadline_the_seat_is_the_agents() -> None:
    session = a_session(kind=TRAINING, capacity=1, held=1)
    place = an_offer(session)

    fact = session.accept(place, nothing_else(), MONDAY_1130 - timedelta(microseconds=1))

    assert (fact.state, fact.version, session.held) == (BookingState.CONFIRMED, 3, 1)
    assert changed(place, fact).offer == place.offer.model_copy(update={"state": OfferState.ACCEPTED}) if place.offer else False


def test_W3_from_the_deadline_on_it_is_too_late_and_the_refusal_tells_the_rank_of_coming_back() -> None:
    session = a_session(kind=TRAINING, capacity=1, held=1, waiting=3)
    session.milestones = milestones_of(TALK, STARTS_AT)  # closes two hours before

    for answer in (lambda place, now: session.accept(place, nothing_else(), now), session.decline):
        with pytest.raises(OfferExpired) as late:
            answer(an_offer(session), MONDAY_1130)
        assert (late.value.status, late.value.members) == (410, {"session_id": str(session.session_id), "rank": 4})
    with pytest.raises(OfferExpired):
        session.accept(an_offer(session, state=OfferState.EXPIRED), nothing_else(), A_MONTH_BEFORE)


@pytest.mark.parametrize(
    ("held", "waiting", "state", "rank"),
    [
        (1, 0, OfferState.OFFERED, 0),  # about to be ended by its timer: nobody else wants the seat
        (1, 0, OfferState.EXPIRED, 1),  # the next one has it
        (0, 0, OfferState.EXPIRED, 0),
    ],
)
def test_W3_coming_back_may_be_a_seat_at_once(held: int, waiting: int, state: OfferState, rank: int) -> None:
    session = a_session(capacity=1, held=held, waiting=waiting)

    with pytest.raises(OfferExpired) as late:
        session.accept(an_offer(session, state=state), nothing_else(), MONDAY_1130)

    assert late.value.members["rank"] == rank


def test_W3_after_the_closing_nobody_is_promised_a_rank() -> None:
    session = a_session(kind=TRAINING, capacity=1, held=1, waiting=3)  # closed since Thursday 11 March

    with pytest.raises(OfferExpired) as late:
        session.accept(an_offer(session), nothing_else(), MONDAY_1130)

    assert "rank" not in late.value.members


def test_W3_an_expired_or_declined_offer_frees_its_seat_for_the_next_and_ends_the_place() -> None:
    for end in ("expire", "decline", "cancel"):
        session = a_session(kind=TRAINING, capacity=1, held=1, waiting=2)
        place = an_offer(session)
        assert place.offer is not None

        if end == "expire":
            fact: SeatOfferExpired | SeatOfferDeclined = session.expire(place, place.offer, MONDAY_1130)
        elif end == "decline":
            fact = session.decline(place, FRIDAY_EVENING)
        else:
            found = session.cancel(place, FRIDAY_EVENING)
            assert isinstance(found, SeatOfferDeclined)
            fact = found

        assert (fact.state, session.held, session.waiting) == (BookingState.LEFT, 0, 2)
        assert session.servable(FRIDAY_EVENING) == 1
        over = changed(place, fact)
        assert over.offer is not None
        assert over.offer.state is (OfferState.EXPIRED if end == "expire" else OfferState.DECLINED)
        with pytest.raises(BookingNotActive):
            session.cancel(over, FRIDAY_EVENING)


def test_W3_an_offer_is_answered_once() -> None:
    session = a_session(kind=TRAINING, held=1)

    for state in (OfferState.ACCEPTED, OfferState.DECLINED):
        for answer in (lambda place, now: session.accept(place, nothing_else(), now), session.decline):
            with pytest.raises(OfferAnswered) as again:
                answer(an_offer(session, state=state), FRIDAY_EVENING)
            assert again.value.members == {"state": state.value}
    with pytest.raises(OfferUnknown):
        session.accept(a_place(session, BookingState.WAITING), nothing_else(), FRIDAY_EVENING)


def test_W4_nothing_is_offered_past_the_cut_off_nor_on_a_session_that_is_cancelled() -> None:
    cutoff = milestones_of(TRAINING, STARTS_AT).offers_until

    assert a_session(kind=TRAINING, held=8, waiting=5).servable(cutoff - A_MINUTE) == 2
    assert a_session(kind=TRAINING, held=8, waiting=5).servable(cutoff) == 0
    cancelled = a_session(kind=TRAINING, held=8, waiting=5, status="cancelled")
    assert cancelled.servable(A_MONTH_BEFORE) == 0
    with pytest.raises(SessionIsCancelled):
        cancelled.accept(an_offer(cancelled), nothing_else(), FRIDAY_EVENING)


def test_W4_a_session_brought_forward_holds_no_seat_past_its_new_cut_off() -> None:
    sunday, tuesday = paris(2027, 3, 14, 10), paris(2027, 3, 16, 10)
    for earlier, fact_type in ((STARTS_AT, None), (tuesday, SeatOfferMade), (sunday, SeatOfferExpired)):
        session = a_session(kind=TRAINING, capacity=1, held=1)
        session.follow(catalog_says(session.session_id, version=2, starts_at=earlier).session, milestones_of(TRAINING, earlier))
        place = an_offer(session)
        assert place.offer is not None

        fact = session.bring_forward(place, place.offer, FRIDAY_EVENING)

        assert (type(fact) if fact else None) is fact_type
        if isinstance(fact, SeatOfferMade):
            assert fact.deadline == session.milestones.offers_until < MONDAY_1130
            assert session.held == 1
        if isinstance(fact, SeatOfferExpired):
            assert session.held == 0


def test_W7_a_cancelled_session_closes_its_offers_with_the_queue_and_gives_a_priority_token() -> None:
    session = a_session(kind=TRAINING, capacity=1, held=1, waiting=1)
    until = FRIDAY_EVENING + timedelta(days=90)
    places = [an_offer(session), a_place(session, BookingState.WAITING)]

    facts = [session.close(place, "séance annulée", FRIDAY_EVENING, until) for place in places]

    assert [(fact.state, fact.priority_until) for fact in facts] == [(BookingState.CLOSED, until)] * 2
    assert (session.held, session.waiting) == (0, 0)
    offer = changed(places[0], facts[0]).offer
    assert offer is not None
    assert offer.state is OfferState.CLOSED


def test_W1_a_priority_token_goes_before_those_who_have_none_and_behind_those_who_had_one_before() -> None:
    session = a_session(capacity=1, held=1, waiting=5)
    session.first_waiting = 2

    first = session.book(uuid4(), uuid4(), nothing_else(), now=A_MONTH_BEFORE, token=True)
    last = session.book(uuid4(), uuid4(), nothing_else(), now=A_MONTH_BEFORE)

    assert isinstance(first, WaitlistJoined)
    assert isinstance(last, WaitlistJoined)
    assert (first.rank, first.priority) == (3, True)
    assert (last.rank, last.priority) == (7, False)


def test_W1_a_token_is_of_no_use_where_a_seat_is_free() -> None:
    session = a_session(capacity=1)

    fact = session.book(uuid4(), uuid4(), nothing_else(), now=A_MONTH_BEFORE, token=True)

    assert not isinstance(fact, WaitlistJoined)

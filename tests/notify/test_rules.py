"""Rules of notify that need no server: what is still worth saying, how dates are said, how long to wait."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product
from uuid import uuid4

import pytest

from services.notify.mail import dates
from services.notify.mail.domain import (
    ATTENDANCE,
    Before,
    Known,
    MailKind,
    calendar_part,
    moved,
    reason_to_drop,
)
from services.notify.mail.kinds import kind_for
from services.notify.mail.patience import pause_before_retry
from shared.contracts.booking import BookingState
from tests.notify.given import FRIDAY, HALL, LIBRARY, THURSDAY, Seat, a_session, changed, period

OTHER_MATTERS = ("application", "engagement", "group", "tailored", "host")
ABOUT_BOOKINGS = [
    kind for kind in MailKind if not kind.startswith(OTHER_MATTERS) and kind not in (*ATTENDANCE, MailKind.NEWS, MailKind.DIGEST)
]


@pytest.mark.parametrize(
    ("said", "given"),
    [
        ("jeudi 18 mars 2027 de 14 h à 17 h 30", period("2027-03-18 14:00", 3.5)),
        ("jeudi 1er avril 2027 de 12 h 30 à 13 h 30", period("2027-04-01 12:30", 1)),
        ("du jeudi 18 mars 2027 à 14 h au vendredi 19 mars 2027 à 9 h 05", period("2027-03-18 14:00", 19 + 1 / 12)),
        ("jeudi 18 mars 2027 de 9 h à 10 h (heure locale, Indian/Reunion)", period("2027-03-18 09:00", 1, "Indian/Reunion")),
        ("dimanche 28 mars 2027 de 1 h 30 à 3 h 30", period("2027-03-28 01:30", 1)),  # an hour that summer time makes two
    ],
)
def test_T1_periods_are_said_as_on_the_clock_of_the_place(said: str, given: dates.Period) -> None:
    assert dates.when(given) == said


def test_days_are_said_in_french() -> None:
    assert dates.long_day(date(2027, 2, 1)) == "lundi 1er février 2027"
    assert dates.plain_day(date(2027, 8, 15)) == "15 août 2027"


def test_every_mail_about_a_booking_is_dropped_as_soon_as_it_is_no_longer_true() -> None:
    still_true = {
        (kind, state)
        for kind, state in product(ABOUT_BOOKINGS, BookingState)
        if reason_to_drop(kind, Known(booking=state, session=a_session(version=2), told=1)) is None
    }
    assert still_true == {
        (MailKind.BOOKING_CONFIRMED, BookingState.CONFIRMED),
        (MailKind.WAITLIST_JOINED, BookingState.WAITING),
        (MailKind.WAITLIST_PROMOTED, BookingState.CONFIRMED),
        (MailKind.OFFER_MADE, BookingState.WAITING),
        (MailKind.OFFER_ACCEPTED, BookingState.CONFIRMED),
        (MailKind.OFFER_EXPIRED, BookingState.LEFT),
        (MailKind.BOOKING_CANCELLED, BookingState.CANCELLED_BY_AGENT),
        (MailKind.BOOKING_CANCELLED, BookingState.LATE_CANCELLED),
        (MailKind.CANCELLED_BY_LAB, BookingState.CANCELLED_BY_LAB),
        (MailKind.WAITLIST_CLOSED, BookingState.CLOSED),
        (MailKind.SESSION_MOVED, BookingState.CONFIRMED),
        (MailKind.SESSION_MOVED, BookingState.WAITING),
        (MailKind.REMINDER, BookingState.CONFIRMED),
        (MailKind.JOINING_INSTRUCTIONS, BookingState.CONFIRMED),
        (MailKind.APPROVAL_REQUESTED, BookingState.CONFIRMED),
        (MailKind.APPROVAL_ASKED, BookingState.CONFIRMED),
        (MailKind.APPROVAL_GIVEN, BookingState.CONFIRMED),
        (MailKind.APPROVAL_LAPSED, BookingState.CANCELLED_BY_LAB),
        (MailKind.APPROVAL_REFUSED, BookingState.CANCELLED_BY_LAB),
        (MailKind.SEAT_RELEASED, BookingState.CANCELLED_BY_LAB),
        (MailKind.SEAT_WITHDRAWN, BookingState.CANCELLED_BY_LAB),
        (MailKind.VOLUNTEER_SOUGHT, BookingState.CONFIRMED),
        (MailKind.SEAT_TO_RECONFIRM, BookingState.CONFIRMED),
        (MailKind.SEAT_TO_CONFIRM, BookingState.CONFIRMED),
        (MailKind.MOVED_URGENT, BookingState.CONFIRMED),
        (MailKind.SEAT_MERGED, BookingState.CONFIRMED),
        (MailKind.MODE_CHANGED, BookingState.CONFIRMED),
    }


@pytest.mark.parametrize("kind", [MailKind.BOOKING_CONFIRMED, MailKind.WAITLIST_PROMOTED, MailKind.SESSION_MOVED])
def test_E2_nothing_is_confirmed_or_moved_on_a_session_that_is_cancelled(kind: MailKind) -> None:
    cancelled = a_session(status="cancelled")
    assert reason_to_drop(kind, Known(booking=BookingState.CONFIRMED, session=cancelled, told=0))


def test_K1_a_late_cancellation_does_not_wipe_out_the_seat_booked_since() -> None:
    known = Known(booking=BookingState.CANCELLED_BY_AGENT, session=a_session(), told=1, seat_elsewhere=True)
    assert reason_to_drop(MailKind.BOOKING_CANCELLED, known) == "the agent has booked again"


def test_a_rank_is_not_told_any_more_once_a_seat_is_offered() -> None:
    known = Known(booking=BookingState.WAITING, session=a_session(), told=1, offered=True)
    assert reason_to_drop(MailKind.WAITLIST_JOINED, known) == "a seat is offered, and another mail says so"
    assert reason_to_drop(MailKind.OFFER_MADE, known) is None


def test_the_deadline_of_an_offer_is_said_in_words() -> None:
    assert dates.said(datetime(2027, 3, 15, 10, 30, tzinfo=UTC)) == "lundi 15 mars 2027 à 11 h 30"


def test_E3_a_move_is_told_once() -> None:
    session = a_session(version=3)
    told, to_be_told = (
        Known(booking=BookingState.CONFIRMED, session=session, told=3),
        Known(booking=BookingState.CONFIRMED, session=session, told=0, to_be_told=True),
    )
    assert reason_to_drop(MailKind.SESSION_MOVED, told)
    assert reason_to_drop(MailKind.SESSION_MOVED, to_be_told)


def test_K1_other_seats_or_another_title_are_no_move() -> None:
    session = a_session()
    before = Before(session.periods, session.venue)
    assert not moved(before, changed(session, capacity=99, title="Autre titre", venue=HALL.model_copy(update={"public_transport": "bus"})))
    assert moved(before, changed(session, periods=(FRIDAY,)))
    assert moved(before, changed(session, periods=(THURSDAY, FRIDAY)))
    assert moved(before, changed(session, venue=LIBRARY))
    assert moved(before, changed(session, venue=None))


def test_a_queue_is_in_no_calendar() -> None:
    assert calendar_part(MailKind.WAITLIST_JOINED, BookingState.WAITING) is None
    assert calendar_part(MailKind.SESSION_MOVED, BookingState.WAITING) is None
    assert calendar_part(MailKind.WAITLIST_CLOSED, BookingState.CLOSED) is None
    assert calendar_part(MailKind.SESSION_MOVED, BookingState.CONFIRMED) == "REQUEST"
    assert calendar_part(MailKind.CANCELLED_BY_LAB, BookingState.CANCELLED_BY_LAB) == "CANCEL"


def test_who_leaves_the_queue_is_written_to_only_when_the_lab_closed_it() -> None:
    session = a_session()
    assert kind_for(Seat(session, uuid4()).left()) is None
    assert kind_for(Seat(session, uuid4()).left(BookingState.CLOSED)) is MailKind.WAITLIST_CLOSED


def test_S7_pauses_double_up_to_an_hour() -> None:
    minute = timedelta(minutes=1)
    assert [pause_before_retry(tries, minute) / minute for tries in (1, 2, 3, 4, 5, 6, 7, 8, 500)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]

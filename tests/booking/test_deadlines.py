"""Working hours, and the dates that the rules make of them: B6, N1, W2, W4. No server, no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.booking.deadlines.domain import (
    booking_closing,
    booking_opening,
    cancellation_cutoff,
    in_french,
    offer_cutoff,
    offer_deadline,
    working_days_after,
    working_days_before,
    working_hours_after,
)
from shared.clock import PARIS
from shared.contracts.catalog import ActivityType
from tests.booking.given import is_holiday

TALK, VISIT, TRAINING = ActivityType.INNOVATION_THURSDAY, ActivityType.LABTOUR, ActivityType.TRAINING


def paris(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=PARIS)


PITCH = paris(2027, 3, 18, 14)  # a training on a Thursday
TOUR = paris(2027, 5, 20, 14)  # a visit on a Thursday


def deadline(kind: ActivityType, starts_at: datetime, freed: datetime) -> datetime:
    return offer_deadline(freed, starts_at, offer_cutoff(kind, starts_at, is_holiday), is_holiday)


# --- W2, W4 ------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "starts_at", "freed", "until"),
    [
        (TRAINING, PITCH, paris(2027, 3, 12, 18, 30), paris(2027, 3, 15, 11, 30)),  # Friday evening, 4 working hours: not on Saturday night
        (TRAINING, PITCH, paris(2027, 3, 16, 18, 30), paris(2027, 3, 17, 8, 30)),  # 1 working hour
        (VISIT, TOUR, paris(2027, 5, 5, 18), paris(2027, 5, 10, 12)),  # 16 working hours over Ascension and a weekend
    ],
)
def test_W2_the_worked_deadlines_of_the_domain(kind: ActivityType, starts_at: datetime, freed: datetime, until: datetime) -> None:
    assert deadline(kind, starts_at, freed) == until


def test_W2_bounds_are_those_of_the_instant_of_the_decision() -> None:
    week, two_days, moment = timedelta(days=7), timedelta(days=2), timedelta(seconds=1)
    start = paris(2027, 3, 18, 9)

    def hours(ahead: timedelta) -> datetime:
        return offer_deadline(start - ahead, start, start, is_holiday)

    assert hours(week + moment) == working_hours_after(start - week - moment, 16, is_holiday)
    assert hours(week) == working_hours_after(start - week, 4, is_holiday)
    assert hours(two_days) == working_hours_after(start - two_days, 4, is_holiday)
    assert hours(two_days - moment) == working_hours_after(start - two_days + moment, 1, is_holiday)


def test_W4_no_offer_lasts_past_the_cut_off() -> None:
    assert deadline(TALK, paris(2027, 3, 18, 12, 30), paris(2027, 3, 18, 10)) == paris(2027, 3, 18, 10, 30)
    assert deadline(VISIT, TOUR, paris(2027, 5, 19, 13, 30)) == paris(2027, 5, 19, 14)
    assert deadline(TRAINING, PITCH, paris(2027, 3, 17, 13, 30)) == paris(2027, 3, 17, 14)


@pytest.mark.parametrize(
    ("kind", "cutoff", "closing"),
    [
        (TALK, paris(2027, 5, 20, 12), paris(2027, 5, 20, 12)),
        (VISIT, paris(2027, 5, 19, 14), paris(2027, 5, 19, 14)),
        (ActivityType.WORKSHOP_SUPPORT, paris(2027, 5, 19, 14), paris(2027, 5, 19, 14)),
        (TRAINING, paris(2027, 5, 19, 14), paris(2027, 5, 12, 14)),  # Monday 17 May is Whit Monday
    ],
)
def test_B6_W4_closing_and_cut_off_of_each_kind(kind: ActivityType, cutoff: datetime, closing: datetime) -> None:
    assert offer_cutoff(kind, TOUR, is_holiday) == cutoff
    assert booking_closing(kind, TOUR, is_holiday) == closing


def test_B6_the_opening_is_at_the_same_hour_six_weeks_before() -> None:
    assert booking_opening(paris(2027, 4, 15, 9)) == paris(2027, 3, 4, 9)  # summer time began meanwhile


# --- working hours -----------------------------------------------------------------------------------------------------------------------


def test_three_working_days_from_a_sunday_end_on_wednesday_evening() -> None:
    assert working_days_after(paris(2027, 3, 14, 10), 3, is_holiday) == paris(2027, 3, 17, 19)


@pytest.mark.parametrize(
    ("instant", "hours", "after"),
    [
        (paris(2027, 3, 15, 8), 11, paris(2027, 3, 15, 19)),  # a whole working day
        (paris(2027, 3, 15, 6), 1, paris(2027, 3, 15, 9)),  # the early morning does not count
        (paris(2027, 3, 15, 19), 1, paris(2027, 3, 16, 9)),  # the day is over at 19:00
        (paris(2027, 3, 26, 18), 2, paris(2027, 3, 30, 9)),  # over summer time and Easter Monday
    ],
)
def test_working_hours_are_counted_when_people_work(instant: datetime, hours: int, after: datetime) -> None:
    assert working_hours_after(instant, hours, is_holiday) == after


@given(st.datetimes(datetime(2026, 1, 1), datetime(2028, 1, 1)), st.integers(1, 60))  # noqa: DTZ001 - a zone follows
def test_working_hours_end_when_people_work_and_add_up(moment: datetime, hours: int) -> None:
    instant = moment.replace(tzinfo=UTC)

    after = working_hours_after(instant, hours, is_holiday)

    local = after.astimezone(PARIS)
    assert after > instant
    assert after.tzinfo is UTC
    assert local.isoweekday() <= 5
    assert not is_holiday(local.date())
    assert 8 <= local.hour + local.minute / 60 + local.second / 3600 <= 19.001
    one_by_one = instant
    for _ in range(hours):
        one_by_one = working_hours_after(one_by_one, 1, is_holiday)
    assert one_by_one == after


@pytest.mark.parametrize(
    ("activity_type", "starts_at", "cutoff"),
    [
        (ActivityType.INNOVATION_THURSDAY, paris(2027, 1, 14, 12, 30), paris(2027, 1, 13, 12, 30)),
        (ActivityType.LABTOUR, paris(2027, 5, 20, 14), paris(2027, 5, 17, 14)),
        (ActivityType.TRAINING, paris(2027, 3, 18, 14), paris(2027, 3, 11, 14)),
        # Thursday 6 May 2027 is Ascension, Saturday 8 a holiday that changes nothing
        (ActivityType.TRAINING, paris(2027, 5, 11, 9), paris(2027, 5, 3, 9)),
        # over the change to summer time, 28 March 2027, and Easter Monday, 29 March
        (ActivityType.TRAINING, paris(2027, 4, 1, 9), paris(2027, 3, 24, 9)),
    ],
)
def test_N1_cut_off_of_a_talk_a_visit_a_training(activity_type: ActivityType, starts_at: datetime, cutoff: datetime) -> None:
    assert cancellation_cutoff(activity_type, starts_at.astimezone(UTC), is_holiday) == cutoff.astimezone(UTC)


@pytest.mark.parametrize(
    ("instant", "days", "before"),
    [
        (paris(2027, 3, 17, 19), 1, paris(2027, 3, 17, 8)),  # a whole working day
        (paris(2027, 3, 17, 21), 1, paris(2027, 3, 17, 8)),  # the evening does not count
        (paris(2027, 3, 17, 6), 1, paris(2027, 3, 16, 8)),  # nor the early morning
        (paris(2027, 3, 21, 10), 3, paris(2027, 3, 17, 8)),  # nor a Sunday
        (paris(2027, 3, 15, 12), 1, paris(2027, 3, 12, 12)),  # nor a weekend between
    ],
)
def test_a_working_day_is_eleven_working_hours(instant: datetime, days: int, before: datetime) -> None:
    assert working_days_before(instant, days, is_holiday) == before


@pytest.mark.parametrize(
    ("moment", "said"),
    [
        (datetime(2027, 1, 1, 8, tzinfo=UTC), "1er janvier 2027 à 9 h"),
        (datetime(2027, 8, 31, 22, 5, tzinfo=UTC), "1er septembre 2027 à 0 h 05"),
    ],
)
def test_instants_are_said_in_french_and_in_paris(moment: datetime, said: str) -> None:
    assert in_french(moment) == said

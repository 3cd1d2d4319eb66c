"""Rules of the programme, without any server."""

# ruff: noqa: DTZ001 - wall-clock times have no offset, that is their point (T1)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.catalog.activities import domain
from shared.contracts.catalog import DeliveryMode, LocalPeriod, RescheduleSession, SessionState
from shared.errors import NotAllowed, VersionConflict
from tests.catalog.givens import DEMONSTRATION, PITCH, a_draft_only, a_venue, an_activity, an_order, local

PARIS = ZoneInfo("Europe/Paris")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def a_session(**changed: object) -> SessionState:
    venue = a_venue()
    state = domain.schedule(an_order(), an_activity(), venue, now=DEMONSTRATION, past_allowed=False).session
    return state.model_copy(update=changed)


# --- T1: local time and zone make the instant ------------------------------------------------------------------------------------------


def test_T1_the_same_wall_time_before_and_after_the_change_of_28_march_is_an_hour_apart_in_utc() -> None:
    before, after = domain.derive([local("2027-03-25", "12:30", "13:30"), local("2027-04-08", "12:30", "13:30")])

    assert before.starts_at == utc(2027, 3, 25, 11, 30)
    assert after.starts_at == utc(2027, 4, 8, 10, 30)
    assert not before.moved_forward
    assert not after.moved_forward


def test_T1_a_start_that_does_not_exist_is_moved_forward_one_hour_and_flagged() -> None:
    (period,) = domain.derive([local("2027-03-28", "02:30", "04:00")])

    assert period.starts_at == utc(2027, 3, 28, 1, 30)
    assert period.local_start == datetime(2027, 3, 28, 3, 30)
    assert period.moved_forward


def test_T1_an_end_that_does_not_exist_is_moved_and_flagged_too() -> None:
    (period,) = domain.derive([local("2027-03-28", "01:00", "02:30")])

    assert (period.local_end, period.ends_at) == (datetime(2027, 3, 28, 3, 30), utc(2027, 3, 28, 1, 30))
    assert period.moved_forward


def test_T1_a_period_that_the_move_turns_around_is_refused() -> None:
    with pytest.raises(domain.PeriodsInvalid, match="ends before it starts"):
        domain.derive([local("2027-03-28", "02:30", "03:15")])


def test_T1_of_two_equal_wall_times_in_october_the_first_is_meant() -> None:
    (period,) = domain.derive([local("2027-10-31", "02:30", "04:00")])

    assert period.starts_at == utc(2027, 10, 31, 0, 30)
    assert not period.moved_forward


@pytest.mark.parametrize("zone", ["Europe/Atlantis", "Europe", "../etc/passwd", "", "x" * 5000, "Europe/Paris\0"])
def test_T1_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(domain.PeriodsInvalid, match="unknown time zone"):
        domain.derive([local("2027-03-18", "14:00", "17:00", zone)])


def test_T1_an_instant_with_an_offset_is_not_a_wall_clock_time() -> None:
    period = LocalPeriod(local_start=utc(2027, 3, 18, 14), local_end=utc(2027, 3, 18, 15))

    with pytest.raises(domain.PeriodsInvalid, match="wall-clock"):
        domain.derive([period])


@pytest.mark.parametrize("year", [1, 1999, 2101, 9999])
def test_T1_a_year_nobody_means_is_refused(year: int) -> None:
    period = LocalPeriod(local_start=datetime(year, 1, 1), local_end=datetime(year, 12, 31, 23, 59))

    with pytest.raises(domain.PeriodsInvalid, match="not between 2000 and 2100"):
        domain.derive([period])


def test_T1_periods_follow_each_other_and_may_touch() -> None:
    derived = domain.derive(
        [local("2027-03-16", "09:00", "12:00"), local("2027-03-16", "12:00", "17:00"), local("2027-04-13", "09:00", "17:00")]
    )

    assert [period.local_start.hour for period in derived] == [9, 12, 9]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (local("2027-03-16", "09:00", "12:00"), local("2027-03-16", "11:59", "17:00")),
        (local("2027-04-13", "09:00", "12:00"), local("2027-03-16", "09:00", "12:00")),
        (local("2027-03-16", "09:00", "12:00"), local("2027-03-16", "10:30", "11:30", "Europe/London")),
    ],
    ids=["overlapping", "out of order", "overlapping across zones"],
)
def test_T1_periods_that_overlap_or_run_backwards_are_refused_with_their_place(first: LocalPeriod, second: LocalPeriod) -> None:
    with pytest.raises(domain.PeriodsInvalid, match="period 2 starts before period 1 ends") as refused:
        domain.derive([first, second])

    assert refused.value.members == {"period": 2}


WALL_CLOCKS = st.datetimes(min_value=datetime(2000, 1, 2), max_value=datetime(2100, 12, 30))
ZONES = st.sampled_from(["Europe/Paris", "Indian/Reunion", "America/Guadeloupe", "Australia/Lord_Howe", "America/St_Johns", "UTC"])


@given(start=WALL_CLOCKS, hours=st.integers(min_value=2, max_value=12), zone=ZONES)
def test_T1_local_time_always_agrees_with_the_instant_and_moves_only_forward(start: datetime, hours: int, zone: str) -> None:
    wanted = LocalPeriod(local_start=start, local_end=start + timedelta(hours=hours), zone=zone)

    (period,) = domain.derive([wanted])

    for asked, wall, instant in (
        (wanted.local_start, period.local_start, period.starts_at), (wanted.local_end, period.local_end, period.ends_at)
    ):  # fmt: skip
        assert instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == wall
        assert instant.astimezone(ZoneInfo(zone)).fold == 0
        assert timedelta(0) <= wall - asked <= timedelta(hours=1)
    assert period.moved_forward == ((period.local_start, period.local_end) != (wanted.local_start, wanted.local_end))


@given(start=WALL_CLOCKS)
def test_T1_only_the_hour_that_is_skipped_in_march_is_moved(start: datetime) -> None:
    (period,) = domain.derive([LocalPeriod(local_start=start, local_end=start + timedelta(hours=3))])

    if start.month != 3 and (start + timedelta(hours=3)).month != 3:
        assert not period.moved_forward


# --- a session fits its place ----------------------------------------------------------------------------------------------------------


def test_a_session_starts_at_version_1_with_its_derived_periods() -> None:
    order = an_order(quorum=6)

    fact = domain.schedule(order, an_activity(title="Pitcher"), a_venue(), now=DEMONSTRATION, past_allowed=False)

    assert fact.version == fact.session.version == 1
    assert (fact.session.title, fact.session.quorum, fact.session.status) == ("Pitcher", 6, "scheduled")
    assert fact.session.starts_at == utc(2027, 3, 18, 13)


def test_a_draft_gets_no_date() -> None:
    with pytest.raises(domain.ActivityNotPublished):
        domain.schedule(an_order(), a_draft_only(an_activity()), a_venue(), now=DEMONSTRATION, past_allowed=False)


def test_publishing_twice_is_refused() -> None:
    with pytest.raises(domain.ActivityAlreadyPublished):
        domain.publish(an_activity())


def test_publishing_a_draft_is_the_first_thing_said_of_it() -> None:
    assert domain.publish(a_draft_only(an_activity())).version == 1


@pytest.mark.parametrize("mode", [DeliveryMode.IN_PERSON, DeliveryMode.HYBRID])
def test_a_session_with_people_in_a_room_needs_a_venue(mode: DeliveryMode) -> None:
    with pytest.raises(domain.VenueRequired):
        domain.schedule(an_order(), an_activity(delivery_mode=mode), None, now=DEMONSTRATION, past_allowed=False)


def test_a_remote_session_has_no_venue() -> None:
    remote = an_activity(delivery_mode=DeliveryMode.REMOTE)

    assert domain.schedule(an_order(), remote, None, now=DEMONSTRATION, past_allowed=False).session.venue is None
    with pytest.raises(domain.VenueUnexpected):
        domain.schedule(an_order(), remote, a_venue(), now=DEMONSTRATION, past_allowed=False)


def test_a_session_cannot_have_more_seats_than_its_venue() -> None:
    with pytest.raises(domain.VenueTooSmall) as refused:
        domain.schedule(an_order(capacity=13), an_activity(), a_venue(capacity=12), now=DEMONSTRATION, past_allowed=False)

    assert refused.value.members == {"venue_capacity": 12}


def test_remote_seats_of_a_hybrid_session_do_not_count_in_the_room() -> None:
    fact = domain.schedule(
        an_order(capacity=40, remote_capacity=200),
        an_activity(delivery_mode=DeliveryMode.HYBRID),
        a_venue(45),
        now=DEMONSTRATION,
        past_allowed=False,
    )

    assert (fact.session.capacity, fact.session.remote_capacity) == (40, 200)


def test_remote_seats_need_a_hybrid_activity() -> None:
    with pytest.raises(domain.RemoteCapacityUnexpected):
        domain.schedule(an_order(remote_capacity=200), an_activity(), a_venue(), now=DEMONSTRATION, past_allowed=False)


def test_a_quorum_above_the_seats_can_never_be_reached() -> None:
    with pytest.raises(domain.QuorumTooHigh):
        domain.schedule(an_order(quorum=13), an_activity(), a_venue(), now=DEMONSTRATION, past_allowed=False)


def test_no_session_on_the_day_its_venue_is_closed() -> None:
    with pytest.raises(domain.VenueClosed) as refused:
        domain.schedule(
            an_order(periods=(PITCH, local("2027-03-22", "14:00", "17:00"))),
            an_activity(),
            a_venue(closed=[1]),
            now=DEMONSTRATION,
            past_allowed=False,
        )

    assert refused.value.members == {"day": "2027-03-22"}


def test_a_night_that_ends_at_midnight_does_not_touch_the_next_day() -> None:
    sunday_night = LocalPeriod(local_start=datetime(2027, 3, 21, 20), local_end=datetime(2027, 3, 22, 0))

    domain.schedule(an_order(periods=(sunday_night,)), an_activity(), a_venue(closed=[1]), now=DEMONSTRATION, past_allowed=False)


@pytest.mark.parametrize("hour", ["00:30", "23:30"])
def test_a_place_is_told_in_time_by_the_days_of_its_calendar(hour: str) -> None:
    """17 days from 1 March to the 18th, whatever the hours."""
    now = datetime.fromisoformat(f"2027-03-01T{hour}").replace(tzinfo=PARIS)

    domain.schedule(an_order(), an_activity(), a_venue(notice_days=17), now=now, past_allowed=False)
    with pytest.raises(domain.VenueNeedsNotice) as refused:
        domain.schedule(an_order(), an_activity(), a_venue(notice_days=18), now=now, past_allowed=False)

    assert refused.value.members == {"notice_days": 18}


def test_a_date_that_its_host_agreed_to_or_that_is_imported_needs_no_notice() -> None:
    for private, past_allowed in ((True, False), (False, True)):
        order = an_order(private=private)
        domain.schedule(order, an_activity(), a_venue(notice_days=60), now=DEMONSTRATION, past_allowed=past_allowed)


def test_of_a_session_that_changes_a_place_is_told_in_time_what_is_new_to_it() -> None:
    here, there, under_way = a_venue(20, notice_days=60), a_venue(20, notice_days=60), a_venue(20, notice_days=5)
    before = domain.schedule(an_order(), an_activity(), here, now=DEMONSTRATION - timedelta(days=60), past_allowed=False).session

    def change(venue: domain.Venue, **wanted: Any) -> SessionState:
        request = RescheduleSession(session_id=before.session_id, **wanted)
        return domain.reschedule(before, request, venue, now=DEMONSTRATION, past_allowed=False).session

    assert change(here, capacity=15).capacity == 15, "the place knows of this date"
    for venue, wanted in ((here, {"periods": (local("2027-03-25", "14:00", "17:30"),)}), (there, {"venue_id": there.sheet.venue_id})):
        with pytest.raises(domain.VenueNeedsNotice):
            change(venue, **wanted)
    assert change(here, periods=(local("2027-05-25", "14:00", "17:30"),)).starts_at.month == 5
    begun = (local("2027-02-25", "14:00", "17:30"), PITCH)
    order = an_order(periods=begun)
    before = domain.schedule(order, an_activity(), here, now=DEMONSTRATION - timedelta(days=90), past_allowed=False).session
    assert change(under_way, capacity=15).venue == under_way.sheet, "what has begun elsewhere needs no notice any more"


def test_a_date_in_the_past_is_refused_unless_it_is_recorded_by_an_operator() -> None:
    january = an_order(periods=(local("2027-01-14", "12:30", "13:30"),))

    with pytest.raises(domain.SessionInPast):
        domain.schedule(january, an_activity(), a_venue(), now=DEMONSTRATION, past_allowed=domain.may_record_past({"lab_team"}))
    domain.schedule(january, an_activity(), a_venue(), now=DEMONSTRATION, past_allowed=domain.may_record_past({"operator"}))


@pytest.mark.parametrize("roles", [set[str](), {"agent"}, {"agent", "coach", "committee"}])
def test_only_the_lab_writes_the_programme(roles: set[str]) -> None:
    with pytest.raises(NotAllowed):
        domain.check_may_write(roles)
    domain.check_may_write(roles | {"lab_team"})
    domain.check_may_write(roles | {"operator"})


# --- a session changes -----------------------------------------------------------------------------------------------------------------


def test_E4_each_change_is_one_version_and_tells_what_was_before() -> None:
    before = a_session()
    request = RescheduleSession(session_id=before.session_id, periods=(local("2027-04-01", "14:00", "17:30"),), reason="formateur absent")

    fact = domain.reschedule(before, request, a_venue(), now=DEMONSTRATION, past_allowed=False)

    assert (before.version, fact.version, fact.session.version) == (1, 2, 2)
    assert fact.previous_periods == before.periods
    assert (fact.previous_venue, fact.previous_capacity, fact.reason) == (before.venue, 12, "formateur absent")
    assert fact.session.periods[0].starts_at == utc(2027, 4, 1, 12)


def test_what_a_change_leaves_out_stays() -> None:
    before = a_session(quorum=6)
    place = a_venue(capacity=45)

    fact = domain.reschedule(
        before, RescheduleSession(session_id=before.session_id, capacity=20), place, now=DEMONSTRATION, past_allowed=False
    )

    assert (fact.session.capacity, fact.session.periods, fact.session.quorum) == (20, before.periods, 6)


def test_a_change_made_from_an_old_version_is_refused_with_the_present_one() -> None:
    before = a_session(version=3)

    with pytest.raises(VersionConflict) as refused:
        domain.reschedule(
            before,
            RescheduleSession(session_id=before.session_id, capacity=8, expected_version=2),
            a_venue(),
            now=DEMONSTRATION,
            past_allowed=False,
        )

    assert refused.value.members == {"version": 3}


def test_a_change_that_changes_nothing_is_said_so() -> None:
    venue = a_venue()
    before = a_session(venue=venue.sheet)

    with pytest.raises(domain.NothingChanged):
        domain.reschedule(
            before, RescheduleSession(session_id=before.session_id, periods=(PITCH,)), venue, now=DEMONSTRATION, past_allowed=False
        )


def test_a_cancelled_session_is_not_moved() -> None:
    before = a_session(status="cancelled", cancellation_reason="grève")

    with pytest.raises(domain.SessionIsCancelled):
        domain.reschedule(before, RescheduleSession(session_id=uuid4(), capacity=8), a_venue(), now=DEMONSTRATION, past_allowed=False)


def test_seats_cannot_fall_below_the_quorum() -> None:
    before = a_session(quorum=6)

    with pytest.raises(domain.QuorumTooHigh):
        domain.reschedule(before, RescheduleSession(session_id=uuid4(), capacity=5), a_venue(), now=DEMONSTRATION, past_allowed=False)


def test_a_training_under_way_may_move_its_second_day_but_not_into_the_past() -> None:
    first, second = local("2027-02-23", "09:00", "17:00"), local("2027-03-23", "09:00", "17:00")
    under_way = a_session(periods=domain.derive([first, second]))

    def move_second_to(day: str) -> None:
        moved = RescheduleSession(session_id=uuid4(), periods=(first, local(day, "09:00", "17:00")))
        domain.reschedule(under_way, moved, a_venue(), now=DEMONSTRATION, past_allowed=False)

    move_second_to("2027-03-30")
    with pytest.raises(domain.SessionInPast):
        move_second_to("2027-02-24")


def test_M5_cancelling_twice_says_it_once() -> None:
    session = a_session(version=4)

    fact = domain.cancel(session, "quorum non atteint")

    assert fact is not None
    assert (fact.version, fact.session.status, fact.session.cancellation_reason) == (5, "cancelled", "quorum non atteint")
    assert domain.cancel(fact.session, "autre motif") is None

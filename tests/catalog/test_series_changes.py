"""Changing a series on a real Postgres: preview, fingerprint, commit; whom it concerns; what stays; two editors at once (T4)."""

from __future__ import annotations

from asyncio import gather
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from uuid import uuid4

import pytest

from services.catalog.activities import domain as activities
from services.catalog.activities.handlers import cancel_session, get_session, reschedule_session, schedule_session
from services.catalog.changes import domain as changes
from services.catalog.changes import store as seats
from services.catalog.changes.handlers import change_series
from services.catalog.series import domain
from services.catalog.series.handlers import decide_date
from shared.contracts.availability import RemotePlaces, SessionAvailabilityChanged
from shared.contracts.catalog import CancelSession, DeliveryMode, GetSession, RescheduleSession
from shared.contracts.series import DateState, DecideDate, HolidayPolicy, SeriesState
from shared.database import Database
from tests.catalog.givens import DEMONSTRATION, LAB_TEAM, an_order, days, given_activity, given_venue, local, payloads, shift_to, told
from tests.catalog.series_givens import EVENING, LUNCH, ask, given_series, held, preview, read

AFTER_TWO = DEMONSTRATION + timedelta(days=30)  # 31 March: two of the seven dates have passed


@pytest.fixture
async def catalog(database: Callable[[str], Awaitable[Database]]) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


def versions(series: SeriesState) -> list[int | None]:
    return [each.session_version for each in series.dates]


async def test_T4_all_changes_what_is_to_come_and_leaves_the_past(catalog: Database) -> None:
    series = await given_series(catalog)
    shift_to(AFTER_TWO)

    seen, order = await preview(catalog, series, scope="all", capacity=30)
    after = await ask(catalog, change_series, order)

    assert [(each.grid_index, each.why) for each in seen.kept] == [(0, "past"), (1, "past")]
    assert [each.grid_index for each in seen.changed] == [2, 3, 5, 6]
    assert {(each.before.capacity, each.after.capacity) for each in seen.changed} == {(40, 30)}
    assert versions(after) == [1, 1, 2, 2, None, 2, 2]
    assert (after.capacity, after.version, after.series_id) == (30, 2, series.series_id)
    assert (await told(catalog))[-5:] == [*[("session_rescheduled", 2)] * 4, ("series_changed", 2)]


async def test_T4_following_closes_the_series_and_opens_a_linked_one(catalog: Database) -> None:
    series = await given_series(catalog)

    seen, order = await preview(catalog, series, scope="following", grid_index=2, shift_days=-2, times=(EVENING, LUNCH))
    opened = await ask(catalog, change_series, order)
    closed = await read(catalog, series.series_id)

    assert [each.grid_index for each in seen.changed] == [2, 3, 5, 6]
    assert [each.grid_index for each in closed.dates] == [0, 1]
    assert [each.grid_index for each in opened.dates] == [2, 3, 4, 5, 6]
    assert (closed.next_series_id, opened.previous_series_id) == (opened.series_id, closed.series_id)
    assert held(opened) == [date(2027, 4, 6), date(2027, 4, 20), None, date(2027, 5, 18), date(2027, 6, 1)]
    assert [f"{each.periods[0].local_start:%H:%M}" for each in opened.dates if each.periods] == ["17:30", "12:30", "12:30", "17:30"]
    assert versions(closed) == [1, 1]
    assert (await told(catalog))[-2:] == [("series_changed", 2), ("series_generated", 1)]


async def test_T4_a_series_split_twice_is_one_chain(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="following", grid_index=5, capacity=30)
    last = await ask(catalog, change_series, order)
    _, order = await preview(catalog, await read(catalog, series.series_id), scope="following", grid_index=2, capacity=20)
    middle = await ask(catalog, change_series, order)

    first, last = await read(catalog, series.series_id), await read(catalog, last.series_id)

    assert (first.next_series_id, middle.next_series_id, last.next_series_id) == (middle.series_id, last.series_id, None)
    assert (middle.previous_series_id, last.previous_series_id) == (first.series_id, middle.series_id)
    assert [[each.grid_index for each in one.dates] for one in (first, middle, last)] == [[0, 1], [2, 3, 4], [5, 6]]
    assert (last.version, (await told(catalog))[-3:]) == (2, [("series_changed", 3), ("series_generated", 1), ("series_changed", 2)])


async def test_T4_this_makes_an_exception_that_later_changes_leave_alone_unless_told(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="this", grid_index=2, shift_days=5)
    moved = await ask(catalog, change_series, order)

    kept, order = await preview(catalog, moved, scope="all", times=(EVENING,))
    assert (moved.dates[2].state, moved.dates[2].held_on, moved.dates[2].overridden) == (DateState.MOVED, date(2027, 4, 13), True)
    assert moved.dates[2].reason == order.reason
    assert [(each.grid_index, each.why) for each in kept.kept if each.why == "overridden"] == [(2, "overridden")]
    after = await ask(catalog, change_series, order)
    assert after.dates[2].periods == moved.dates[2].periods

    _, order = await preview(catalog, after, scope="all", times=(LUNCH,), include_overridden=True)
    again = await ask(catalog, change_series, order)
    assert (again.dates[2].state, again.dates[2].held_on, again.dates[2].overridden) == (DateState.SCHEDULED, date(2027, 4, 8), False)


async def test_T4_a_session_changed_or_cancelled_by_itself_is_an_exception_too(catalog: Database) -> None:
    series = await given_series(catalog)
    changed, cancelled = series.dates[2].session_id, series.dates[3].session_id
    assert changed
    assert cancelled
    await ask(catalog, reschedule_session, RescheduleSession(session_id=changed, periods=(local("2027-04-09", "10:00", "11:00"),)))
    await ask(catalog, cancel_session, CancelSession(session_id=cancelled, reason="intervenant malade"))

    seen, order = await preview(catalog, series, scope="all", shift_days=1)
    after = await ask(catalog, change_series, order)

    assert {(each.grid_index, each.why) for each in seen.kept} == {(2, "overridden"), (3, "cancelled")}
    assert (after.dates[2].state, after.dates[2].held_on, after.dates[2].on) == (DateState.MOVED, date(2027, 4, 9), date(2027, 4, 9))
    assert (after.dates[3].held_on, after.dates[3].session_status) == (date(2027, 4, 22), "cancelled")


async def test_T4_nobody_is_cancelled_because_the_grid_moved_onto_a_holiday(catalog: Database) -> None:
    series = await given_series(catalog, anchor=date(2027, 4, 15), until=date(2027, 4, 29))

    seen, order = await preview(catalog, series, scope="all", shift_days=7)  # 22 April, and 6 May: Ascension
    after = await ask(catalog, change_series, order)

    assert [(each.grid_index, each.why) for each in seen.kept] == [(1, "public_holiday")]
    assert (after.dates[1].state, after.dates[1].held_on) == (DateState.MOVED, date(2027, 4, 29))
    assert after.dates[1].reason == "Ascension : maintenue au 29 avril 2027"


async def test_T4_the_preview_says_whom_it_concerns_and_what_it_meets(catalog: Database) -> None:
    series = await given_series(catalog)
    other = an_order(
        activity_id=await given_activity(catalog), venue_id=series.venue_id, periods=(local("2027-03-19", "12:00", "13:00"),), capacity=9
    )  # fmt: skip
    await ask(catalog, schedule_session, other)
    first, second = (each.session_id for each in series.dates[:2])
    assert first
    assert second
    async with catalog.begin() as tx:
        await seats.tell_seats(tx, [_seats(first, 3, 0), _seats(second, 40, 7)])
        await seats.tell_seats(tx, [_seats(first, 12, 2)])

    seen, _ = await preview(catalog, series, scope="all", shift_days=8)

    assert (seen.bookings, seen.mails) == (52, 61)
    assert [(each.held, each.waiting, each.mails) for each in seen.changed[:3]] == [(12, 2, 14), (40, 7, 47), (0, 0, 0)]
    assert [(each.code.value, each.session_id) for each in seen.changed[0].warnings] == [("venue_taken", other.session_id)]
    assert "school_holiday" in {each.code.value for each in seen.changed[2].warnings}  # 16 April
    assert Counter(fact for fact, _ in await told(catalog))["session_rescheduled"] == 0


async def test_T4_a_change_of_another_preview_or_after_the_world_changed_is_refused(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="all", capacity=30)
    session_id = series.dates[3].session_id
    assert session_id

    with pytest.raises(changes.PreviewOutdated):
        await ask(catalog, change_series, order.model_copy(update={"capacity": 31}))
    await ask(catalog, reschedule_session, RescheduleSession(session_id=session_id, capacity=20))
    with pytest.raises(changes.PreviewOutdated):
        await ask(catalog, change_series, order)

    _, order = await preview(catalog, series, scope="all", capacity=30)
    shift_to(DEMONSTRATION + days(11))  # the first session has begun meanwhile
    with pytest.raises(changes.PreviewOutdated):
        await ask(catalog, change_series, order)

    _, order = await preview(catalog, series, scope="all", shift_days=1)
    clash = an_order(
        activity_id=await given_activity(catalog), venue_id=series.venue_id, periods=(local("2027-03-26", "17:00", "18:00"),), capacity=9
    )  # fmt: skip
    await ask(catalog, schedule_session, clash)
    with pytest.raises(changes.PreviewOutdated):
        await ask(catalog, change_series, order)


async def test_T4_a_preview_is_outdated_too_when_what_it_leaves_alone_became_something_else(catalog: Database) -> None:
    series = await given_series(catalog)
    alone = series.dates[2].session_id
    assert alone
    await ask(catalog, reschedule_session, RescheduleSession(session_id=alone, capacity=20))
    _, order = await preview(catalog, series, scope="all", capacity=30)

    await ask(catalog, cancel_session, CancelSession(session_id=alone, reason="intervenant malade"))

    with pytest.raises(changes.PreviewOutdated):
        await ask(catalog, change_series, order)


async def test_T4_a_booking_in_between_does_not_outdate_the_preview(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="all", capacity=30)
    session_id = series.dates[0].session_id
    assert session_id
    async with catalog.begin() as tx:
        await seats.tell_seats(tx, [_seats(session_id, 1, 0)])

    assert (await ask(catalog, change_series, order)).capacity == 30


async def test_T4_of_two_editors_at_once_the_second_is_told_that_its_preview_is_outdated(catalog: Database) -> None:
    series = await given_series(catalog)
    (_, one), (_, other) = [await preview(catalog, series, scope="all", capacity=capacity) for capacity in (30, 20)]

    answers = await gather(ask(catalog, change_series, one), ask(catalog, change_series, other), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["PreviewOutdated", "SeriesState"]
    assert Counter(await told(catalog))["session_rescheduled", 2] == 6


async def test_T4_the_same_change_by_ten_at_once_is_made_once_and_answers_the_same(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="following", grid_index=2, capacity=30)

    answers = await gather(*(ask(catalog, change_series, order) for _ in range(10)))

    assert {answer.series_id for answer in answers} == {answers[0].series_id} != {series.series_id}
    assert Counter(await told(catalog))["session_rescheduled", 2] == 4


async def test_T4_a_session_moved_by_itself_while_the_series_changes_waits_for_it(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="all", capacity=30)
    session_id = series.dates[6].session_id
    assert session_id
    alone = RescheduleSession(session_id=session_id, periods=(local("2027-06-04", "12:30", "13:30"),))

    answers = await gather(ask(catalog, change_series, order), ask(catalog, reschedule_session, alone), return_exceptions=True)

    last = (await read(catalog, series.series_id)).dates[6]
    assert not isinstance(answers[1], BaseException)
    assert (last.held_on, last.session_version) in {(date(2027, 6, 4), 2), (date(2027, 6, 4), 3)}
    assert isinstance(answers[0], changes.PreviewOutdated) == (last.session_version == 2)


async def test_T4_what_changes_nothing_or_cannot_be_is_refused(catalog: Database) -> None:
    series = await given_series(catalog, venue_id=await given_venue(catalog, closed_weekdays=(7,)))

    for refusal, change in (
        (changes.NothingToChange, {"scope": "all", "capacity": 40}),
        (changes.NothingToChange, {"scope": "following", "grid_index": 2}),
        (changes.NothingToChange, {"scope": "this", "capacity": 40}),
        (changes.DateNotHeld, {"scope": "this", "grid_index": 4, "capacity": 30}),
        (domain.DateUnknown, {"scope": "following", "grid_index": 7, "capacity": 30}),
        (domain.SeriesUnknown, {"scope": "all", "series_id": uuid4(), "capacity": 30}),
        (activities.VenueUnknown, {"scope": "all", "venue_id": uuid4()}),
        (activities.VenueTooSmall, {"scope": "all", "capacity": 46}),
        (activities.VenueClosed, {"scope": "all", "shift_days": 3}),
        (activities.SessionInPast, {"scope": "all", "shift_days": -14}),
    ):
        with pytest.raises(refusal):
            await preview(catalog, series, **change)
    assert Counter(fact for fact, _ in await told(catalog))["session_rescheduled"] == 0

    shift_to(AFTER_TWO)
    with pytest.raises(activities.SessionInPast):
        await preview(catalog, series, scope="this", capacity=30)


async def test_T4_fewer_seats_than_the_quorum_are_refused_even_when_nothing_is_to_come(catalog: Database) -> None:
    series = await given_series(catalog, quorum=20)
    shift_to(DEMONSTRATION + days(200))

    with pytest.raises(activities.QuorumTooHigh):
        await preview(catalog, series, scope="all", capacity=10)


async def test_T4_an_order_of_a_new_venue_holds_for_dates_decided_later(catalog: Database) -> None:
    series = await given_series(catalog, policy=HolidayPolicy.ASK)
    venue_id = await given_venue(catalog)
    _, order = await preview(catalog, series, scope="all", venue_id=venue_id)
    await ask(catalog, change_series, order)

    await ask(catalog, decide_date, DecideDate(series_id=series.series_id, grid_index=4, decision="hold", reason="Maintenue malgré tout."))

    assert (await payloads(catalog))[-2]["session"]["venue"]["venue_id"] == str(venue_id)


async def test_B9_a_change_tells_those_at_a_distance_too_and_changes_their_places(catalog: Database) -> None:
    hybrid = await given_activity(catalog, delivery_mode=DeliveryMode.HYBRID)
    series = await given_series(catalog, activity_id=hybrid, remote_capacity=200)
    first = series.dates[0].session_id
    async with catalog.begin() as tx:
        told_seats = _seats(first, 12, 0).model_copy(update={"remote": RemotePlaces(capacity=200, held=30, waiting=5)})
        await seats.tell_seats(tx, [told_seats])

    seen, order = await preview(catalog, series, scope="all", remote_capacity=150)
    after = await ask(catalog, change_series, order)

    one = seen.changed[0]
    assert (one.session_id, one.held, one.waiting, one.mails) == (first, 42, 5, 47)
    assert {(each.before.remote_capacity, each.after.remote_capacity, each.after.capacity) for each in seen.changed} == {(200, 150, 40)}
    assert (after.capacity, after.remote_capacity) == (40, 150)
    assert (await read(catalog, series.series_id)).remote_capacity == 150
    assert (await payloads(catalog))[-2]["session"]["remote_capacity"] == 150
    assert first
    assert (await get_session(GetSession(session_id=first), LAB_TEAM, catalog)).remote_capacity == 150


async def test_B9_places_at_a_distance_are_only_of_hybrid_sessions(catalog: Database) -> None:
    series = await given_series(catalog)

    with pytest.raises(activities.RemoteCapacityUnexpected):
        await preview(catalog, series, scope="all", remote_capacity=20)


def _seats(session_id: object, taken: int, waiting: int) -> SessionAvailabilityChanged:
    return SessionAvailabilityChanged.model_validate(
        {"version": 1, "session_id": session_id, "session_sequence": 1, "capacity": 40, "held": taken, "waiting": waiting}
    )

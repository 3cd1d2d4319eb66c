"""Rules of series without servers: the grid, holidays, the clock, and decisions on single dates (T1, T2, T3)."""

from __future__ import annotations

from datetime import date, time
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.catalog.calendars.domain import SchoolHoliday, checked
from services.catalog.calendars.france import CALENDAR, read_school_holidays
from services.catalog.series import domain
from services.catalog.series.domain import Date, plan
from services.catalog.series.queries import shown
from shared.contracts.series import DateContent, DateState, DecideDate, GenerateSeries, HolidayPolicy, SeriesDate, WallTimes

SERIES = UUID(int=7)
ANCHOR = date(2027, 1, 14)
LUNCH, EVENING = (WallTimes(start=time(12, 30), end=time(13, 30)),), (WallTimes(start=time(17, 30), end=time(18, 30)),)


def the_thursdays(**changed: Any) -> GenerateSeries:
    """The « Jeudis de l'innovation » of the first half of 2027."""
    given: dict[str, Any] = {
        "series_id": SERIES,
        "anchor": ANCHOR,
        "until": date(2027, 7, 1),
        "times": (LUNCH, EVENING),
        "activity_id": uuid4(),
        "capacity": 40,
    }
    return GenerateSeries(**given | changed)


def dates(**changed: Any) -> tuple[Date, ...]:
    return plan(the_thursdays(**changed), SERIES, CALENDAR)


def held(planned: tuple[Date, ...]) -> list[date]:
    return [each.held_on for each in planned if each.held_on]


def ascension(policy: HolidayPolicy, **changed: Any) -> Date:
    return next(each for each in dates(policy=policy, **changed) if each.on == date(2027, 5, 6))


def seen(one: Date, times: Any = (LUNCH, EVENING)) -> SeriesDate:
    return shown(domain.Grid(ANCHOR, 2, times, "Europe/Paris"), one, None, CALENDAR)


# --- T2, the grid ------------------------------------------------------------------------------------------------------------------------


def test_T2_every_15_days_from_14_january_2027_is_13_dates_of_which_12_are_held_and_ascension_is_skipped_and_explained() -> None:
    planned = dates()

    assert len(planned) == 13
    assert planned[-1].on == date(2027, 7, 1)
    assert len(held(planned)) == 12
    skipped = [each for each in planned if each.state is DateState.SKIPPED]
    assert [(each.on, each.reason, each.grid_index) for each in skipped] == [(date(2027, 5, 6), "Ascension", 8)]


def test_T2_every_15_days_from_7_january_2027_meets_no_holiday() -> None:
    planned = dates(anchor=date(2027, 1, 7))

    assert {each.state for each in planned} == {DateState.SCHEDULED}


def test_T2_the_times_alternate_by_grid_index_and_the_skipped_date_uses_its_turn() -> None:
    starts = [f"{seen(each).periods[0].local_start:%H:%M}" if each.held_on else "-" for each in dates()]

    assert starts == ["12:30", "17:30"] * 4 + ["-", "17:30", "12:30", "17:30", "12:30"]


@pytest.mark.parametrize("weeks", [1, 2, 3, 8])
def test_T2_the_interval_is_in_weeks_and_the_weekday_stays(weeks: int) -> None:
    on = [each.on for each in dates(every_weeks=weeks)]

    assert {(later - earlier).days for earlier, later in pairwise(on)} == {7 * weeks}
    assert on[-1] <= date(2027, 7, 1)


@pytest.mark.parametrize(
    ("policy", "state", "held_on", "reason"),
    [
        (HolidayPolicy.SKIP, DateState.SKIPPED, None, "Ascension"),
        (HolidayPolicy.SHIFT_ONE_WEEK, DateState.SHIFTED, date(2027, 5, 13), "Ascension"),
        (HolidayPolicy.SHIFT_TO_TUESDAY, DateState.SHIFTED, date(2027, 5, 4), "Ascension"),
        (HolidayPolicy.ASK, DateState.TO_DECIDE, None, "Ascension"),
    ],
)
def test_T2_each_policy_for_a_holiday(policy: HolidayPolicy, state: DateState, held_on: date | None, reason: str) -> None:
    one = ascension(policy)

    assert (one.state, one.held_on, one.reason) == (state, held_on, reason)


@pytest.mark.parametrize("policy", HolidayPolicy)
def test_T2_no_policy_moves_the_grid(policy: HolidayPolicy) -> None:
    assert [each.on for each in dates(policy=policy)] == [each.on for each in dates()]


def test_T2_a_shift_onto_another_date_of_the_series_asks() -> None:
    one = ascension(HolidayPolicy.SHIFT_ONE_WEEK, every_weeks=1)

    assert (one.state, one.reason) == (DateState.TO_DECIDE, "Ascension ; le 13 mai 2027 est déjà une date de la série")


def test_T2_a_shift_onto_a_holiday_asks() -> None:
    """Tuesday 1 May and Tuesday 8 May 2029 are both holidays."""
    planned = dates(anchor=date(2029, 5, 1), until=date(2029, 5, 1), policy=HolidayPolicy.SHIFT_ONE_WEEK)

    assert (planned[0].state, planned[0].reason) == (
        DateState.TO_DECIDE, "Fête du Travail ; le 8 mai 2029 est férié lui aussi (Fête de la Victoire)"
    )  # fmt: skip


def test_T2_a_tuesday_cannot_be_shifted_to_itself() -> None:
    (one,) = dates(anchor=date(2029, 5, 1), until=date(2029, 5, 1), policy=HolidayPolicy.SHIFT_TO_TUESDAY)

    assert one.state is DateState.TO_DECIDE


# --- what the dates hold -----------------------------------------------------------------------------------------------------------------


def test_a_date_holds_what_is_said_of_it_or_what_the_series_holds() -> None:
    activity_id, venue_id, session_id = uuid4(), uuid4(), uuid4()
    content = DateContent(on=date(2027, 1, 28), activity_id=activity_id, venue_id=venue_id, session_id=session_id)

    first, second = dates(dates=(content,))[:2]

    assert (second.activity_id, second.venue_id, second.session_id) == (activity_id, venue_id, session_id)
    assert first.activity_id != activity_id
    assert first.session_id == domain.session_id_of(SERIES, 0)


def test_a_date_of_which_nobody_says_what_it_holds_waits_for_a_decision() -> None:
    planned = dates(activity_id=None)

    assert {each.reason for each in planned if each.state is DateState.TO_DECIDE} == {"Contenu à choisir"}
    assert held(planned) == []
    assert planned[8].state is DateState.SKIPPED


@pytest.mark.parametrize("on", [[date(2027, 1, 15)], [date(2027, 7, 15)], [date(2026, 12, 31)], [ANCHOR, ANCHOR]])
def test_a_content_off_the_grid_or_twice_is_refused_with_its_date(on: list[date]) -> None:
    with pytest.raises(domain.DateOffGrid) as refused:
        dates(dates=tuple(DateContent(on=each) for each in on))

    assert refused.value.members == {"on": on[-1].isoformat()}


def test_a_series_has_one_to_sixty_dates() -> None:
    with pytest.raises(domain.SeriesEmpty):
        dates(until=date(2027, 1, 13))
    assert len(dates(until=ANCHOR)) == 1
    assert len(dates(every_weeks=1, until=date(2028, 3, 2))) == 60
    with pytest.raises(domain.SeriesTooLong):
        dates(every_weeks=1, until=date(2028, 3, 9))


# --- T1 and T3, what there is to know of a date ------------------------------------------------------------------------------------------


def codes(one: SeriesDate) -> list[tuple[str, str]]:
    return [(warning.code.value, warning.title) for warning in one.warnings]


def test_T1_the_wall_time_stays_across_the_change_of_28_march() -> None:
    planned = dates()

    before, after = seen(planned[4]), seen(planned[6])

    assert (before.periods[0].starts_at.hour, after.periods[0].starts_at.hour) == (11, 10)
    assert before.periods[0].local_start.time() == after.periods[0].local_start.time() == time(12, 30)


def test_T1_a_time_that_does_not_exist_is_moved_forward_and_flagged() -> None:
    night = ((WallTimes(start=time(2, 30), end=time(4, 0)),),)
    (one,) = dates(anchor=date(2027, 3, 28), until=date(2027, 3, 28), times=night)

    said = shown(domain.Grid(date(2027, 3, 28), 2, night, "Europe/Paris"), one, None, CALENDAR)

    assert (said.periods[0].local_start.time(), said.periods[0].moved_forward) == (time(3, 30), True)
    assert "moved_forward" in {code for code, _ in codes(said)}


def test_T1_a_date_may_have_two_periods_and_the_last_may_end_the_day_after() -> None:
    day = ((WallTimes(start=time(9), end=time(12)), WallTimes(start=time(22), end=time(0, 30))),)
    (one,) = dates(until=ANCHOR, times=day)

    said = shown(domain.Grid(ANCHOR, 2, day, "Europe/Paris"), one, None, CALENDAR)

    assert [period.local_end.day for period in said.periods] == [14, 15]


def test_T3_school_holidays_of_zone_C_warn_and_do_not_block() -> None:
    february = seen(dates()[2])

    assert february.on == date(2027, 2, 11)
    assert february.state is DateState.SCHEDULED
    assert codes(february) == [("school_holiday", "Vacances d'hiver (zone C)")]
    assert codes(seen(dates()[3])) == []  # 25 February: school has begun again


def test_T3_the_friday_after_a_thursday_off_warns() -> None:
    (friday,) = dates(anchor=date(2027, 5, 7), until=date(2027, 5, 7))

    assert friday.state is DateState.SCHEDULED
    assert codes(seen(friday)) == [("long_weekend", "Pont du jeudi férié : Ascension")]


def test_T3_the_file_of_school_holidays_covers_two_years() -> None:
    holidays = read_school_holidays()

    assert [each.first.year for each in holidays if "hiver" in each.name] == [2027, 2028]
    assert len(holidays) == 10


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ([], "no school holidays"),
        ([SchoolHoliday("Noël", date(2027, 1, 3), date(2026, 12, 19))], "Noël"),
        ([SchoolHoliday("Été", date(2027, 7, 3), date(2028, 8, 31))], "Été"),
        ([SchoolHoliday("A", date(2027, 7, 3), date(2027, 8, 31)), SchoolHoliday("B", date(2027, 8, 31), date(2027, 9, 2))], "B from"),
    ],
)
def test_T3_school_holidays_that_cannot_be_meant_stop_the_service(wrong: list[SchoolHoliday], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        checked(wrong)


@pytest.mark.parametrize("written", ["holidays = [", "[[holidays]]\nname = 'x'\nfirst = 2027-01-01\n", "[[holiday]]\nname = 'x'\n"])
def test_T3_a_file_that_cannot_be_read_stops_the_service(tmp_path: Path, written: str) -> None:
    file = tmp_path / "school_holidays.toml"
    file.write_text(written)

    with pytest.raises(ValueError, match=r".+"):
        read_school_holidays(file)


# --- decisions ---------------------------------------------------------------------------------------------------------------------------


def a_decision(decision: str, **changed: Any) -> DecideDate:
    given: dict[str, Any] = {"series_id": SERIES, "grid_index": 8, "decision": decision, "reason": "Décidé en équipe"}
    return DecideDate(**given | changed)


def asking(**changed: Any) -> domain.Series:
    return domain.opened(the_thursdays(policy=HolidayPolicy.ASK, **changed), CALENDAR)


def test_T2_a_date_that_asks_is_held_moved_or_skipped_with_a_reason() -> None:
    hold = domain.decide(asking(), a_decision("hold"))
    move = domain.decide(asking(), a_decision("move", to=date(2027, 5, 11)))
    skip = domain.decide(asking(), a_decision("skip"))

    assert hold is not None
    assert move is not None
    assert skip is not None
    assert (hold.state, hold.held_on) == (DateState.SCHEDULED, date(2027, 5, 6))
    assert (move.state, move.held_on) == (DateState.MOVED, date(2027, 5, 11))
    assert (skip.state, skip.held_on, skip.session_id) == (DateState.SKIPPED, None, None)
    assert {each.reason for each in (hold, move, skip)} == {"Décidé en équipe"}
    assert hold.session_id == move.session_id is not None


def test_the_same_decision_again_changes_nothing_and_another_is_refused() -> None:
    decided = domain.decide(asking(), a_decision("skip"))
    assert decided
    series = asking().with_date(decided)

    assert domain.decide(series, a_decision("skip")) is None
    with pytest.raises(domain.DateAlreadyDecided):
        domain.decide(series, a_decision("skip", reason="Une autre raison"))
    with pytest.raises(domain.DateAlreadyDecided):
        domain.decide(series, a_decision("skip", grid_index=0))


def test_T2_a_skipped_date_is_taken_back_once_where_it_was_or_on_another_day() -> None:
    skipped = domain.opened(the_thursdays(), CALENDAR)
    assert skipped.date(8).state is DateState.SKIPPED

    held = domain.decide(skipped, a_decision("hold"))
    moved = domain.decide(skipped, a_decision("move", to=date(2027, 5, 11)))

    assert held is not None
    assert moved is not None
    assert [(each.state, each.held_on) for each in (held, moved)] == [
        (DateState.SCHEDULED, date(2027, 5, 6)),
        (DateState.MOVED, date(2027, 5, 11)),
    ]
    assert domain.decide(skipped.with_date(held), a_decision("hold")) is None
    with pytest.raises(domain.DateAlreadyDecided):
        domain.decide(skipped.with_date(held), a_decision("move", to=date(2027, 5, 11)))
    with pytest.raises(domain.DateTaken):
        domain.decide(skipped, a_decision("move", to=date(2027, 5, 20)))


def test_a_decision_needs_a_day_that_is_free_a_date_that_exists_and_something_to_hold() -> None:
    with pytest.raises(domain.DateRequired):
        domain.decide(asking(), a_decision("move"))
    with pytest.raises(domain.DateTaken):
        domain.decide(asking(), a_decision("move", to=date(2027, 5, 20)))
    with pytest.raises(domain.DateUnknown):
        domain.decide(asking(), a_decision("hold", grid_index=13))
    with pytest.raises(domain.ActivityRequired):
        domain.decide(asking(activity_id=None), a_decision("hold"))
    assert domain.decide(asking(activity_id=None), a_decision("hold", activity_id=uuid4()))

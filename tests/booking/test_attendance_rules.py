"""Half-days, room codes and what becomes of a seat: the rules alone (A1, N2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.booking.attendance import domain
from services.booking.attendance.domain import Sheet, half_days_of, replanned, was_moved
from shared.contracts.attendance import HalfDaySheet, SheetState
from shared.contracts.booking import AttendanceOutcome
from shared.errors import Refused
from tests.booking.given import is_holiday, paris
from tests.booking.given_attendance import AFTERNOON, BOTH, EVENING, LUNCH, MORNING, Dated, a_period

MINUTE = timedelta(minutes=1)


def sheets_of(*dates: Dated) -> list[HalfDaySheet]:
    return [HalfDaySheet.model_validate(each.model_dump()) for each in half_days_of(a_period(*date) for date in dates)]


def a_sheet(*dates: Dated, **changed: Any) -> Sheet:
    values: dict[str, Any] = {
        "session_id": uuid4(),
        "state": SheetState.OPEN,
        "status": "scheduled",
        "version": 0,
        "trainer_id": None,
        "secret": b"of this session",
        "half_days": sheets_of(*(dates or BOTH)),
        "title": "Pitcher en 5 minutes",
        "place": "La Halle",
        "catalog_version": 1,
    }
    return Sheet(**values | changed)


@pytest.mark.parametrize(
    ("dates", "found"),
    [
        (BOTH, ["18 morning 9:00-12:30", "18 afternoon 14:00-17:30"]),
        ([(paris(2027, 3, 18, 12, 30), paris(2027, 3, 18, 13, 30))], ["18 afternoon 12:30-13:30"]),
        ([(paris(2027, 3, 18, 9), paris(2027, 3, 18, 17))], ["18 morning 9:00-13:00", "18 afternoon 13:00-17:00"]),
        ([(paris(2027, 3, 18, 8, 30), paris(2027, 3, 18, 13, 30))], ["18 morning 8:30-13:30"]),
        ([(MORNING, paris(2027, 3, 18, 10)), (paris(2027, 3, 18, 10, 30), LUNCH)], ["18 morning 9:00-12:30"]),
        ([(MORNING, LUNCH), (paris(2027, 4, 15, 9), paris(2027, 4, 15, 12))], ["18 morning 9:00-12:30", "15 morning 9:00-12:00"]),
        ([(paris(2027, 3, 27, 9), paris(2027, 3, 28, 12))], ["27 morning 9:00-13:00", "27 afternoon 13:00-0:00", "28 morning 0:00-12:00"]),
    ],
)  # fmt: skip
def test_A1_a_session_has_mornings_and_afternoons_on_the_clocks_of_paris(dates: list[Dated], found: list[str]) -> None:
    halves = half_days_of(a_period(*each) for each in dates)

    def clock(moment: datetime) -> str:
        local = moment.astimezone(domain.PARIS)
        return f"{local.hour}:{local.minute:02}"

    assert [f"{each.day.day} {each.part} {clock(each.starts_at)}-{clock(each.ends_at)}" for each in halves] == found
    assert [each.number for each in halves] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    ("at", "half_day"),
    [
        (MORNING - timedelta(minutes=30), 1), (MORNING, 1), (LUNCH - MINUTE, 1), (AFTERNOON - timedelta(minutes=30), 2),
        (EVENING - MINUTE, 2),
        (MORNING - timedelta(minutes=31), None), (LUNCH, None), (EVENING, None),
    ],
)  # fmt: skip
def test_A1_somebody_comes_to_the_half_day_that_is_under_way_or_about_to_begin(at: datetime, half_day: int | None) -> None:
    sheet = a_sheet()
    if half_day is None:
        with pytest.raises(domain.NoHalfDayNow):
            sheet.check_in(at, None, EVENING + timedelta(days=1))
    else:
        assert sheet.check_in(at, None, EVENING + timedelta(days=1))[0].number == half_day


def test_A1_the_half_day_under_way_comes_before_the_one_that_is_about_to_begin() -> None:
    whole_day = a_sheet((MORNING, EVENING))

    assert [whole_day.half_day_at(at).number for at in (paris(2027, 3, 18, 12, 45), paris(2027, 3, 18, 13))] == [1, 2]


def test_a_room_code_changes_and_is_taken_for_five_minutes_more() -> None:
    sheet, shown_at = a_sheet(), MORNING + timedelta(minutes=2)
    code = sheet.room_code(shown_at)

    assert (len(code.code), code.half_day, code.valid_until) == (6, 1, MORNING + timedelta(minutes=5))
    assert sheet.room_code(MORNING + timedelta(minutes=5)).code != code.code
    assert a_sheet(secret=b"another").room_code(shown_at).code != code.code
    typed = f" {code.code[:3].lower()} {code.code[3:]}"
    for minutes, right in ((2, True), (9, True), (10, False), (-1, False)):
        at = MORNING + timedelta(minutes=minutes)
        if right:
            assert sheet.check_in(at, typed, at)[0].number == 1
        else:
            with pytest.raises(domain.RoomCodeWrong):
                sheet.check_in(at, typed, at)


def test_a_check_in_sent_late_counts_by_its_time_of_scanning_and_none_comes_from_the_future() -> None:
    sheet, now = a_sheet(), EVENING + timedelta(hours=20)
    code = sheet.room_code(MORNING).code

    assert sheet.check_in(MORNING, code, now) == (sheet.half_days[0], MORNING)
    with pytest.raises(domain.ScannedInTheFuture):
        sheet.check_in(MORNING + timedelta(minutes=3), None, MORNING)
    assert sheet.check_in(MORNING + MINUTE, None, MORNING)[0].number == 1, "clocks differ a little"


def test_A1_the_trainer_signs_each_half_day_at_its_end_and_the_last_signature_closes_the_sheet() -> None:
    sheet = a_sheet()
    with pytest.raises(domain.HalfDayNotOver):
        sheet.sign(1, "trainer", LUNCH - timedelta(minutes=31))

    assert sheet.sign(1, "trainer", LUNCH - timedelta(minutes=30))
    assert not sheet.sign(1, "somebody else", LUNCH)
    assert (sheet.state, sheet.closed, sheet.half_days[0].closed_by) == (SheetState.OPEN, {1}, "trainer")
    with pytest.raises(domain.HalfDayClosed):
        sheet.check_in(LUNCH - MINUTE, None, LUNCH)
    with pytest.raises(domain.HalfDayUnknown):
        sheet.sign(3, "trainer", EVENING)

    assert sheet.sign(2, "trainer", EVENING)
    assert sheet.state is SheetState.CLOSED


@pytest.mark.parametrize(
    ("state", "present", "excused", "outcome"),
    [
        ("closed", [1], False, "attended"), ("closed", [], False, "absent"), ("closed", [], True, "excused"),
        ("closed", [2], True, "attended"),
        ("given_up", [1], False, "attended"), ("given_up", [], False, "unknown"), ("given_up", [], True, "excused"),
    ],
)  # fmt: skip
def test_N2_absent_only_if_the_sheet_was_closed(state: str, present: list[int], excused: bool, outcome: str) -> None:
    assert a_sheet(state=SheetState(state)).outcome(present, excused=excused) == AttendanceOutcome(outcome)


def test_N2_a_sheet_is_given_up_after_ten_working_days_and_stays_so_when_it_is_signed_later() -> None:
    sheet = a_sheet()
    after = paris(2027, 4, 2, 17, 30)  # Thursday 18 March 17:30 and ten working days: Easter Monday, 29 March, is none
    assert domain.given_up_at(EVENING, is_holiday) == after
    assert not sheet.give_up(after - MINUTE, is_holiday)

    assert sheet.give_up(after, is_holiday)
    assert sheet.sign(1, "trainer", after)
    assert sheet.sign(2, "trainer", after)
    assert sheet.state is SheetState.GIVEN_UP
    closed = a_sheet(state=SheetState.CLOSED)
    assert not closed.give_up(after, is_holiday)


def test_N3_an_excuse_is_taken_from_the_start_until_five_working_days_after() -> None:
    def excused(since: datetime, now: datetime) -> str:
        try:
            domain.must_be_excusable(MORNING, since, now, is_holiday)
        except Refused as refusal:
            return refusal.code
        return "taken"

    until = paris(2027, 3, 25, 17, 30)
    assert [excused(EVENING, at) for at in (MORNING - MINUTE, MORNING, until - MINUTE, until)] == [
        "excuse_too_early", "taken", "taken", "excuse_too_late",
    ]  # fmt: skip
    assert excused(paris(2027, 3, 25, 12), until) == "taken", "an absence that was recorded late"


def test_A1_new_dates_keep_the_half_days_that_took_place() -> None:
    first, second = sheets_of(*BOTH)
    month_later = (paris(2027, 4, 15, 14), paris(2027, 4, 15, 17))
    signed = first.model_copy(update={"closed_at": LUNCH, "closed_by": "trainer"})

    planned = half_days_of([a_period(MORNING, LUNCH), a_period(*month_later)])

    assert [(each.number, each.day.month) for each in replanned([signed, second], [], planned)] == [(1, 3), (2, 4)]
    assert [(each.number, each.day.month) for each in replanned([first, second], [2], planned)] == [(2, 3), (3, 3), (4, 4)]
    assert [each.number for each in replanned([first, second], [], planned)] == [1, 2]


@pytest.mark.parametrize(
    ("after", "place", "moved"),
    [
        (MORNING, "ici", False), (MORNING + timedelta(minutes=30), "ici", False), (MORNING + timedelta(minutes=31), "ici", True),
        (MORNING + timedelta(days=1), "ici", True), (MORNING, "là", True),
    ],
)  # fmt: skip
def test_N4_moved_is_more_than_half_an_hour_another_day_or_another_place(after: datetime, place: str, moved: bool) -> None:
    assert was_moved(MORNING, after, "ici", place) is moved

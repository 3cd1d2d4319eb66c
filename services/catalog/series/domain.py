"""Rules of series: a grid of dates, what holidays do to it, and decisions on single dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from services.catalog.activities.domain import LAB, YEARS, PeriodsInvalid
from services.catalog.calendars.domain import DayCalendar
from shared.contracts.catalog import LocalPeriod, ScheduleSession, SessionState
from shared.contracts.series import (
    DateContent,
    DateState,
    DecideDate,
    GenerateSeries,
    HolidayPolicy,
    SeriesChanged,
    SeriesDateFact,
    SeriesGenerated,
    SeriesOrder,
    WallTimes,
)
from shared.errors import NotAllowed, Refused

MOST_DATES = 60  # two years of every second week; one commit, one event and one page still hold them
TUESDAY = 2
HELD = frozenset({DateState.SCHEDULED, DateState.SHIFTED, DateState.MOVED})
NO_CONTENT = "Contenu à choisir"

_MONTHS = ["janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre"]


class SeriesUnknown(Refused):
    code, status, title = "series_unknown", 404, "Cette série n'existe pas."


class SeriesExists(Refused):
    code, title = "series_exists", "Une autre série porte déjà cet identifiant."


class SeriesEmpty(Refused):
    code, status, title = "series_empty", 422, "Cette série n'a aucune date : sa fin précède son début."


class SeriesTooLong(Refused):
    code, status, title = "series_too_long", 422, "Cette série a trop de dates : choisissez une fin plus proche."


class DateOffGrid(Refused):
    code, status, title = "date_off_grid", 422, "Une des dates décrites n'est pas une date de la série, ou y est deux fois."


class DateUnknown(Refused):
    code, status, title = "date_unknown", 404, "Cette série n'a pas cette date."


class DateAlreadyDecided(Refused):
    code, title = "date_already_decided", "Cette date n'attend plus de décision."


class DateRequired(Refused):
    code, status, title = "date_required", 422, "Dites à quel jour reporter cette date."


class DateTaken(Refused):
    code, title = "date_taken", "Ce jour est déjà celui d'une autre date de la série."


class ActivityRequired(Refused):
    code, status, title = "activity_required", 422, "Dites quelle activité a lieu à cette date."


@dataclass(frozen=True, slots=True)
class Grid:
    """Every so many weeks from the anchor, never « le 1er et le 3e jeudi »; a date takes its times by its index, a skipped one too (T2)."""

    anchor: date
    every_weeks: int
    times: tuple[tuple[WallTimes, ...], ...]
    zone: str

    def on(self, index: int) -> date:
        return self.anchor + timedelta(weeks=self.every_weeks * index)

    def index(self, day: date) -> int | None:
        index, off = divmod((day - self.anchor).days, 7 * self.every_weeks)
        return None if off or index < 0 else index

    def periods(self, index: int, day: date) -> tuple[LocalPeriod, ...]:
        """The wall-clock times that this index takes, on that day; one that ends before it starts ends the day after."""
        return tuple(
            LocalPeriod(
                local_start=datetime.combine(day, each.start),
                local_end=datetime.combine(day + timedelta(days=each.end <= each.start), each.end),
                zone=self.zone,
            )
            for each in self.times[index % len(self.times)]
        )


@dataclass(frozen=True, slots=True)
class Date:
    """A date of a series as it is kept. `applied_version` is the session's when the series last wrote it: a later one is an override."""

    grid_index: int
    on: date
    state: DateState
    held_on: date | None = None
    reason: str | None = None
    activity_id: UUID | None = None
    venue_id: UUID | None = None
    opens_at: datetime | None = None
    session_id: UUID | None = None
    applied_version: int | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """A series under its row lock, with all its dates in order."""

    series_id: UUID
    root_id: UUID
    """The first of those that continue each other."""
    version: int
    grid: Grid
    policy: HolidayPolicy
    activity_id: UUID | None
    venue_id: UUID | None
    capacity: int
    remote_capacity: int | None
    quorum: int | None
    dates: tuple[Date, ...]
    previous_series_id: UUID | None = None
    next_series_id: UUID | None = None
    last_change: str | None = None
    """Fingerprint of the change made last."""

    def date(self, grid_index: int) -> Date:
        if found := next((each for each in self.dates if each.grid_index == grid_index), None):
            return found
        raise DateUnknown(f"series {self.series_id} has no date {grid_index}", grid_index=grid_index)

    def with_date(self, after: Date) -> Series:
        return replace(self, dates=tuple(after if each.grid_index == after.grid_index else each for each in self.dates))


def check_is_lab(roles: frozenset[str]) -> None:
    """Series are the lab's own planning: nobody else reads or writes them."""
    if LAB.isdisjoint(roles):
        raise NotAllowed(f"needs one of {sorted(LAB)}")


# --- from an order to dates ------------------------------------------------------------------------------------------------------------


def place(grid: Grid, day: date, policy: HolidayPolicy, calendar: DayCalendar) -> tuple[DateState, date | None, str | None]:
    """What becomes of a date of the grid: its state, the day on which it is held, and why. A shift that finds no free day asks."""
    holiday = calendar.public_holiday(day)
    if holiday is None:
        return DateState.SCHEDULED, day, None
    if policy is HolidayPolicy.SKIP:
        return DateState.SKIPPED, None, holiday
    if policy is HolidayPolicy.ASK:
        return DateState.TO_DECIDE, None, holiday
    weekly = policy is HolidayPolicy.SHIFT_ONE_WEEK
    target = day + (timedelta(weeks=1) if weekly else timedelta(days=TUESDAY - day.isoweekday()))
    if target == day or grid.index(target) is not None:
        return DateState.TO_DECIDE, None, f"{holiday} ; le {in_french(target)} est déjà une date de la série"
    if again := calendar.public_holiday(target):
        return DateState.TO_DECIDE, None, f"{holiday} ; le {in_french(target)} est férié lui aussi ({again})"
    return DateState.SHIFTED, target, holiday


def plan(order: SeriesOrder, series_id: UUID, calendar: DayCalendar) -> tuple[Date, ...]:
    """All dates of the grid up to the last one, skipped ones included, each explained."""
    if order.anchor.year not in YEARS or order.until.year not in YEARS:
        raise PeriodsInvalid(f"the series is not between {YEARS.start} and {YEARS.stop - 1}")
    grid = Grid(order.anchor, order.every_weeks, order.times, order.zone)
    number = (order.until - order.anchor).days // (7 * order.every_weeks) + 1
    if number < 1:
        raise SeriesEmpty(f"until {order.until}, anchor {order.anchor}")
    if number > MOST_DATES:
        raise SeriesTooLong(f"{number} dates, at most {MOST_DATES}", dates=number)
    contents = _contents(order, grid, number)
    return tuple(_planned(order, grid, index, contents.get(index), series_id, calendar) for index in range(number))


def _contents(order: SeriesOrder, grid: Grid, number: int) -> dict[int, DateContent]:
    found: dict[int, DateContent] = {}
    for content in order.dates:
        index = grid.index(content.on)
        if index is None or index >= number or index in found:
            raise DateOffGrid(f"{content.on} is no date of the grid, or is there twice", on=content.on.isoformat())
        found[index] = content
    return found


def _planned(
    order: SeriesOrder, grid: Grid, index: int, content: DateContent | None, series_id: UUID, calendar: DayCalendar
) -> Date:  # fmt: skip
    state, held_on, reason = place(grid, grid.on(index), order.policy, calendar)
    activity_id = (content and content.activity_id) or order.activity_id
    if activity_id is None and held_on is not None:
        state, held_on, reason = DateState.TO_DECIDE, None, NO_CONTENT
    return Date(
        grid_index=index,
        on=grid.on(index),
        state=state,
        held_on=held_on,
        reason=reason,
        activity_id=activity_id,
        venue_id=(content and content.venue_id) or order.venue_id,
        opens_at=content and content.opens_at,
        session_id=((content and content.session_id) or session_id_of(series_id, index)) if held_on else None,
        applied_version=1 if held_on else None,
    )


def opened(request: GenerateSeries, calendar: DayCalendar) -> Series:
    """The series that was asked for, its sessions still to be scheduled."""
    return Series(
        series_id=request.series_id,
        root_id=request.series_id,
        version=1,
        grid=Grid(request.anchor, request.every_weeks, request.times, request.zone),
        policy=request.policy,
        dates=plan(request, request.series_id, calendar),
        activity_id=request.activity_id,
        venue_id=request.venue_id,
        capacity=request.capacity,
        remote_capacity=request.remote_capacity,
        quorum=request.quorum,
    )


def session_order(series: Series, one: Date) -> ScheduleSession:
    """The request that a person would have written for this date."""
    if one.activity_id is None or one.session_id is None or one.held_on is None:
        raise ActivityRequired(f"date {one.grid_index} of series {series.series_id}", grid_index=one.grid_index)
    return ScheduleSession(
        session_id=one.session_id,
        activity_id=one.activity_id,
        venue_id=one.venue_id,
        periods=series.grid.periods(one.grid_index, one.held_on),
        capacity=series.capacity,
        remote_capacity=series.remote_capacity,
        quorum=series.quorum,
        opens_at=one.opens_at,
    )


def session_id_of(series_id: UUID, grid_index: int) -> UUID:
    """The same for the same order, so that asking twice schedules once."""
    return uuid5(series_id, str(grid_index))


# --- decisions -------------------------------------------------------------------------------------------------------------------------


def decide(series: Series, request: DecideDate) -> Date | None:
    """The date as decided; None when this very decision was taken before. One that was skipped may still be held: nobody was told of it."""
    one = series.date(request.grid_index)
    held_on = {"hold": one.on, "move": request.to, "skip": None}[request.decision]
    state = {"hold": DateState.SCHEDULED, "move": DateState.MOVED, "skip": DateState.SKIPPED}[request.decision]
    if request.decision == "move" and held_on is None:
        raise DateRequired(f"date {one.grid_index} moves to no day", grid_index=one.grid_index)
    taken_back = one.state is DateState.SKIPPED and held_on is not None
    if one.state is not DateState.TO_DECIDE and not taken_back:
        if (one.state, one.held_on, one.reason) == (state, held_on, request.reason):
            return None
        raise DateAlreadyDecided(f"date {one.grid_index} is {one.state}", grid_index=one.grid_index)
    if held_on and any(held_on in {each.on, each.held_on} for each in series.dates if each is not one and each.state in HELD):
        raise DateTaken(f"{held_on} is another date of series {series.series_id}", on=held_on.isoformat())
    decided = replace(one, state=state, held_on=held_on, reason=request.reason)
    if held_on is None:
        return decided
    activity_id = request.activity_id or one.activity_id
    if activity_id is None:
        raise ActivityRequired(f"date {one.grid_index} of series {series.series_id}", grid_index=one.grid_index)
    return replace(
        decided,
        activity_id=activity_id,
        venue_id=request.venue_id or one.venue_id,
        session_id=session_id_of(series.root_id, one.grid_index),
        applied_version=1,
    )


# --- what is said ------------------------------------------------------------------------------------------------------------------------


def overridden(one: Date, session: SessionState) -> bool:
    """Somebody changed this session by itself, or moved its date: changes of the series leave it alone (T4)."""
    return one.state is DateState.MOVED or session.version != one.applied_version


def generated(series: Series) -> SeriesGenerated:
    return SeriesGenerated(**_said(series))


def changed(series: Series) -> SeriesChanged:
    return SeriesChanged(**_said(series))


def _said(series: Series) -> dict[str, Any]:
    return {
        "version": series.version,
        "series_id": series.series_id,
        "anchor": series.grid.anchor,
        "every_weeks": series.grid.every_weeks,
        "policy": series.policy,
        "previous_series_id": series.previous_series_id,
        "next_series_id": series.next_series_id,
        "dates": tuple(fact_of(each) for each in series.dates),
    }


def fact_of(one: Date) -> SeriesDateFact:
    return SeriesDateFact(grid_index=one.grid_index, on=one.on, state=one.state, held_on=one.held_on, session_id=one.session_id)


def in_french(day: date) -> str:
    return f"{day.day}{'er' if day.day == 1 else ''} {_MONTHS[day.month - 1]} {day.year}"


def session_ids(dates: Sequence[Date]) -> list[UUID]:
    """In the order in which they are locked, so that two who lock several queue up."""
    return sorted(each.session_id for each in dates if each.session_id)

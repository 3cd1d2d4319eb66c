"""What a careful person would keep on paper of a series and its sessions: the pure rules, and a list of what they said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from services.catalog.activities import domain as activities
from services.catalog.activities.domain import Activity, Venue
from services.catalog.calendars.france import CALENDAR
from services.catalog.changes.domain import Revision, World, revise
from services.catalog.series import domain
from services.catalog.series.domain import Date, Series, overridden
from shared.contracts.catalog import CancelSession, LocalPeriod, RescheduleSession, SessionState
from shared.contracts.series import DateState, DecideDate, GenerateSeries, HolidayPolicy, SeriesChange, WallTimes
from shared.errors import Refused

PARIS = ZoneInfo("Europe/Paris")
LUNCH, EVENING = (WallTimes(start=time(12, 30), end=time(13, 30)),), (WallTimes(start=time(17, 30), end=time(18, 30)),)
NIGHT = (WallTimes(start=time(2, 30), end=time(3, 30)),)  # does not exist on 28 March 2027

policies = st.sampled_from(HolidayPolicy)
anchors = st.dates(date(2027, 3, 15), date(2027, 4, 30))
turns = st.sampled_from([(LUNCH,), (LUNCH, EVENING), (EVENING, LUNCH, NIGHT)])


places = st.integers(0, 7)
"""A place on the grid, or in the chain of linked series: drawn by number, since ids are others in each run."""

changes = st.builds(
    SeriesChange,
    series_id=st.just(UUID(int=0)),
    grid_index=st.integers(0, 7),
    scope=st.sampled_from(["this", "following", "all"]),
    times=st.none() | turns,
    shift_days=st.sampled_from([0, 0, 1, -2, 7, -14]),
    capacity=st.none() | st.integers(5, 8),
    include_overridden=st.booleans(),
    reason=st.just("Le lieu a changé ses horaires."),
)


@dataclass
class Paper:
    """Series by id, linked ones included, and the sessions of all of them."""

    activity: Activity
    venue: Venue
    now: datetime
    series: dict[UUID, Series] = field(default_factory=dict[UUID, Series])
    sessions: dict[UUID, SessionState] = field(default_factory=dict[UUID, SessionState])
    expected_on: dict[int, date] = field(default_factory=dict[int, date])
    """Where the grid has each index, kept by hand."""

    def chained(self, place: int) -> UUID:
        """One of the linked series, in the order in which they continue each other."""
        ordered = sorted((each for each in self.series.values() if each.dates), key=lambda each: each.dates[0].grid_index)
        return ordered[place % len(ordered)].series_id

    def future(self, place: int) -> SessionState | None:
        """The session of this place on the grid, if it is still to come."""
        one = next((one for series in self.series.values() for one in series.dates if one.grid_index == place), None)
        return self.sessions[one.session_id] if one and one.session_id and not self.is_past(one) else None

    def generate(self, order: GenerateSeries) -> None:
        series = domain.opened(order, CALENDAR)
        self.series[series.series_id] = series
        for one in series.dates:
            self.expected_on[one.grid_index] = order.anchor + timedelta(weeks=order.every_weeks * one.grid_index)
            if one.session_id:
                self._schedule(series, one)

    def change(self, change: SeriesChange) -> Revision:
        series = self.series[change.series_id]
        world = World(self.sessions, {self.venue.sheet.venue_id: self.venue}, CALENDAR, now=self.now)
        revision = revise(series, change, world)
        if change.scope != "this":
            for one in series.dates:
                if (change.scope == "all" or one.grid_index >= change.grid_index) and not self.is_past(one):
                    self.expected_on[one.grid_index] += timedelta(days=change.shift_days)
        for fact in revision.facts.values():
            assert fact.version == self.sessions[fact.session_id].version + 1
            self.sessions[fact.session_id] = fact.session
        self.series[series.series_id] = revision.after
        if opened := revision.opened:
            self.series[opened.series_id] = opened
            if opened.next_series_id:
                pushed = self.series[opened.next_series_id]
                self.series[pushed.series_id] = replace(pushed, previous_series_id=opened.series_id, version=pushed.version + 1)
        return revision

    def decide(self, order: DecideDate) -> None:
        series = self.series[order.series_id]
        if decided := domain.decide(series, order):
            after = replace(series, version=series.version + 1).with_date(decided)
            if decided.session_id:
                self._schedule(after, decided)
            self.series[series.series_id] = after

    def reschedule(self, order: RescheduleSession) -> None:
        fact = activities.reschedule(self.sessions[order.session_id], order, self.venue, now=self.now, past_allowed=False)
        self.sessions[order.session_id] = fact.session

    def cancel(self, order: CancelSession) -> None:
        if fact := activities.cancel(self.sessions[order.session_id], order.reason):
            self.sessions[order.session_id] = fact.session

    def is_past(self, one: Date) -> bool:
        if one.session_id:
            return self.sessions[one.session_id].starts_at <= self.now
        return one.on < self.now.astimezone(PARIS).date()

    def begun(self) -> dict[UUID, SessionState]:
        return {session_id: session for session_id, session in self.sessions.items() if session.starts_at <= self.now}

    def overridden(self, series_id: UUID) -> dict[UUID, SessionState]:
        found = [(one, self.sessions[one.session_id]) for one in self.series[series_id].dates if one.session_id]
        return {session.session_id: session for one, session in found if overridden(one, session)}

    def check(self) -> None:
        """What holds after every step, whatever the order (T2, T4)."""
        dates = [(series, one) for series in self.series.values() for one in series.dates]
        assert sorted(one.grid_index for _, one in dates) == list(range(len(self.expected_on)))  # linked series cover the grid once
        held = [one.session_id for _, one in dates if one.session_id]
        assert len(held) == len(set(held)) == len(self.sessions)  # a session of one date, a date of one session
        assert {one.grid_index: one.on for _, one in dates} == self.expected_on
        for series, one in dates:
            assert (one.state in domain.HELD) == (one.session_id is not None) == (one.held_on is not None)
            assert one.state is DateState.SCHEDULED or one.reason
            assert one.state is not DateState.SCHEDULED or one.held_on == one.on
            if one.state is DateState.SCHEDULED and not self.is_past(one):
                assert one.on == series.grid.on(one.grid_index)  # the grid is kept
        for series in self.series.values():
            previous = self.series[series.previous_series_id] if series.previous_series_id else None
            assert previous is None or previous.next_series_id == series.series_id
            assert (previous is None) == (series.series_id == series.root_id)

    def _schedule(self, series: Series, one: Date) -> None:
        order = domain.session_order(series, one)
        fact = activities.schedule(order, self.activity, self.venue, now=self.now, past_allowed=False)
        self.sessions[fact.session_id] = fact.session


def code_of(action: Callable[[], Any]) -> str | None:
    """The refusal that it met."""
    try:
        action()
    except Refused as refusal:
        return refusal.code
    return None


def later(session: SessionState, days: int) -> tuple[LocalPeriod, ...]:
    by = timedelta(days=days)
    return tuple(
        each.model_copy(update={"local_start": each.local_start + by, "local_end": each.local_end + by}) for each in session.periods
    )

"""Rules of changing a series (T4): which sessions a change touches, what becomes of each, and what stays as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from services.catalog.activities.domain import NothingChanged, QuorumTooHigh, SessionInPast, SessionIsCancelled, Venue, reschedule, to_local
from services.catalog.calendars.domain import DayCalendar
from services.catalog.series.domain import Date, Series, in_french, overridden, place
from shared.contracts.catalog import LocalPeriod, RescheduleSession, SessionRescheduled, SessionState
from shared.contracts.series import ChangeSeries, DateState, SeriesChange, SeriesPreview, SessionKept
from shared.errors import Refused

Why = Literal["past", "cancelled", "overridden", "public_holiday", "unchanged"]


class DateNotHeld(Refused):
    code, title = "date_not_held", "Cette date n'a pas lieu : il n'y a pas de séance à changer."


class NothingToChange(Refused):
    code, title = "nothing_to_change", "Cette modification ne change rien à la série."


class PreviewOutdated(Refused):
    code, status, title = "preview_outdated", 412, "La série a changé depuis l'aperçu : regardez le nouvel aperçu avant de confirmer."


@dataclass(slots=True)
class Revision:
    """What a change makes of a series. `opened` continues it, when the dates that follow go there."""

    before: Series
    after: Series
    sessions: Mapping[UUID, SessionState]
    """As they were."""
    opened: Series | None = None
    facts: dict[int, SessionRescheduled] = field(default_factory=dict[int, SessionRescheduled])
    """By grid index, in order."""
    kept: list[SessionKept] = field(default_factory=list[SessionKept])


@dataclass(frozen=True, slots=True)
class World:
    """What a change is judged by: locked for a change, only read for a preview."""

    sessions: Mapping[UUID, SessionState]
    venues: Mapping[UUID, Venue]
    calendar: DayCalendar
    now: datetime
    past_allowed: bool = False
    """Whether a session may be moved into the past, as an import does."""

    def session_of(self, one: Date) -> SessionState | None:
        return self.sessions.get(one.session_id) if one.session_id else None


def revise(series: Series, change: SeriesChange, world: World) -> Revision:
    """What the change makes of the series and of its sessions."""
    if change.scope == "this":
        one = series.date(change.grid_index)
        revision = Revision(series, series, world.sessions)
        return _settled(revision, series, {one.grid_index: _change_alone(revision, one, change, world)}, split=False)
    target = _described(series, change)
    first = 0 if change.scope == "all" else series.date(change.grid_index).grid_index
    chosen = [each for each in series.dates if each.grid_index >= first]
    split = len(chosen) < len(series.dates)  # from the first date on, « cette date et les suivantes » is all of it, and closes nothing
    revision = Revision(series, series if split else target, world.sessions)
    touched = {each.grid_index: _change_along(revision, target, each, change, world) for each in chosen}
    return _settled(revision, target, touched, split=split)


def _described(series: Series, change: SeriesChange) -> Series:
    """The series as it describes itself afterwards; its dates are another matter."""
    capacity = change.capacity or series.capacity
    remote_capacity = change.remote_capacity or series.remote_capacity
    if series.quorum and series.quorum > capacity + (remote_capacity or 0):
        raise QuorumTooHigh(f"quorum {series.quorum}, capacity {capacity}, {remote_capacity or 0} at a distance")
    grid = replace(series.grid, anchor=series.grid.anchor + timedelta(days=change.shift_days), times=change.times or series.grid.times)
    venue_id = change.venue_id or series.venue_id
    return replace(series, grid=grid, venue_id=venue_id, capacity=capacity, remote_capacity=remote_capacity)


def _change_alone(revision: Revision, one: Date, change: SeriesChange, world: World) -> Date:
    """One session becomes an exception: later changes of the series leave it alone, since its version is no longer the series' own."""
    session = world.session_of(one)
    if session is None:
        raise DateNotHeld(f"date {one.grid_index} is {one.state}", grid_index=one.grid_index)
    if session.status == "cancelled":
        raise SessionIsCancelled(f"session {session.session_id} was cancelled")
    if session.starts_at <= world.now:
        raise SessionInPast(f"session {session.session_id} has begun", starts_at=session.starts_at.isoformat())
    day = session.periods[0].local_start.date() + timedelta(days=change.shift_days)
    periods = None
    if change.times:
        periods = replace(revision.before.grid, times=change.times).periods(0, day)
    elif change.shift_days:
        periods = tuple(_shifted(each, change.shift_days) for each in session.periods)
    try:
        revision.facts[one.grid_index] = _reschedule(session, change, periods, world)
    except NothingChanged as same:
        raise NothingToChange(same.detail) from same
    moved = replace(one, state=DateState.MOVED, held_on=day, reason=change.reason) if change.shift_days else one
    return replace(moved, venue_id=change.venue_id or one.venue_id)


def _change_along(revision: Revision, target: Series, one: Date, change: SeriesChange, world: World) -> Date:
    """One of many. What is past keeps its place on the old grid; what is not held moves with the grid, and stays what it is."""
    session = world.session_of(one)
    on = one.on + timedelta(days=change.shift_days)
    if session is None:
        if one.on < to_local(world.now, ZoneInfo(target.grid.zone)).date():
            return one
        return replace(one, on=on, venue_id=change.venue_id or one.venue_id)
    if why := _why_left_alone(one, session, change, world.now):
        revision.kept.append(SessionKept(grid_index=one.grid_index, session_id=session.session_id, why=why))
        return one if why == "past" else _off_the_grid(replace(one, on=on), change)
    state, day, reason = one.state, one.held_on, one.reason
    periods = None
    if change.shift_days or (change.times and one.state is DateState.MOVED):
        state, day, reason = place(target.grid, on, target.policy, world.calendar)
        if day is None:  # nobody is cancelled because a grid moved: the session stays where it is, and the preview says why
            kept = SessionKept(grid_index=one.grid_index, session_id=session.session_id, why="public_holiday")
            revision.kept.append(kept)
            return replace(one, on=on, state=DateState.MOVED, reason=f"{reason} : maintenue au {in_french(one.held_on or one.on)}")
    if day and (change.shift_days or change.times):
        periods = target.grid.periods(one.grid_index, day)
    after = replace(one, on=on, state=state, held_on=day, reason=reason, venue_id=change.venue_id or one.venue_id)
    try:
        fact = _reschedule(session, change, periods, world)
    except NothingChanged:
        revision.kept.append(SessionKept(grid_index=one.grid_index, session_id=session.session_id, why="unchanged"))
        return after
    revision.facts[one.grid_index] = fact
    return replace(after, applied_version=fact.version)


def _why_left_alone(one: Date, session: SessionState, change: SeriesChange, now: datetime) -> Why | None:
    if session.starts_at <= now:
        return "past"
    if session.status == "cancelled":
        return "cancelled"
    return "overridden" if overridden(one, session) and not change.include_overridden else None


def _off_the_grid(one: Date, change: SeriesChange) -> Date:
    """A session that stays while the grid under it moves is an exception from then on, and says so."""
    if not change.shift_days or one.state is not DateState.SCHEDULED:
        return one
    return replace(one, state=DateState.MOVED, reason=f"Maintenue hors de la nouvelle grille : {change.reason}")


def _reschedule(
    session: SessionState, change: SeriesChange, periods: tuple[LocalPeriod, ...] | None, world: World
) -> SessionRescheduled:  # fmt: skip
    venue_id = change.venue_id or (session.venue.venue_id if session.venue else None)
    order = RescheduleSession(
        session_id=session.session_id,
        periods=periods,
        venue_id=change.venue_id,
        capacity=change.capacity,
        remote_capacity=change.remote_capacity,
        reason=change.reason,
    )
    venue = world.venues[venue_id] if venue_id else None
    return reschedule(session, order, venue, now=world.now, past_allowed=world.past_allowed)


def _settled(revision: Revision, target: Series, touched: Mapping[int, Date], *, split: bool) -> Revision:
    """Put the dates where they belong: in the same series, or in the one that continues it."""
    before = revision.before
    nothing = not revision.facts and all(touched[each.grid_index] == each for each in before.dates if each.grid_index in touched)
    if nothing and (split or revision.after == before):
        raise NothingToChange(f"series {before.series_id} is so already")
    if not split:
        dates = tuple(touched.get(each.grid_index, each) for each in before.dates)
        revision.after = replace(revision.after, version=before.version + 1, dates=dates)
        return revision
    first = min(touched)
    opened_id = uuid5(before.series_id, f"from {first} after {before.version}")
    left = tuple(each for each in before.dates if each.grid_index < first)
    revision.after = replace(before, version=before.version + 1, dates=left, next_series_id=opened_id)
    # What continued the old one continues the new one: linked series form a chain, each continued once.
    revision.opened = replace(
        target,
        series_id=opened_id,
        version=1,
        dates=tuple(touched.values()),
        previous_series_id=before.series_id,
        next_series_id=before.next_series_id,
        last_change=None,
    )
    return revision


def fingerprint(series: Series, change: SeriesChange, preview: SeriesPreview) -> str:
    """What somebody agreed to: the change, the series as it was, each session before and after, each clash. Counters are left out.

    A popular session takes bookings all day: were they part of it, no preview would live long enough to be read.
    """
    asked = SeriesChange.model_validate(change.model_dump())
    without_counters = [
        each.model_copy(update={"held": 0, "waiting": 0, "mails": 0}).model_dump_json() for each in preview.changed
    ]  # fmt: skip
    parts = (str(series.version), asked.model_dump_json(), *without_counters, *(each.model_dump_json() for each in preview.kept))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def check_fingerprint(change: ChangeSeries, preview: SeriesPreview) -> None:
    if change.fingerprint != preview.fingerprint:
        raise PreviewOutdated(f"series {change.series_id} is not what the preview showed")


def _shifted(period: LocalPeriod, by: int) -> LocalPeriod:
    days = timedelta(days=by)
    return LocalPeriod(local_start=period.local_start + days, local_end=period.local_end + days, zone=period.zone)

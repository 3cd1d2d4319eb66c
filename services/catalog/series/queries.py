"""Reads of series: the rows as the rules take them, what a reader is shown, and which sessions want the same place or people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import queries as activities
from services.catalog.activities.domain import derive
from services.catalog.calendars.domain import DayCalendar
from services.catalog.series.domain import Date, Grid, Series, SeriesUnknown, overridden
from shared.contracts.catalog import Period, SessionState
from shared.contracts.series import DateState, DateWarning, SeriesDate, SeriesState, WarningCode

_READ_SERIES = text(
    """
    select cast(json_build_object(
        'series_id', series.series_id, 'root_id', series.root_id, 'version', series.version,
        'grid', json_build_object(
            'anchor', series.anchor, 'every_weeks', series.every_weeks, 'times', series.times, 'zone', series.zone
        ),
        'policy', series.policy, 'activity_id', series.activity_id, 'venue_id', series.venue_id, 'capacity', series.capacity,
        'remote_capacity', series.remote_capacity, 'quorum', series.quorum, 'last_change', series.last_change,
        'previous_series_id', series.previous_series_id,
        'next_series_id', (select next.series_id from series next where next.previous_series_id = series.series_id),
        'dates', coalesce((
            select json_agg(json_build_object(
                'grid_index', grid_index, 'on', on_date, 'state', state, 'held_on', held_on, 'reason', reason, 'activity_id', activity_id,
                'venue_id', venue_id, 'opens_at', opens_at, 'session_id', session_id,
                'applied_version', applied_version
            ) order by grid_index)
            from series_date where series_date.series_id = series.series_id
        ), '[]')
    ) as text)
    from series where series.series_id = :series_id
    """
)
_SERIES = TypeAdapter(Series)

# The others that take place meanwhile in the same venue, with the same speaker or host; `place` is a session's place in what was asked.
_CLASHES = text(
    """
    select asked.place, other.session_id,
           case when other.venue_id = asked.venue_id then 'venue_taken'
                when bool_or(speakers.shared) then 'speaker_taken'
                else 'host_taken' end as code
    from unnest(cast(:places as int[]), cast(:activity_ids as uuid[]), cast(:venue_ids as uuid[]),
                cast(:starts_at as timestamptz[]), cast(:ends_at as timestamptz[]))
             as asked(place, activity_id, venue_id, starts_at, ends_at)
         join activity mine on mine.activity_id = asked.activity_id
         join period on period.starts_at < asked.ends_at and period.ends_at > asked.starts_at
         join session other on other.session_id = period.session_id and other.status = 'scheduled'
         join activity theirs on theirs.activity_id = other.activity_id
         cross join lateral (
             select coalesce(mine.details -> 'speakers' ?| array(select jsonb_array_elements_text(theirs.details -> 'speakers')), false)
                    as shared
         ) as speakers
    where not other.session_id = any(cast(:besides as uuid[]))
      and (other.venue_id = asked.venue_id or theirs.host_id = mine.host_id or speakers.shared)
    group by asked.place, other.session_id, other.venue_id, asked.venue_id
    order by asked.place, other.session_id
    """
)


TAKEN = {
    WarningCode.VENUE_TAKEN: "Le lieu accueille déjà une autre séance à cette heure.",
    WarningCode.SPEAKER_TAKEN: "La personne qui intervient semble annoncée dans une autre séance à cette heure.",
    WarningCode.HOST_TAKEN: "La structure qui intervient a déjà une autre séance à cette heure.",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """A place and a time that a session is to have."""

    activity_id: UUID | None
    venue_id: UUID | None
    periods: Sequence[Period]


async def read_series(connection: AsyncConnection, series_id: UUID) -> Series | None:
    found = await connection.scalar(_READ_SERIES, {"series_id": series_id})
    return _SERIES.validate_json(found) if found else None


async def read_sessions(connection: AsyncConnection, dates: Iterable[Date]) -> dict[UUID, SessionState]:
    sessions = [await activities.read_session(connection, each.session_id) for each in dates if each.session_id]
    return {session.session_id: session for session in sessions if session}


async def clashes(connection: AsyncConnection, wishes: Sequence[Wish], besides: Iterable[UUID]) -> list[tuple[DateWarning, ...]]:
    """For each wish, the sessions that it would meet. `besides`: those that are to move themselves."""
    rows = [(place, wish, period) for place, wish in enumerate(wishes) for period in wish.periods]
    starts: list[datetime] = [period.starts_at for _, _, period in rows]
    found = await connection.execute(
        _CLASHES,
        {
            "places": [place for place, _, _ in rows],
            "activity_ids": [wish.activity_id for _, wish, _ in rows],
            "venue_ids": [wish.venue_id for _, wish, _ in rows],
            "starts_at": starts,
            "ends_at": [period.ends_at for _, _, period in rows],
            "besides": list(besides),
        },
    )
    warnings: list[list[DateWarning]] = [[] for _ in wishes]
    for place, session_id, code in found:
        taken = WarningCode(code)
        warnings[place].append(DateWarning(code=taken, title=TAKEN[taken], session_id=session_id))
    return [tuple(each) for each in warnings]


async def read_state(connection: AsyncConnection, series_id: UUID, calendar: DayCalendar) -> SeriesState:
    """The series as a reader is shown it."""
    if (series := await read_series(connection, series_id)) is None:
        raise SeriesUnknown(f"no series {series_id}")
    return state_of(series, await read_sessions(connection, series.dates), calendar)


def day_warnings(periods: Sequence[Period], calendar: DayCalendar) -> tuple[DateWarning, ...]:
    """What there is to know of the day, and a clock change that moved a time (T1, T3)."""
    first = periods[0].local_start.date()
    found = calendar.warnings(first)
    if holiday := calendar.public_holiday(first):
        found += (DateWarning(code=WarningCode.PUBLIC_HOLIDAY, title=f"Jour férié : {holiday}"),)
    if any(period.moved_forward for period in periods):
        title = "Cette heure n'existe pas ce jour-là (passage à l'heure d'été) : elle est avancée d'une heure."
        found += (DateWarning(code=WarningCode.MOVED_FORWARD, title=title),)
    return found


def shown(grid: Grid, one: Date, session: SessionState | None, calendar: DayCalendar) -> SeriesDate:
    """A date for whoever reads the series: where its session really is, and what there is to know of that day."""
    state, held_on, periods = one.state, one.held_on, ()
    if session is not None:
        periods, really_on = session.periods, session.periods[0].local_start.date()
        state, held_on = (state if really_on == held_on else DateState.MOVED), really_on
    elif held_on is not None:
        periods = derive(grid.periods(one.grid_index, held_on))
    return SeriesDate(
        grid_index=one.grid_index,
        on=one.on,
        state=state,
        held_on=held_on,
        reason=one.reason,
        periods=periods,
        warnings=day_warnings(periods, calendar) if periods else (),
        activity_id=one.activity_id,
        session_id=one.session_id,
        session_version=session.version if session else None,
        session_status=session.status if session else None,
        overridden=session is not None and overridden(one, session),
    )


def state_of(series: Series, sessions: Mapping[UUID, SessionState], calendar: DayCalendar) -> SeriesState:
    grid = series.grid
    return SeriesState(
        series_id=series.series_id,
        version=series.version,
        anchor=grid.anchor,
        every_weeks=grid.every_weeks,
        times=grid.times,
        zone=grid.zone,
        policy=series.policy,
        activity_id=series.activity_id,
        venue_id=series.venue_id,
        capacity=series.capacity,
        remote_capacity=series.remote_capacity,
        quorum=series.quorum,
        previous_series_id=series.previous_series_id,
        next_series_id=series.next_series_id,
        dates=tuple(shown(grid, each, sessions.get(each.session_id) if each.session_id else None, calendar) for each in series.dates),
    )

"""The only SQL that writes series and their dates, and what the rules read under the lock."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import store as activities
from services.catalog.series import queries
from services.catalog.series.domain import Date, Series
from shared.contracts.catalog import SessionState
from shared.contracts.series import GenerateSeries, WallTimes

_TIMES: TypeAdapter[tuple[tuple[WallTimes, ...], ...]] = TypeAdapter(tuple[tuple[WallTimes, ...], ...])

_INSERT_SERIES = text(
    """
    insert into series (series_id, root_id, previous_series_id, version, anchor, every_weeks, times, zone, policy, activity_id, venue_id,
                        capacity, remote_capacity, quorum, last_change, asked)
    values (:series_id, :root_id, :previous_series_id, :version, :anchor, :every_weeks, cast(:times as jsonb), :zone, :policy, :activity_id,
            :venue_id, :capacity, :remote_capacity, :quorum, :last_change,
            coalesce(cast(:asked as jsonb), (select asked from series where series_id = :root_id)))
    on conflict (series_id) do nothing returning 1
    """
)

_READ_ASKED = text("select cast(asked as text) from series where series_id = :series_id")

_LOCK_SERIES = text("select 1 from series where series_id = :series_id for update")

_CHANGE_SERIES = text(
    """
    update series set version = :version, anchor = :anchor, times = cast(:times as jsonb), venue_id = :venue_id, capacity = :capacity,
                      remote_capacity = :remote_capacity, last_change = :last_change
    where series_id = :series_id
    """
)

_INSERT_DATE = text(
    """
    insert into series_date (series_id, root_id, grid_index, on_date, state, held_on, reason, activity_id, venue_id, opens_at,
                             session_id, applied_version)
    values (:series_id, :root_id, :grid_index, :on, :state, :held_on, :reason, :activity_id, :venue_id, :opens_at, :session_id,
            :applied_version)
    """
)

_CHANGE_DATE = text(
    """
    update series_date set on_date = :on, state = :state, held_on = :held_on, reason = :reason, activity_id = :activity_id,
                           venue_id = :venue_id, session_id = :session_id, applied_version = :applied_version
    where series_id = :series_id and grid_index = :grid_index
    """
)

_HAND_OVER = text("update series_date set series_id = :after where series_id = :before and grid_index >= :grid_index")

_CONTINUE = text("update series set previous_series_id = :previous_series_id, version = :version where series_id = :series_id")

_IN_A_SERIES = text("select session_id from series_date where session_id = any(:session_ids) limit 1")


async def insert_series(tx: AsyncConnection, series: Series, asked: GenerateSeries | None = None) -> bool:
    """False when the id is taken. Its dates follow, once their sessions are there. One that continues another has no request of its own."""
    values = _values(series) | {"asked": asked.model_dump_json() if asked else None}
    return await tx.scalar(_INSERT_SERIES, values) is not None


async def read_asked(tx: AsyncConnection, series_id: UUID) -> GenerateSeries | None:
    """The request that made this series."""
    asked = await tx.scalar(_READ_ASKED, {"series_id": series_id})
    return GenerateSeries.model_validate_json(asked) if asked else None


async def lock_series(tx: AsyncConnection, series_id: UUID) -> Series | None:
    """Two statements on purpose: after waiting for the lock, a single one would see the dates of before."""
    if await tx.scalar(_LOCK_SERIES, {"series_id": series_id}) is None:
        return None
    return await queries.read_series(tx, series_id)


async def lock_sessions(tx: AsyncConnection, session_ids: Iterable[UUID]) -> dict[UUID, SessionState]:
    """One after the other in the order of ids, so that two who lock several queue up instead of embracing."""
    locked: dict[UUID, SessionState] = {}
    for session_id in sorted(session_ids):
        if session := await activities.lock_session(tx, session_id):
            locked[session_id] = session
    return locked


async def one_in_a_series(tx: AsyncConnection, session_ids: Iterable[UUID]) -> UUID | None:
    """A session of these that is in a series already."""
    return await tx.scalar(_IN_A_SERIES, {"session_ids": list(session_ids)})


async def insert_dates(tx: AsyncConnection, series: Series) -> None:
    if series.dates:
        await tx.execute(_INSERT_DATE, [_date_values(series, each) for each in series.dates])


async def change_series(tx: AsyncConnection, before: Series, after: Series) -> None:
    """The series, and those of its dates that are others now."""
    await tx.execute(_CHANGE_SERIES, _values(after))
    if touched := [_date_values(after, each) for each in after.dates if each not in before.dates]:
        await tx.execute(_CHANGE_DATE, touched)


async def hand_over(tx: AsyncConnection, before: Series, after: Series) -> None:
    """The dates from the first one of `after` on are its own from now on."""
    await tx.execute(_HAND_OVER, {"before": before.series_id, "after": after.series_id, "grid_index": after.dates[0].grid_index})
    if touched := [_date_values(after, each) for each in after.dates if each not in before.dates]:
        await tx.execute(_CHANGE_DATE, touched)


async def continue_another(tx: AsyncConnection, series: Series) -> None:
    """A series that stood between it and the one that it continued is there now."""
    await tx.execute(_CONTINUE, _values(series))


def _values(series: Series) -> dict[str, object]:
    return {
        "series_id": series.series_id,
        "root_id": series.root_id,
        "previous_series_id": series.previous_series_id,
        "version": series.version,
        "anchor": series.grid.anchor,
        "every_weeks": series.grid.every_weeks,
        "times": _TIMES.dump_json(series.grid.times).decode(),
        "zone": series.grid.zone,
        "policy": series.policy,
        "activity_id": series.activity_id,
        "venue_id": series.venue_id,
        "capacity": series.capacity,
        "remote_capacity": series.remote_capacity,
        "quorum": series.quorum,
        "last_change": series.last_change,
    }


def _date_values(series: Series, one: Date) -> dict[str, object]:
    return {
        "series_id": series.series_id,
        "root_id": series.root_id,
        "grid_index": one.grid_index,
        "on": one.on,
        "state": one.state,
        "held_on": one.held_on,
        "reason": one.reason,
        "activity_id": one.activity_id,
        "venue_id": one.venue_id,
        "opens_at": one.opens_at,
        "session_id": one.session_id,
        "applied_version": one.applied_version,
    }

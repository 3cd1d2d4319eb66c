"""A change of a series is looked at, then made. Who makes it locks the series, then its sessions, and must see what the preview saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities.domain import may_record_past
from services.catalog.calendars.france import CALENDAR
from services.catalog.changes import domain, queries, store
from services.catalog.changes.domain import Revision, World
from services.catalog.series import queries as series_queries
from services.catalog.series import store as series_store
from services.catalog.series.domain import Series, SeriesUnknown, changed, check_is_lab, generated
from shared import clock, outbox
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import SessionState
from shared.contracts.messages import Event
from shared.contracts.series import ChangeSeries, PreviewSeriesChange, SeriesChange, SeriesPreview, SeriesState
from shared.database import Database
from shared.requests import Requests

requests = Requests()
events = Consumers()


@requests.query(PreviewSeriesChange)
async def preview_series_change(request: PreviewSeriesChange, caller: Caller, database: Database) -> SeriesPreview:
    check_is_lab(caller.roles)
    async with database.connect() as connection:
        if (series := await series_queries.read_series(connection, request.series_id)) is None:
            raise SeriesUnknown(f"no series {request.series_id}")
        sessions = await series_queries.read_sessions(connection, series.dates)
        revision = await _revise(connection, series, sessions, request, caller)
        return await queries.preview(connection, revision, request, CALENDAR)


@requests.command(ChangeSeries)
async def change_series(request: ChangeSeries, caller: Caller, tx: AsyncConnection) -> SeriesState:
    check_is_lab(caller.roles)
    if (before := await series_store.lock_series(tx, request.series_id)) is None:
        raise SeriesUnknown(f"no series {request.series_id}")
    if before.last_change == request.fingerprint:  # the same order again, its answer lost
        opened = before.next_series_id if all(each.grid_index < request.grid_index for each in before.dates) else None
        answered = opened if opened and request.scope == "following" else before.series_id
        return await series_queries.read_state(tx, answered, CALENDAR)
    sessions = await series_store.lock_sessions(tx, (each.session_id for each in before.dates if each.session_id))
    revision = await _revise(tx, before, sessions, request, caller)
    domain.check_fingerprint(request, await queries.preview(tx, revision, request, CALENDAR))
    revision.after = replace(revision.after, last_change=request.fingerprint)
    await store.write(tx, revision)
    told: list[Event] = [*revision.facts.values(), changed(revision.after)]
    if revision.opened:
        told.append(generated(revision.opened))
        if pushed := await _push_on(tx, revision.opened):
            told.append(changed(pushed))
    await outbox.record(tx, *told, cause=caller)
    return await series_queries.read_state(tx, (revision.opened or revision.after).series_id, CALENDAR)


@events.newest("catalog-availability", SessionAvailabilityChanged)
async def follow_seats(batch: Sequence[Received[SessionAvailabilityChanged]], tx: AsyncConnection) -> None:
    """How many hold a seat and wait, so that a preview can say whom a change concerns."""
    await store.tell_seats(tx, [each.event for each in batch])


async def _revise(
    connection: AsyncConnection, series: Series, sessions: Mapping[UUID, SessionState], change: SeriesChange, caller: Caller
) -> Revision:
    venues = await queries.read_venues(connection, sessions.values(), change)
    world = World(sessions, venues, CALENDAR, now=clock.now(), past_allowed=may_record_past(caller.roles))
    return domain.revise(series, change, world)


async def _push_on(tx: AsyncConnection, opened: Series) -> Series | None:
    """The series that continued the old one continues the one that was put between them."""
    if opened.next_series_id is None or (following := await series_store.lock_series(tx, opened.next_series_id)) is None:
        return None
    pushed = replace(following, previous_series_id=opened.series_id, version=following.version + 1)
    await series_store.continue_another(tx, pushed)
    return pushed

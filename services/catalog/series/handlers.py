"""What is asked of series: look at a plan, make it, decide a date. Who makes or decides locks the series first, then its sessions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import store as activities
from services.catalog.activities.domain import Activity, ActivityUnknown, SessionExists, VenueUnknown, may_record_past, schedule
from services.catalog.calendars.france import CALENDAR
from services.catalog.series import domain, queries, store
from services.catalog.series.domain import Date, Series, SeriesExists, SeriesUnknown
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.catalog import ScheduleSession, SessionScheduled
from shared.contracts.series import DecideDate, GenerateSeries, GetSeries, PlanSeries, SeriesOrder, SeriesPlan, SeriesState
from shared.database import Database
from shared.errors import Refused
from shared.requests import Requests

requests = Requests()

NOT_YET = UUID(int=0)  # a plan has no series


@requests.query(PlanSeries)
async def plan_series(request: PlanSeries, caller: Caller, database: Database) -> SeriesPlan:
    domain.check_is_lab(caller.roles)
    dates = domain.plan(request, NOT_YET, CALENDAR)
    grid = domain.Grid(request.anchor, request.every_weeks, request.times, request.zone)
    shown = [queries.shown(grid, each, None, CALENDAR) for each in dates]
    async with database.connect() as connection:
        await _must_exist(connection, request, dates)
        wishes = [queries.Wish(one.activity_id, one.venue_id, each.periods) for one, each in zip(dates, shown, strict=True)]
        met = await queries.clashes(connection, wishes, besides=())
    return SeriesPlan(
        dates=tuple(
            each.model_copy(update={"warnings": each.warnings + others, "session_id": None})
            for each, others in zip(shown, met, strict=True)
        )
    )


@requests.command(GenerateSeries)
async def generate_series(request: GenerateSeries, caller: Caller, tx: AsyncConnection) -> SeriesState:
    """All or none: a date whose session is refused refuses the series, and says which date it was."""
    domain.check_is_lab(caller.roles)
    series = domain.opened(request, CALENDAR)
    await _must_exist(tx, request, series.dates)
    if not await store.insert_series(tx, series, request):
        if await store.read_asked(tx, request.series_id) != request:
            raise SeriesExists(f"series {request.series_id} was asked for with another content")
        return await queries.read_state(tx, request.series_id, CALENDAR)
    if taken := await store.one_in_a_series(tx, domain.session_ids(series.dates)):
        raise SessionExists(f"session {taken} is in another series")
    facts = await _schedule(tx, series, [each for each in series.dates if each.session_id], caller)
    await store.insert_dates(tx, series)
    await outbox.record(tx, *facts, domain.generated(series), cause=caller)
    return await queries.read_state(tx, request.series_id, CALENDAR)


@requests.command(DecideDate)
async def decide_date(request: DecideDate, caller: Caller, tx: AsyncConnection) -> SeriesState:
    domain.check_is_lab(caller.roles)
    if (before := await store.lock_series(tx, request.series_id)) is None:
        raise SeriesUnknown(f"no series {request.series_id}")
    if decided := domain.decide(before, request):
        after = replace(before, version=before.version + 1).with_date(decided)
        facts = await _schedule(tx, after, [decided] if decided.session_id else [], caller)
        await store.change_series(tx, before, after)
        await outbox.record(tx, *facts, domain.changed(after), cause=caller)
    return await queries.read_state(tx, request.series_id, CALENDAR)


@requests.query(GetSeries)
async def get_series(request: GetSeries, caller: Caller, database: Database) -> SeriesState:
    domain.check_is_lab(caller.roles)
    async with database.connect() as connection:
        return await queries.read_state(connection, request.series_id, CALENDAR)


async def _schedule(tx: AsyncConnection, series: Series, dates: Sequence[Date], caller: Caller) -> list[SessionScheduled]:
    """The sessions of these dates, by the rules of any other session.

    One that was asked for by itself in the same words joins the series as it is: a programme of before series is taken over, not refused.
    """
    # Locked in one order by all who lock several.
    known = {activity_id: await activities.lock_activity(tx, activity_id) for activity_id in sorted(_activity_ids(dates))}
    facts: list[SessionScheduled] = []
    for one in dates:
        order = domain.session_order(series, one)
        try:
            if await activities.read_asked(tx, order.session_id) != order:
                fact = await _schedule_one(tx, order, known[order.activity_id], caller)
                facts.append(fact.model_copy(update={"session": fact.session.model_copy(update={"series_id": series.root_id})}))
        except Refused as refusal:
            refusal.members["on"] = one.on.isoformat()
            raise
    return facts


async def _schedule_one(tx: AsyncConnection, order: ScheduleSession, activity: Activity | None, caller: Caller) -> SessionScheduled:
    venue = await activities.venue_for_rules(tx, order.venue_id) if order.venue_id else None
    if activity is None:
        raise ActivityUnknown(f"no activity {order.activity_id}")
    if order.venue_id and venue is None:
        raise VenueUnknown(f"no venue {order.venue_id}")
    fact = schedule(order, activity, venue, now=clock.now(), past_allowed=may_record_past(caller.roles))
    if not await activities.insert_session(tx, order, fact.session):
        raise SessionExists(f"session {order.session_id} was asked for with another content")
    return fact


def _activity_ids(dates: Sequence[Date]) -> set[UUID]:
    return {each.activity_id for each in dates if each.activity_id}


async def _must_exist(connection: AsyncConnection, order: SeriesOrder, dates: Sequence[Date]) -> None:
    for venue_id in {order.venue_id, *(each.venue_id for each in dates)}:
        if venue_id and await activities.read_venue(connection, venue_id) is None:
            raise VenueUnknown(f"no venue {venue_id}")
    for activity_id in {order.activity_id, *_activity_ids(dates)}:
        if activity_id and not await activities.activity_exists(connection, activity_id):
            raise ActivityUnknown(f"no activity {activity_id}")

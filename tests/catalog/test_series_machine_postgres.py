"""The same against PostgreSQL: after each step the rows are those that the pure rules foresee, and the refusals too (T2, T4)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from services.catalog.activities import store
from services.catalog.activities.handlers import cancel_session, reschedule_session
from services.catalog.calendars.france import CALENDAR
from services.catalog.changes.handlers import change_series, preview_series_change
from services.catalog.series import queries
from services.catalog.series.handlers import decide_date, generate_series
from shared.contracts.catalog import CancelSession, RescheduleSession
from shared.contracts.series import ChangeSeries, DecideDate, GenerateSeries, HolidayPolicy, PreviewSeriesChange, SeriesChange
from shared.database import Database
from shared.errors import Refused
from shared.outbox import uuid7
from shared.settings import Settings
from tests.catalog.givens import LAB_TEAM, given_activity, given_venue, shift_to
from tests.catalog.paper import Paper, anchors, changes, code_of, later, places, policies, turns

DECISIONS: st.SearchStrategy[Any] = st.sampled_from(["hold", "move", "skip"])


class SeriesInPostgres(RuleBasedStateMachine):
    """Every example has a series and a venue of its own in the test's database."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]

    @initialize(anchor=anchors, weeks=st.integers(1, 3), times=turns, policy=policies)
    def generate(self, anchor: date, weeks: int, times: Any, policy: HolidayPolicy) -> None:
        self._move_to(datetime.combine(anchor, time(8), UTC) - timedelta(days=2))
        order = self.runner.run(self._given(anchor, weeks, times, policy))
        self.there = code_of(lambda: self.paper.generate(order)) is None
        assert (self._code(generate_series, order) is None) == self.there

    @rule(change=changes, place=places)
    def change(self, change: SeriesChange, place: int) -> None:
        if not self.there:
            return
        change = change.model_copy(update={"series_id": self.paper.chained(place)})
        expected = code_of(lambda: self.paper.change(change))

        assert self.runner.run(self._preview_and_change(change)) == expected

    @rule(index=places, decision=DECISIONS, days=st.integers(-3, 3))
    def decide(self, index: int, decision: Any, days: int) -> None:
        of_index = [(series, one) for series in self.paper.series.values() for one in series.dates if one.grid_index == index]
        for series, one in of_index if self.there else []:
            to = one.on + timedelta(days=days)
            order = DecideDate(series_id=series.series_id, grid_index=index, decision=decision, to=to, reason="Décidé en équipe")
            assert self._code(decide_date, order) == code_of(lambda order=order: self.paper.decide(order))

    @rule(place=places, days=st.integers(0, 3), capacity=st.none() | st.integers(5, 8))
    def change_one_by_itself(self, place: int, days: int, capacity: int | None) -> None:
        if self.there and (session := self.paper.future(place)):
            order = RescheduleSession(session_id=session.session_id, periods=later(session, days), capacity=capacity)
            assert self._code(reschedule_session, order) == code_of(lambda: self.paper.reschedule(order))

    @rule(place=places)
    def cancel_one(self, place: int) -> None:
        if self.there and (session := self.paper.future(place)):
            order = CancelSession(session_id=session.session_id, reason="annulée")
            self.paper.cancel(order)
            assert self._code(cancel_session, order) is None

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self._move_to(self.now + timedelta(days=days))
        self.paper.now = self.now

    @invariant()
    def the_rows_are_those_on_paper(self) -> None:
        if not self.there:
            return
        self.paper.check()

        async def read(series_id: UUID) -> Any:
            async with self.database.connect() as connection:
                series = await queries.read_series(connection, series_id)
                assert series is not None
                return series, queries.state_of(series, await queries.read_sessions(connection, series.dates), CALENDAR)

        for series_id, on_paper in self.paper.series.items():
            series, state = self.runner.run(read(series_id))
            assert queries.state_of(on_paper, self.paper.sessions, CALENDAR) == state
            assert series.dates == on_paper.dates

    def _move_to(self, moment: datetime) -> None:
        """Always eight o'clock, so that the seconds that a test takes decide nothing: no session begins then."""
        self.now = moment
        shift_to(moment)

    async def _given(self, anchor: date, weeks: int, times: Any, policy: HolidayPolicy) -> GenerateSeries:
        activity_id, venue_id = await given_activity(self.database), await given_venue(self.database, capacity=12, closed_weekdays=(7,))
        async with self.database.begin() as tx:
            activity, venue = await store.lock_activity(tx, activity_id), await store.venue_for_rules(tx, venue_id)
        assert activity is not None
        assert venue is not None
        self.paper = Paper(activity, venue, now=self.now)
        return GenerateSeries(
            series_id=uuid7(),
            anchor=anchor,
            until=anchor + timedelta(weeks=7 * weeks),
            every_weeks=weeks,
            times=times,
            policy=policy,
            activity_id=activity_id,
            venue_id=venue_id,
            capacity=6,
        )

    async def _preview_and_change(self, change: SeriesChange) -> str | None:
        asked = PreviewSeriesChange(**change.model_dump())
        try:
            seen = await preview_series_change(asked, LAB_TEAM, self.database)
        except Refused as refusal:
            return refusal.code
        async with self.database.begin() as tx:
            await change_series(ChangeSeries(**change.model_dump(), fingerprint=seen.fingerprint), LAB_TEAM, tx)
        return None

    def _code(self, command: Callable[..., Awaitable[Any]], order: Any) -> str | None:
        async def answered() -> str | None:
            try:
                async with self.database.begin() as tx:
                    await command(order, LAB_TEAM, tx)
            except Refused as refusal:
                return refusal.code
            return None

        return self.runner.run(answered())


@pytest.fixture
def loop_of_its_own() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.timeout(420)  # a minute is enough when all is well; a failure is made small first
def test_any_order_of_steps_leaves_the_rows_that_the_rules_foresee(
    loop_of_its_own: asyncio.Runner, postgres_settings: Callable[[str], Settings]
) -> None:
    SeriesInPostgres.database = Database.of(postgres_settings("catalog"))
    SeriesInPostgres.runner = loop_of_its_own
    try:
        run_state_machine_as_test(SeriesInPostgres, settings=settings(max_examples=50, stateful_step_count=50, deadline=None))
    finally:
        loop_of_its_own.run(SeriesInPostgres.database.dispose())

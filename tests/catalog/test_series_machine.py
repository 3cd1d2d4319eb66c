"""Any order of changes, decisions, overrides and days that pass: past and exceptions stay, the grid is kept, no date is lost (T2, T4)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shared.contracts.catalog import CancelSession, RescheduleSession, SessionState
from shared.contracts.series import DecideDate, GenerateSeries, HolidayPolicy, SeriesChange
from shared.errors import Refused
from tests.catalog.givens import a_venue, an_activity
from tests.catalog.paper import Paper, anchors, changes, code_of, later, places, policies, turns

SERIES = UUID(int=7)
DECISIONS: st.SearchStrategy[Any] = st.sampled_from(["hold", "move", "skip"])


class SeriesInMemory(RuleBasedStateMachine):
    """Eight dates of a series, through everything that may happen to them."""

    @initialize(anchor=anchors, weeks=st.integers(1, 3), times=turns, policy=policies)
    def generate(self, anchor: date, weeks: int, times: Any, policy: HolidayPolicy) -> None:
        activity, venue = an_activity(), a_venue(capacity=12, closed=[7])
        self.paper = Paper(activity, venue, now=datetime.combine(anchor, time(), UTC) - timedelta(days=2))
        order = GenerateSeries(
            series_id=SERIES,
            anchor=anchor,
            until=anchor + timedelta(weeks=7 * weeks),
            every_weeks=weeks,
            times=times,
            policy=policy,
            activity_id=activity.content.activity_id,
            venue_id=venue.sheet.venue_id,
            capacity=6,
        )
        self.there = code_of(lambda: self.paper.generate(order)) is None
        self.begun: dict[UUID, SessionState] = {}

    @rule(change=changes, place=places)
    def change(self, change: SeriesChange, place: int) -> None:
        if not self.there:
            return
        change = change.model_copy(update={"series_id": self.paper.chained(place)})
        series = self.paper.series[change.series_id]
        exceptions, before = self.paper.overridden(change.series_id), dict(self.paper.sessions)
        try:
            revision = self.paper.change(change)
        except Refused:
            revision = None
        if revision is None:
            assert self.paper.sessions == before
            return
        touched = {fact.session_id for fact in revision.facts.values()}
        if change.scope == "this":
            assert touched == {series.date(change.grid_index).session_id}
            return
        if not change.include_overridden:
            assert touched.isdisjoint(exceptions)
        chosen = [one for one in series.dates if change.scope == "all" or one.grid_index >= change.grid_index]
        assert {*touched, *(each.session_id for each in revision.kept)} == {one.session_id for one in chosen if one.session_id}
        assert touched.isdisjoint(each.session_id for each in revision.kept)
        assert all(self.paper.sessions[each].status == "scheduled" for each in touched)

    @rule(index=places, decision=DECISIONS, days=st.integers(-3, 3))
    def decide(self, index: int, decision: Any, days: int) -> None:
        for series in list(self.paper.series.values()):
            for one in series.dates:
                if one.grid_index == index:
                    order = DecideDate(
                        series_id=series.series_id,
                        grid_index=index,
                        decision=decision,
                        to=one.on + timedelta(days=days),
                        reason="Décidé en équipe",
                    )
                    code_of(lambda order=order: self.paper.decide(order))

    @rule(place=places, days=st.integers(0, 3), capacity=st.none() | st.integers(5, 8))
    def change_one_by_itself(self, place: int, days: int, capacity: int | None) -> None:
        if self.there and (session := self.paper.future(place)):
            order = RescheduleSession(session_id=session.session_id, periods=later(session, days), capacity=capacity)
            code_of(lambda: self.paper.reschedule(order))

    @rule(place=places)
    def cancel_one(self, place: int) -> None:
        if self.there and (session := self.paper.future(place)):
            self.paper.cancel(CancelSession(session_id=session.session_id, reason="annulée"))

    @rule(days=st.integers(1, 20))
    def wait(self, days: int) -> None:
        self.paper.now += timedelta(days=days)
        self.begun |= {each: session for each, session in self.paper.begun().items() if each not in self.begun}

    @invariant()
    def what_has_begun_is_never_touched(self) -> None:
        if self.there:
            assert {each: self.paper.sessions[each] for each in self.begun} == self.begun

    @invariant()
    def nothing_is_lost_or_doubled_and_the_grid_is_kept(self) -> None:
        if self.there:
            self.paper.check()


SeriesInMemory.TestCase.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
TestSeries = SeriesInMemory.TestCase

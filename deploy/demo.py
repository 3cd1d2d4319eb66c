"""Loads the demonstration through the services' own requests. Running it again changes nothing.

Ids come from the names in the files (uuid5), idempotency keys from what is asked. What somebody has since moved, cancelled or left
stays as it is: a move applies to a session still at its first version, and an agent who ever had a place in a session gets no other.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from uuid import UUID, uuid5

from deploy.agents import NAMESPACE
from deploy.demo_plan import FOLDER, Plan, PlannedActivity, PlannedDate, PlannedProject, PlannedSeries, PlannedSession, read_plan
from deploy.demo_requests import PlannedRequest
from deploy.demo_tables import DATA_FILE_INVALID, RefusedEntry
from shared.bus import Bus, Caller
from shared.contracts.booking import BookSeat, ListBookings
from shared.contracts.catalog import LocalPeriod, PublishActivity, RescheduleSession
from shared.contracts.groups import ListGroups
from shared.contracts.messages import Message, Request
from shared.contracts.series import DateState, PlanSeries, SeriesDate
from shared.errors import Refused

ReplyT = TypeVar("ReplyT", bound=Message)
Progress = Callable[[str, int, int], None]
"""Called with the step (`agents`, `programme`, `bookings`, `projects`, `requests`), how many of its entries are done, and of how many."""

AT_ONCE = 32  # requests in flight; more only wait in the services
MOVE_SECONDS = 10.0  # booking hears of a move within a moment; until then it may think that the session is over
PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0)  # seconds before asking again; the last one for ever, until patience ends

# What the second run is told, and what a booking is told once its session is over. None of it is a fault of the files.
AS_BEFORE = frozenset(
    {
        "activity_already_published", "version_conflict", "session_is_cancelled", "already_booked", "session_started",
        "application_exists", "tailored_request_moved_on", "proposals_open", "proposal_exists", "proposal_unknown", "proposal_answered",
        "proposal_over", "proposal_expired", "already_decided", "engagement_exists", "entry_exists", "engagement_is_closed",
    }
)  # fmt: skip

BY_RULE = frozenset({"overlap", "fair_use_limit"})


@dataclass
class LoadReport:
    """What a load did. `refused` entries are not there; everything else is."""

    done: Counter[str] = field(default_factory=Counter[str])
    """How many requests of each kind were carried out, now or by an earlier run."""
    as_before: int = 0
    """How many were answered that things have moved on since an earlier run."""
    skipped: list[str] = field(default_factory=list[str])
    """Dates of a series that are not held, with catalog's reason."""
    turned_away: list[str] = field(default_factory=list[str])
    """Bookings that the files want refused, with the rule's code."""
    refused: list[RefusedEntry] = field(default_factory=list[RefusedEntry])
    seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        return 1 if self.refused else 0


def _silent(_step: str, _done: int, _total: int) -> None:
    pass


async def load(bus: Bus, folder: Path = FOLDER, *, progress: Progress = _silent, patience: float = 60.0) -> LoadReport:
    """Ask for everything in the files of `folder`. `patience`: seconds during which services may still be starting.

    Needs a connection that may ask every service (the user `operator`). Never raises for what a service refuses: the report says it.
    """
    started = time.monotonic()
    plan = await asyncio.to_thread(read_plan, folder)
    report = LoadReport(refused=plan.refused)
    loading = _Loading(bus, report, progress, deadline=started + patience)
    async with asyncio.TaskGroup() as group:
        group.create_task(loading.agents(plan))
        group.create_task(loading.programme(plan))
    async with asyncio.TaskGroup() as group:
        group.create_task(loading.bookings(plan))
        group.create_task(loading.projects(plan))
        group.create_task(loading.requests(plan))
    report.seconds = time.monotonic() - started
    return report


OPERATOR = Caller(actor="operator", roles=frozenset({"operator"}))


class _Loading:
    def __init__(self, bus: Bus, report: LoadReport, progress: Progress, deadline: float) -> None:
        self._bus, self._report, self._progress, self._deadline = bus, report, progress, deadline
        self._places = asyncio.Semaphore(AT_ONCE)
        self._drafted: set[UUID] = set()
        self._scheduled: set[UUID] = set()

    async def agents(self, plan: Plan) -> None:
        await self._all("agents", [self._ask(entry, request) for entry, request in plan.agents])

    async def programme(self, plan: Plan) -> None:
        """Hosts, then venues, then activities with their sessions; each of a kind beside the others."""
        await asyncio.gather(*(self._ask(entry, request) for entry, request in plan.hosts))
        await asyncio.gather(*(self._ask(entry, request) for entry, request in plan.venues))
        dates = [date for series in plan.series for date in series.dates]
        await self._all("programme", [self._activity(each) for each in (*(date.activity for date in dates), *plan.activities)])
        await asyncio.gather(*(self._series(series) for series in plan.series))

    async def bookings(self, plan: Plan) -> None:
        """In the order of the file within a session; what the lab cancelled is cancelled once people had booked it."""
        planned: list[PlannedSession | PlannedDate] = [session for activity in plan.activities for session in activity.sessions]
        planned += [date for series in plan.series for date in series.dates]
        sessions = [session for session in planned if session.session_id in self._scheduled]
        agents = sorted({agent for session in sessions for agent in session.booked_by})
        lists = await asyncio.gather(*(self._ask("bookings", ListBookings(agent_id=agent), key=False) for agent in agents))
        known = {(booking.session_id, booking.agent_id) for each in lists if each for booking in each.bookings}
        await self._all("bookings", [self._book(session, known) for session in sessions])
        await asyncio.gather(*(self._turn_away(session) for activity in plan.activities for session in activity.sessions))

    async def projects(self, plan: Plan) -> None:
        await self._all("projects", [self._project(project) for project in plan.projects])

    async def requests(self, plan: Plan) -> None:
        """What happened to each request, in order, with the dates at which it did."""
        await asyncio.gather(*(self._ask(entry, contact) for entry, contact in plan.contacts))
        await self._all("requests", [self._request(each) for each in plan.requests])

    async def _request(self, request: PlannedRequest) -> None:
        for order in request.orders:
            await self._ask(request.entry, order)

    async def _activity(self, activity: PlannedActivity) -> None:
        if not await self._ask(activity.entry, activity.draft):
            return
        self._drafted.add(activity.draft.activity_id)
        await self._ask(activity.entry, PublishActivity(activity_id=activity.draft.activity_id))
        for session in activity.sessions:
            if await self._ask(session.entry, session.schedule):
                self._scheduled.add(session.schedule.session_id)
                if session.move:
                    await self._ask(session.entry, session.move)

    async def _series(self, series: PlannedSeries) -> None:
        """Ask which dates catalog would make, tell where the file says otherwise, and have the series made."""
        order = series.order
        plan = await self._ask(series.entry, PlanSeries(**order.model_dump(exclude={"series_id"})), key=False)
        if plan is None:
            return
        skipped = {one.on: one.reason for one in plan.dates if one.state is DateState.SKIPPED}
        held = {one.on for one in plan.dates} - skipped.keys()
        written = {date.content.on: date for date in series.dates if date.content.activity_id in self._drafted}
        self._report.skipped += [f"{series.entry}, dates {on}: {reason}" for on, reason in skipped.items()]
        for date in series.dates:
            if date.content.on not in held:
                self._refuse(date.entry, f"no date of the series: every {order.every_weeks} weeks from {order.anchor}, holidays aside")
        for on in sorted(held - {date.content.on for date in series.dates}):
            self._refuse(f"{series.entry}, dates {on}", "this date is on the grid, and nothing says what it holds")
        dates = [date for on, date in sorted(written.items()) if on in held]
        if made := await self._ask(series.entry, order.model_copy(update={"dates": tuple(date.content for date in dates)})):
            now = {one.session_id: one for one in made.dates}
            for date in dates:
                if one := now.get(date.session_id):  # what a linked series has taken over by now stays as it is
                    self._scheduled.add(date.session_id)
                    await self._move(date, one)

    async def _move(self, date: PlannedDate, one: SeriesDate) -> None:
        """From version 1 only: what somebody has moved since then stays where it is.

        Not by a change of the series, which leaves alone what is past: on 1 March, 11 February is.
        """
        if date.move and one.session_version == 1:
            days = date.move.to - one.periods[0].local_start.date()
            periods = tuple(
                LocalPeriod(local_start=each.local_start + days, local_end=each.local_end + days, zone=each.zone) for each in one.periods
            )
            move = RescheduleSession(session_id=date.session_id, periods=periods, reason=date.move.reason, expected_version=1)
            await self._ask(date.entry, move)

    def _refuse(self, entry: str, detail: str) -> None:
        self._report.refused.append(RefusedEntry(entry, DATA_FILE_INVALID, detail, "date"))

    async def _book(self, session: PlannedSession | PlannedDate, known: set[tuple[UUID, UUID]]) -> None:
        session_id = session.session_id
        for agent_id in session.booked_by:
            if (session_id, agent_id) not in known:
                await self._ask(session.entry, BookSeat(session_id=session_id, agent_id=agent_id), moved=session.move is not None)
        if isinstance(session, PlannedSession):
            await self._book_groups(session)
        if session.cancel:
            await self._ask(session.entry, session.cancel)

    async def _book_groups(self, session: PlannedSession) -> None:
        for group in session.groups:
            known = await self._ask(session.entry, ListGroups(contact_agent_id=group.contact_agent_id), key=False)
            if known and group.session_id not in {each.session_id for each in known.groups}:
                await self._ask(session.entry, group)

    async def _turn_away(self, session: PlannedSession) -> None:
        """Who has a seat elsewhere at the same hours, or enough of them, is refused here as anywhere (B5, B10)."""
        for agent_id in session.turned_away if session.session_id in self._scheduled else ():
            try:
                await self._patiently(BookSeat(session_id=session.session_id, agent_id=agent_id), OPERATOR, moved=False)
            except Refused as refusal:
                if refusal.code in BY_RULE:
                    self._report.turned_away.append(f"{session.entry}: {refusal.code}")
                else:
                    self._report.refused.append(RefusedEntry(session.entry, refusal.code, refusal.title, "turned_away"))
            else:
                self._report.refused.append(RefusedEntry(session.entry, DATA_FILE_INVALID, "an agent was to be refused", "turned_away"))

    async def _project(self, project: PlannedProject) -> None:
        """The lead applies, the committee decides, lead and coach write: each in their own name."""
        entry = project.entry
        await self._ask(entry, project.submit, _agent(project.submit.project_lead_id))
        if project.decide:
            await self._ask(entry, project.decide)
        if project.start:
            await self._ask(entry, project.start)
        for author, line in project.logbook:
            await self._ask(entry, line, _agent(author))
        if project.close:
            await self._ask(entry, project.close)

    async def _all(self, step: str, work: Iterable[Awaitable[object]]) -> None:
        waiting = list(work)
        self._progress(step, 0, len(waiting))
        for done, finished in enumerate(asyncio.as_completed(waiting), start=1):
            await finished
            self._progress(step, done, len(waiting))

    async def _ask(
        self, entry: str, request: Request[ReplyT], caller: Caller = OPERATOR, *, key: bool = True, moved: bool = False
    ) -> ReplyT | None:
        """The reply; None when it was refused, which the report then tells."""
        if key:
            asked = f"{caller.actor} {request.subject} {request.model_dump_json()}"
            caller = Caller(actor=caller.actor, roles=caller.roles, idempotency_key=str(uuid5(NAMESPACE, asked)))
        try:
            reply = await self._patiently(request, caller, moved=moved)
        except Refused as refusal:
            if refusal.code in AS_BEFORE:
                self._report.as_before += 1
            else:
                self._report.refused.append(RefusedEntry(entry, refusal.code, f"{request.subject}: {refusal.detail or refusal.title}"))
            return None
        self._report.done[request.subject.split(".")[2]] += 1
        return reply

    async def _patiently(self, request: Request[ReplyT], caller: Caller, *, moved: bool) -> ReplyT:
        """Ask again while the answer is "not now": a service still starting, a session whose dates have not reached booking (E1)."""
        attempt, first = 0, time.monotonic()
        while True:
            try:
                async with self._places:
                    return await self._bus.ask(request, caller)
            except Refused as refusal:
                on_its_way = moved and refusal.code == "session_started" and time.monotonic() < first + MOVE_SECONDS
                if not (refusal.retryable or on_its_way) or time.monotonic() > self._deadline:
                    raise
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1


def _agent(agent_id: UUID) -> Caller:
    return Caller(actor=str(agent_id), roles=frozenset({"agent"}))

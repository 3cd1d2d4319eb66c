"""The demonstration's files, read into what is to be asked. A wrong entry is refused by name and field; its neighbours are kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from deploy.agents import NAMESPACE, agent_id
from deploy.demo_entries import (
    ActivityEntry,
    AgentEntry,
    HeldDate,
    HostEntry,
    LogbookLine,
    OrgUnitEntry,
    ProjectEntry,
    SeriesEntry,
    SessionEntry,
    SkippedDate,
    VenueEntry,
    read_day,
)
from deploy.demo_tables import RefusedEntry, Tables, WrongField
from shared.clock import PARIS
from shared.contracts.catalog import AddHost, AddVenue, CancelSession, DraftActivity, RescheduleSession, ScheduleSession
from shared.contracts.gateway import RegisterAgent
from shared.contracts.projects import AddLogbookEntry, CloseEngagement, DecideApplication, StartEngagement, SubmitApplication

FOLDER = Path(__file__).with_name("demo")
AGENTS, PROGRAMME, PROJECTS = "agents.toml", "programme.toml", "projects.toml"
TEXTS = {"title", "summary", "description", "theme"}


@dataclass(frozen=True, slots=True)
class PlannedSession:
    entry: str
    schedule: ScheduleSession
    move: RescheduleSession | None
    cancel: CancelSession | None
    booked_by: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PlannedActivity:
    entry: str
    draft: DraftActivity
    sessions: list[PlannedSession]


@dataclass(frozen=True, slots=True)
class PlannedProject:
    entry: str
    submit: SubmitApplication
    decide: DecideApplication | None
    start: StartEngagement | None
    logbook: list[tuple[UUID, AddLogbookEntry]]
    """Each with its author."""
    close: CloseEngagement | None


@dataclass
class Plan:
    """What is to be asked, each with the name of its entry."""

    agents: list[tuple[str, RegisterAgent]] = field(default_factory=list[tuple[str, RegisterAgent]])
    hosts: list[tuple[str, AddHost]] = field(default_factory=list[tuple[str, AddHost]])
    venues: list[tuple[str, AddVenue]] = field(default_factory=list[tuple[str, AddVenue]])
    activities: list[PlannedActivity] = field(default_factory=list[PlannedActivity])
    projects: list[PlannedProject] = field(default_factory=list[PlannedProject])
    skipped: list[str] = field(default_factory=list[str])
    """Dates of a series that are not held, with the reason."""
    refused: list[RefusedEntry] = field(default_factory=list[RefusedEntry])


def demo_id(kind: str, slug: str) -> UUID:
    """The id of something in the files, the same on every machine."""
    return uuid5(NAMESPACE, f"{kind}:{slug}")


def read_plan(folder: Path = FOLDER) -> Plan:
    """All that the files ask for, and what is wrong with them."""
    reader = Reader(folder)
    reader.read_agents()
    reader.read_programme()
    reader.read_projects()
    return reader.plan


class Reader:
    def __init__(self, folder: Path) -> None:
        self._tables = Tables(folder)
        self._sessions: set[str] = set()
        self.plan = Plan(refused=self._tables.refused)

    def read_agents(self) -> None:
        tables = self._tables.read(AGENTS, org_units="code", agents="sub")
        units = {
            unit.code: unit for unit in self._tables.each(f"{AGENTS}: org_units", tables["org_units"], OrgUnitEntry, _itself, key="code")
        }

        def register(entry: str, agent: AgentEntry) -> tuple[str, RegisterAgent]:
            self._tables.must_exist("org_units", "org_unit", agent.org_unit)
            siret = units[agent.org_unit].siret if agent.org_unit in units else None
            said = agent.model_dump(include={"sub", "given_name", "usual_name", "email", "org_unit", "roles"})
            return entry, RegisterAgent(agent_id=agent_id(agent.sub), siret=siret, **said)

        self.plan.agents = self._tables.each(f"{AGENTS}: agents", tables["agents"], AgentEntry, register, key="sub")

    def read_programme(self) -> None:
        tables = self._tables.read(PROGRAMME, hosts="slug", venues="slug", series="slug", activities="slug")
        self.plan.hosts = self._tables.each(f"{PROGRAMME}: hosts", tables["hosts"], HostEntry, self._host)
        self.plan.venues = self._tables.each(f"{PROGRAMME}: venues", tables["venues"], VenueEntry, self._venue)
        for activities in self._tables.each(f"{PROGRAMME}: series", tables["series"], SeriesEntry, self._series):
            self.plan.activities += activities
        self.plan.activities += self._tables.each(f"{PROGRAMME}: activities", tables["activities"], ActivityEntry, self._activity)

    def read_projects(self) -> None:
        tables = self._tables.read(PROJECTS, projects="slug")
        self.plan.projects = self._tables.each(f"{PROJECTS}: projects", tables["projects"], ProjectEntry, self._project)

    # --- one entry of each kind --------------------------------------------------------------------------------------------------------

    def _host(self, entry: str, host: HostEntry) -> tuple[str, AddHost]:
        return entry, AddHost(host_id=demo_id("host", host.slug), name=host.name, kind=host.kind)

    def _venue(self, entry: str, venue: VenueEntry) -> tuple[str, AddVenue]:
        self._tables.must_exist("hosts", "host", venue.host)
        ids = {"venue_id": demo_id("venue", venue.slug), "host_id": demo_id("host", venue.host)}
        said = venue.model_dump(exclude={"slug", "host", "closed"})
        return entry, AddVenue(**ids, closed_weekdays=tuple(venue.closed), **said)

    def _series(self, entry: str, series: SeriesEntry) -> list[PlannedActivity]:
        skipped = [said for said in series.dates if "skipped" in said]
        held = [said for said in series.dates if "skipped" not in said]
        self.plan.skipped += self._tables.each(
            f"{entry}, dates", skipped, SkippedDate, lambda where, one: _skipped(where, series, one), key="date"
        )
        self._check_grid(entry, series)
        return self._tables.each(
            f"{entry}, dates", held, HeldDate, lambda where, one: self._activity(where, _held(series, one)), key="date"
        )

    def _check_grid(self, entry: str, series: SeriesEntry) -> None:
        """Say which dates of the grid are neither held nor skipped; it is no reason to refuse the others."""
        written = {day for said in series.dates if (day := _day(said))}
        day = series.anchor
        while written and day < max(written):
            if day not in written:
                self._tables.refuse(f"{entry}, dates {day}", "this date is on the grid, and neither held nor skipped", "date")
            day += timedelta(days=series.every_days)

    def _activity(self, entry: str, activity: ActivityEntry) -> PlannedActivity:
        if activity.host:
            self._tables.must_exist("hosts", "host", activity.host)
        activity_id = demo_id("activity", activity.slug)
        draft = DraftActivity(
            activity_id=activity_id,
            activity_type=activity.type,
            delivery_mode=activity.mode,
            host_id=demo_id("host", activity.host) if activity.host else None,
            **activity.model_dump(include=TEXTS),
        )
        sessions = self._tables.each(
            f"{entry}, sessions", activity.sessions, SessionEntry, lambda where, one: self._session(where, activity_id, one)
        )
        return PlannedActivity(entry, draft, sessions)

    def _session(self, entry: str, activity_id: UUID, session: SessionEntry) -> PlannedSession:
        if session.venue:
            self._tables.must_exist("venues", "venue", session.venue)
        if session.slug in self._sessions:
            raise WrongField("slug", "another activity has a session of this name")
        self._sessions.add(session.slug)
        for sub in session.booked_by:
            self._tables.must_exist("agents", "booked_by", sub)
        session_id = demo_id("session", session.slug)
        schedule = ScheduleSession(
            session_id=session_id,
            activity_id=activity_id,
            venue_id=demo_id("venue", session.venue) if session.venue else None,
            periods=tuple(session.periods),
            opens_at=datetime.combine(session.opens, time(), PARIS) if session.opens else None,
            **session.model_dump(include={"capacity", "remote_capacity", "quorum"}),
        )
        move = cancel = None
        if session.moved:  # from version 1 only: what somebody has moved since then stays where it is
            move = RescheduleSession(
                session_id=session_id, periods=tuple(session.moved.to), reason=session.moved.reason, expected_version=1
            )
        if session.cancelled:
            cancel = CancelSession(session_id=session_id, reason=session.cancelled)
        return PlannedSession(entry, schedule, move, cancel, tuple(agent_id(sub) for sub in session.booked_by))

    def _project(self, entry: str, project: ProjectEntry) -> PlannedProject:
        self._tables.must_exist("agents", "lead", project.lead)
        application_id, engagement_id, engagement = (
            demo_id("application", project.slug),
            demo_id("engagement", project.slug),
            project.engagement,
        )
        closing = engagement.closing if engagement else None
        people = {"lead": agent_id(project.lead)}
        start = None
        if engagement:
            self._tables.must_exist("agents", "coach", engagement.coach)
            people["coach"] = agent_id(engagement.coach)
            start = StartEngagement(
                engagement_id=engagement_id,
                application_id=application_id,
                coach_id=people["coach"],
                starts_on=engagement.starts_on,
                planned_end_on=engagement.planned_end_on,
            )
        said = project.model_dump(include={"title", "problem"})
        return PlannedProject(
            entry,
            submit=SubmitApplication(application_id=application_id, project_lead_id=people["lead"], **said),
            decide=DecideApplication(application_id=application_id, **project.decision.model_dump()) if project.decision else None,
            start=start,
            logbook=[
                (people[line.by], _line(project.slug, place, line))
                for place, line in enumerate(engagement.logbook if engagement else [], start=1)
            ],
            close=CloseEngagement(engagement_id=engagement_id, **closing.model_dump()) if closing else None,
        )


def _itself(_entry: str, unit: OrgUnitEntry) -> OrgUnitEntry:
    return unit


def _line(slug: str, place: int, line: LogbookLine) -> AddLogbookEntry:
    return AddLogbookEntry(
        engagement_id=demo_id("engagement", slug), entry_id=demo_id("entry", f"{slug}:{place}"), kind=line.kind, text=line.text
    )  # fmt: skip


def _day(said: dict[str, Any]) -> date | None:
    with suppress(ValueError):
        return read_day(said.get("date"))
    return None


def _times_of(series: SeriesEntry, one: HeldDate | SkippedDate) -> str:
    place, off_grid = divmod((one.date - series.anchor).days, series.every_days)
    if off_grid or place < 0:
        raise WrongField("date", f"not on the grid: every {series.every_days} days from {series.anchor}")
    return series.times[place % len(series.times)]


def _skipped(entry: str, series: SeriesEntry, one: SkippedDate) -> str:
    _times_of(series, one)
    return f"{entry}: {one.skipped}"


def _held(series: SeriesEntry, one: HeldDate) -> ActivityEntry:
    """A date of a series is short for an activity with one session."""
    times = _times_of(series, one)
    slug = f"{series.slug}-{one.date}"
    session: dict[str, Any] = {"slug": slug, "periods": [f"{one.date} {times}"], "booked_by": one.booked_by}
    session |= series.model_dump(include={"capacity", "remote_capacity"}) | one.model_dump(include={"venue", "cancelled"})
    if one.opens:
        session["opens"] = one.opens.isoformat()
    if one.moved:
        session["moved"] = {"to": [f"{one.moved.to} {times}"], "reason": one.moved.reason}
    return ActivityEntry(slug=slug, type=series.type, mode=series.mode, sessions=[session], **one.model_dump(include=TEXTS))

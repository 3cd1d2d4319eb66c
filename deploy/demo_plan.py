"""The demonstration's files, read into what is to be asked. A wrong entry is refused by name and field; its neighbours are kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from uuid import UUID, uuid5

from deploy.agents import NAMESPACE, agent_id
from deploy.demo_entries import (
    ActivityEntry,
    AgentEntry,
    HeldDate,
    HostEntry,
    LogbookLine,
    MovedToDay,
    OrgUnitEntry,
    ProjectEntry,
    QuotaEntry,
    SeriesEntry,
    SessionEntry,
    VenueEntry,
    read_times,
)
from deploy.demo_requests import PlannedRequest, read_requests
from deploy.demo_tables import RefusedEntry, Tables, WrongField
from shared.clock import PARIS
from shared.contracts.catalog import AddHost, AddVenue, CancelSession, DraftActivity, RescheduleSession, ScheduleSession
from shared.contracts.feedback import Improvement
from shared.contracts.gateway import AddContact, RegisterAgent
from shared.contracts.groups import BookGroup
from shared.contracts.projects import AddLogbookEntry, CloseEngagement, DecideApplication, StartEngagement, SubmitApplication
from shared.contracts.quotas import Quota
from shared.contracts.series import DateContent, GenerateSeries, WallTimes

FOLDER = Path(__file__).with_name("demo")
AGENTS, PROGRAMME, PROJECTS = "agents.toml", "programme.toml", "projects.toml"
TEXTS = {"title", "summary", "description", "theme", "audience"}


@dataclass(frozen=True, slots=True)
class PlannedSession:
    entry: str
    schedule: ScheduleSession
    move: RescheduleSession | None
    cancel: CancelSession | None
    booked_by: tuple[UUID, ...]
    groups: tuple[BookGroup, ...]
    turned_away: tuple[UUID, ...]

    @property
    def session_id(self) -> UUID:
        return self.schedule.session_id


@dataclass(frozen=True, slots=True)
class PlannedActivity:
    entry: str
    draft: DraftActivity
    sessions: list[PlannedSession]


@dataclass(frozen=True, slots=True)
class PlannedDate:
    """A date of a series: what it holds, and what happened to it since."""

    entry: str
    activity: PlannedActivity
    session_id: UUID
    content: DateContent
    move: MovedToDay | None
    cancel: CancelSession | None
    booked_by: tuple[UUID, ...]


@dataclass(frozen=True, slots=True)
class PlannedSeries:
    entry: str
    order: GenerateSeries
    """Without its dates: those that catalog's grid does not have are told, and left out."""
    dates: list[PlannedDate]


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
    series: list[PlannedSeries] = field(default_factory=list[PlannedSeries])
    activities: list[PlannedActivity] = field(default_factory=list[PlannedActivity])
    projects: list[PlannedProject] = field(default_factory=list[PlannedProject])
    contacts: list[tuple[str, AddContact]] = field(default_factory=list[tuple[str, AddContact]])
    requests: list[PlannedRequest] = field(default_factory=list[PlannedRequest])
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
    reader.read_requests()
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
            said = agent.model_dump(include={"sub", "given_name", "usual_name", "email", "org_unit", "roles", "innovation_referent"})
            said |= {"department": units[agent.org_unit].department} if siret else {}
            return entry, RegisterAgent(agent_id=agent_id(agent.sub), siret=siret, **said)

        self.plan.agents = self._tables.each(f"{AGENTS}: agents", tables["agents"], AgentEntry, register, key="sub")

    def read_programme(self) -> None:
        tables = self._tables.read(PROGRAMME, hosts="slug", venues="slug", series="slug", activities="slug")
        self.plan.hosts = self._tables.each(f"{PROGRAMME}: hosts", tables["hosts"], HostEntry, self._host)
        self.plan.venues = self._tables.each(f"{PROGRAMME}: venues", tables["venues"], VenueEntry, self._venue)
        self.plan.series = self._tables.each(f"{PROGRAMME}: series", tables["series"], SeriesEntry, self._series)
        self.plan.activities = self._tables.each(f"{PROGRAMME}: activities", tables["activities"], ActivityEntry, self._activity)

    def read_projects(self) -> None:
        tables = self._tables.read(PROJECTS, projects="slug")
        self.plan.projects = self._tables.each(f"{PROJECTS}: projects", tables["projects"], ProjectEntry, self._project)

    def read_requests(self) -> None:
        places = {venue.venue_id: f"{venue.name}, {venue.city}" for _, venue in self.plan.venues}
        self.plan.contacts, self.plan.requests = read_requests(self._tables, places)

    # --- one entry of each kind --------------------------------------------------------------------------------------------------------

    def _host(self, entry: str, host: HostEntry) -> tuple[str, AddHost]:
        return entry, AddHost(host_id=demo_id("host", host.slug), name=host.name, kind=host.kind)

    def _venue(self, entry: str, venue: VenueEntry) -> tuple[str, AddVenue]:
        self._tables.must_exist("hosts", "host", venue.host)
        ids = {"venue_id": demo_id("venue", venue.slug), "host_id": demo_id("host", venue.host)}
        said = venue.model_dump(exclude={"slug", "host", "closed"})
        return entry, AddVenue(**ids, closed_weekdays=tuple(venue.closed), **said)

    def _series(self, entry: str, series: SeriesEntry) -> PlannedSeries:
        """The dates are catalog's: what the file says of each is compared with the grid when it is loaded."""
        order = GenerateSeries(
            series_id=demo_id("series", series.slug),
            times=tuple((_turn(times),) for times in series.times),
            **series.model_dump(include={"anchor", "until", "every_weeks", "policy", "capacity", "remote_capacity"}),
        )
        dates = self._tables.each(
            f"{entry}, dates", series.dates, HeldDate, lambda where, one: self._held(where, series, one), key="date"
        )  # fmt: skip
        return PlannedSeries(entry, order, dates)

    def _held(self, entry: str, series: SeriesEntry, one: HeldDate) -> PlannedDate:
        """A date of a series is short for an activity with one session."""
        slug = f"{series.slug}-{one.date}"
        if one.venue:
            self._tables.must_exist("venues", "venue", one.venue)
        for sub in one.booked_by:
            self._tables.must_exist("agents", "booked_by", sub)
        activity = ActivityEntry(slug=slug, type=series.type, mode=series.mode, **one.model_dump(include={*TEXTS, "details"}))
        session_id = demo_id("session", slug)
        content = DateContent(
            on=one.date,
            activity_id=demo_id("activity", slug),
            session_id=session_id,
            venue_id=demo_id("venue", one.venue) if one.venue else None,
            opens_at=_opening(one.opens),
        )
        cancel = CancelSession(session_id=session_id, reason=one.cancelled) if one.cancelled else None
        booked_by = tuple(agent_id(sub) for sub in one.booked_by)
        return PlannedDate(entry, self._activity(entry, activity), session_id, content, one.moved, cancel, booked_by)

    def _activity(self, entry: str, activity: ActivityEntry) -> PlannedActivity:
        if activity.host:
            self._tables.must_exist("hosts", "host", activity.host)
        activity_id = demo_id("activity", activity.slug)
        draft = DraftActivity(
            activity_id=activity_id,
            activity_type=activity.type,
            delivery_mode=activity.mode,
            host_id=demo_id("host", activity.host) if activity.host else None,
            details=activity.details and {"activity_type": activity.type, **activity.details},  # pyright: ignore[reportArgumentType]
            improvements=tuple(Improvement(**each.model_dump()) for each in activity.improvements),
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
        for name in ("booked_by", "turned_away"):
            for sub in getattr(session, name):
                self._tables.must_exist("agents", name, sub)
        for group in session.groups:
            self._tables.must_exist("agents", "groups", group.contact)
        session_id = demo_id("session", session.slug)
        schedule = ScheduleSession(
            session_id=session_id,
            activity_id=activity_id,
            venue_id=demo_id("venue", session.venue) if session.venue else None,
            periods=tuple(session.periods),
            opens_at=_opening(session.opens),
            quota=session.quota and _quota(session.quota),
            **session.model_dump(include={"capacity", "remote_capacity", "quorum", "private"}),
        )
        move = cancel = None
        if session.moved:  # from version 1 only: what somebody has moved since then stays where it is
            move = RescheduleSession(
                session_id=session_id, periods=tuple(session.moved.to), reason=session.moved.reason, expected_version=1
            )
        if session.cancelled:
            cancel = CancelSession(session_id=session_id, reason=session.cancelled)
        groups = tuple(
            BookGroup(session_id=session_id, contact_agent_id=agent_id(one.contact), seats_needed=one.seats, choice=one.choice)
            for one in session.groups
        )
        booked_by, turned_away = (tuple(agent_id(sub) for sub in subs) for subs in (session.booked_by, session.turned_away))
        return PlannedSession(entry, schedule, move, cancel, booked_by, groups, turned_away)

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


def _turn(times: str) -> WallTimes:
    start, end = read_times(times)
    return WallTimes(start=start, end=end)


def _quota(said: QuotaEntry) -> Quota:
    until = datetime.combine(said.until, time(), PARIS)
    return Quota(seats=said.seats, until=until, newcomers=said.newcomers, departments=tuple(said.departments))


def _opening(day: date | None) -> datetime | None:
    return datetime.combine(day, time(), PARIS) if day else None

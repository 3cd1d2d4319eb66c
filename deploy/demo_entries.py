"""What a person may write in the demonstration's files, entry by entry. Unknown keys and wrong kinds are refused with the field's name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from shared.contracts.catalog import ActivityType, DeliveryMode, LocalPeriod
from shared.contracts.gateway import Role
from shared.contracts.groups import GroupChoice
from shared.contracts.projects import Decision, EntryKind, Outcome
from shared.contracts.series import HolidayPolicy

_PERIOD = re.compile(r"(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}-\d{2}:\d{2})")
_RANGE = re.compile(r"(.*?)(\d+)\.\.(.*?)(\d+)")
_WEEKDAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")


def read_day(written: object) -> date:
    """`"2027-03-18"`, in quotes: an impossible date without them would make the whole file unreadable."""
    if not isinstance(written, str):
        raise ValueError('write the date between quotes: "2027-03-18"')  # noqa: TRY004 - Pydantic reads ValueErrors
    return date.fromisoformat(written)


def read_times(written: str) -> tuple[time, time]:
    start, end = written.split("-")
    return time.fromisoformat(start), time.fromisoformat(end)


def period_on(day: date, times: str) -> LocalPeriod:
    start, end = read_times(times)
    return LocalPeriod(local_start=datetime.combine(day, start), local_end=datetime.combine(day, end))


def read_period(written: object) -> LocalPeriod:
    """`"2027-03-18 14:00-17:30"`, Paris time."""
    if not isinstance(written, str) or not (match := _PERIOD.fullmatch(written)):
        raise ValueError('write a period as "2027-03-18 14:00-17:30"')
    return period_on(date.fromisoformat(match[1]), match[2])


def _check_times(written: str) -> str:
    read_times(written)
    return written


def _weekday(written: object) -> int:
    if written not in _WEEKDAYS:
        raise ValueError(f"one of {', '.join(_WEEKDAYS)}")
    return _WEEKDAYS.index(str(written)) + 1


def _subs(written: list[str]) -> list[str]:
    return [sub for each in written for sub in _expanded(each)]


def _expanded(written: str) -> Iterator[str]:
    """`agent-0001..agent-0021` is the twenty-one of them."""
    if not (match := _RANGE.fullmatch(written)):
        yield written
        return
    prefix, first, prefix_again, last = match.groups()
    if prefix != prefix_again or len(first) != len(last) or int(first) > int(last):
        raise ValueError(f"{written} is not a range such as agent-0001..agent-0021")
    for number in range(int(first), int(last) + 1):
        yield f"{prefix}{number:0{len(first)}}"


Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Day = Annotated[date, BeforeValidator(read_day)]
WrittenPeriod = Annotated[LocalPeriod, BeforeValidator(read_period)]
Times = Annotated[str, AfterValidator(_check_times)]
Weekday = Annotated[int, BeforeValidator(_weekday)]
Subs = Annotated[list[str], AfterValidator(_subs)]
Kind = Annotated[ActivityType, Field(strict=False)]
Mode = Annotated[DeliveryMode, Field(strict=False)]
Policy = Annotated[HolidayPolicy, Field(strict=False)]
Choice = Annotated[GroupChoice, Field(strict=False)]
Tables = list[dict[str, Any]]
"""Entries inside an entry, read one by one so that a wrong one spoils only itself."""


class Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class HostEntry(Entry):
    slug: Slug
    name: str
    kind: str


class VenueEntry(Entry):
    slug: Slug
    host: str
    name: str
    address: str
    city: str
    department: str
    capacity: int
    step_free_access: bool
    public_transport: str = ""
    notice_days: int = 0
    closed: list[Weekday] = []


class MovedTo(Entry):
    to: list[WrittenPeriod]
    reason: str


class GroupEntry(Entry):
    contact: str
    seats: int
    choice: Choice = GroupChoice.ALL_OR_NOTHING


class QuotaEntry(Entry):
    seats: int
    until: Day
    newcomers: bool = False
    departments: list[str] = []


class SessionEntry(Entry):
    slug: Slug
    periods: list[WrittenPeriod]
    capacity: int
    remote_capacity: int | None = None
    quorum: int | None = None
    quota: QuotaEntry | None = None
    venue: str | None = None
    opens: Day | None = None
    private: bool = False
    moved: MovedTo | None = None
    cancelled: str | None = None
    booked_by: Subs = []
    groups: list[GroupEntry] = []
    turned_away: Subs = []


class ImprovementEntry(Entry):
    said: str
    done: str
    since: Day


class ActivityEntry(Entry):
    slug: Slug
    type: Kind
    mode: Mode
    title: str
    summary: str
    theme: str
    description: str = ""
    host: str | None = None
    audience: str = ""
    details: dict[str, Any] | None = None
    improvements: list[ImprovementEntry] = []
    sessions: Tables = []


class MovedToDay(Entry):
    to: Day
    reason: str


class HeldDate(Entry):
    date: Day
    title: str
    summary: str
    theme: str
    description: str = ""
    audience: str = ""
    details: dict[str, Any] | None = None
    venue: str | None = None
    opens: Day | None = None
    moved: MovedToDay | None = None
    cancelled: str | None = None
    booked_by: Subs = []


class SeriesEntry(Entry):
    """What is asked of catalog, which makes the grid, and what its dates hold. A date that a holiday takes away has no entry."""

    slug: Slug
    type: Kind
    mode: Mode
    anchor: Day
    until: Day
    every_weeks: Annotated[int, Field(ge=1, le=8)]
    policy: Policy = HolidayPolicy.SKIP
    times: Annotated[list[Times], Field(min_length=1)]
    capacity: int
    remote_capacity: int | None = None
    dates: Tables


class OrgUnitEntry(Entry):
    code: str
    name: str
    department: str
    siret: str


class AgentEntry(Entry):
    sub: str
    given_name: str
    usual_name: str
    email: str
    org_unit: str
    roles: list[Role] = ["agent"]
    innovation_referent: bool = False
    persona: str | None = None
    note: str | None = None


class DecisionEntry(Entry):
    decision: Decision
    reason: str
    redirection: str = ""


class LogbookLine(Entry):
    by: Literal["lead", "coach"]
    kind: Annotated[EntryKind, Field(strict=False)]
    text: str


class ClosingEntry(Entry):
    outcome: Annotated[Outcome, Field(strict=False)]
    reason: str
    lessons_learned: str = ""


class EngagementEntry(Entry):
    coach: str
    starts_on: Day
    planned_end_on: Day
    logbook: list[LogbookLine] = []
    closing: ClosingEntry | None = None


class ProjectEntry(Entry):
    slug: Slug
    title: str
    lead: str
    problem: str
    decision: DecisionEntry | None = None
    engagement: EngagementEntry | None = None

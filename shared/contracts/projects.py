"""What projects answers and says: applications, engagements with their logbook, closing with lessons learned."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.messages import Event, Message, Request


class ApplicationState(StrEnum):
    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    ACCEPTED_WITH_CONDITIONS = "accepted_with_conditions"
    REDIRECTED = "redirected"
    DECLINED = "declined"


class EngagementState(StrEnum):
    ACTIVE = "active"
    CLOSED = "closed"


class Outcome(StrEnum):
    ADOPTED = "adopted"
    PILOTED = "piloted"
    MERGED = "merged"
    HANDED_OVER = "handed_over"
    ABANDONED = "abandoned"


class EntryKind(StrEnum):
    DECISION = "decision"
    OBSTACLE = "obstacle"
    LEARNING = "learning"


Decision = Literal["accepted", "accepted_with_conditions", "redirected", "declined"]
Prose = Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=10_000)]


class LogbookEntry(Message):
    entry_id: UUID
    kind: EntryKind
    text: str
    author_id: UUID
    written_at: AwareDatetime


class Application(Message):
    application_id: UUID
    project_lead_id: UUID
    title: str
    problem: str
    state: ApplicationState
    version: int
    submitted_at: AwareDatetime
    decided_at: AwareDatetime | None = None
    decision_reason: str | None = None
    redirection: str | None = None
    """A concrete activity proposed instead, when not accepted (C4)."""
    engagement_id: UUID | None = None


class Engagement(Message):
    engagement_id: UUID
    application_id: UUID
    project_lead_id: UUID
    coach_id: UUID
    title: str
    state: EngagementState
    version: int
    starts_on: date
    planned_end_on: date
    """Between 3 and 6 calendar months after `starts_on` (C1)."""
    outcome: Outcome | None = None
    closing_reason: str | None = None
    lessons_learned: str | None = None
    """The REX (C9)."""
    closed_at: AwareDatetime | None = None
    logbook: tuple[LogbookEntry, ...] = ()
    """Newest first, as many as one message carries."""
    logbook_total: int = 0
    """How many entries there are."""


# --- events --------------------------------------------------------------------------------------------------------------------------


class ApplicationEvent(Event):
    aggregate: ClassVar[str] = "application"
    application_id: UUID
    project_lead_id: UUID
    state: ApplicationState


class ApplicationSubmitted(ApplicationEvent):
    subject: ClassVar[str] = "evt.projects.application_submitted.v1"


class ApplicationDecided(ApplicationEvent):
    """The committee decided, always with a reason that the project lead reads in the portal (C4)."""

    subject: ClassVar[str] = "evt.projects.application_decided.v1"


class EngagementEvent(Event):
    aggregate: ClassVar[str] = "engagement"
    engagement_id: UUID
    application_id: UUID
    project_lead_id: UUID
    coach_id: UUID
    state: EngagementState
    starts_on: date
    """First day of the coaching."""
    planned_end_on: date
    """Last day as planned, between 3 and 6 calendar months later (C1)."""


class EngagementStarted(EngagementEvent):
    subject: ClassVar[str] = "evt.projects.engagement_started.v1"


class LogbookEntryAdded(EngagementEvent):
    """Something happened in an engagement; the text stays in projects (C8)."""

    subject: ClassVar[str] = "evt.projects.logbook_entry_added.v1"
    entry_id: UUID
    kind: EntryKind
    author_id: UUID


class EngagementClosed(EngagementEvent):
    """The engagement ended with an outcome (C1, C9)."""

    subject: ClassVar[str] = "evt.projects.engagement_closed.v1"
    outcome: Outcome
    has_lessons_learned: bool
    """Whether a REX was written (C9); its text stays in projects."""


# --- requests ------------------------------------------------------------------------------------------------------------------------


class SubmitApplication(Request[Application]):
    """An agent asks for coaching. Refuses `application_exists`, `not_allowed` (for another agent)."""

    subject: ClassVar[str] = "rpc.projects.submit_application.v1"
    application_id: UUID
    project_lead_id: UUID
    title: Annotated[str, StringConstraints(strip_whitespace=True, min_length=3, max_length=200)]
    problem: Prose


class DecideApplication(Request[Application]):
    """The committee's decision. Needs the role `lab_team` or `operator`. Refuses `application_unknown`, `already_decided`,
    `reason_required`, `redirection_required` (not accepted, and nothing concrete proposed: C4), `redirection_unexpected` (accepted),
    `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.projects.decide_application.v1"
    application_id: UUID
    decision: Decision
    reason: Annotated[str, Field(max_length=2000)] = ""
    redirection: Annotated[str, Field(max_length=500)] = ""


class StartEngagement(Request[Engagement]):
    """Start the coaching of an accepted application. Needs `lab_team` or `operator`. Refuses `application_unknown`,
    `application_not_accepted`, `engagement_exists`, `duration_out_of_bounds` (C1), `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.projects.start_engagement.v1"
    engagement_id: UUID
    application_id: UUID
    coach_id: UUID
    starts_on: date
    planned_end_on: date


class AddLogbookEntry(Request[Engagement]):
    """The project lead, the coach or the lab team writes in the logbook. Refuses `engagement_unknown`, `engagement_is_closed`,
    `not_allowed`, `entry_exists`.
    """

    subject: ClassVar[str] = "rpc.projects.add_logbook_entry.v1"
    engagement_id: UUID
    entry_id: UUID
    kind: EntryKind
    text: Prose


class CloseEngagement(Request[Engagement]):
    """End an engagement with an outcome and a written reason, at any time (C1). Coach, lab team or operator.

    Refuses `engagement_unknown`, `engagement_is_closed`, `lessons_learned_required` (C9: no REX, except `abandoned` once 15 days have
    passed), `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.projects.close_engagement.v1"
    engagement_id: UUID
    outcome: Outcome
    reason: Prose
    lessons_learned: Annotated[str, Field(max_length=10_000)] = ""


class GetEngagement(Request[Engagement]):
    """Refuses `engagement_unknown`, also when the caller has no part in it."""

    subject: ClassVar[str] = "rpc.projects.get_engagement.v1"
    engagement_id: UUID


class Portfolio(Message):
    applications: tuple[Application, ...]
    engagements: tuple[Engagement, ...]


class GetPortfolio(Request[Portfolio]):
    """What an agent leads or coaches, newest first. Refuses `not_allowed` (another agent's)."""

    subject: ClassVar[str] = "rpc.projects.get_portfolio.v1"
    agent_id: UUID

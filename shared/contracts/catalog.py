"""What catalog answers and says: activities, hosts, venues, sessions with periods."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.details import ActivityDetails
from shared.contracts.feedback import Improvements
from shared.contracts.messages import Acknowledged, Event, Message, Request
from shared.contracts.quotas import Department, Quota

Title = Annotated[str, Field(min_length=3, max_length=200)]
Text = Annotated[str, Field(max_length=4000)]
Seats = Annotated[int, Field(ge=1, le=10_000)]


class ActivityType(StrEnum):
    LABTOUR = "labtour"
    INNOVATION_THURSDAY = "innovation_thursday"
    TRAINING = "training"
    WORKSHOP_SUPPORT = "workshop_support"
    COACHING = "coaching"


class DeliveryMode(StrEnum):
    IN_PERSON = "in_person"
    REMOTE = "remote"
    HYBRID = "hybrid"


class LocalPeriod(Message):
    """A period as people say it: wall-clock times in an IANA zone. Non-existent times move forward, ambiguous ones are the first (T1)."""

    local_start: datetime
    local_end: datetime
    zone: str = "Europe/Paris"


class Period(LocalPeriod):
    """A period with its derived instants in UTC, half-open `[starts_at, ends_at)`."""

    starts_at: AwareDatetime
    ends_at: AwareDatetime
    moved_forward: bool = False
    """True when the start or the end did not exist (change to summer time) and was moved forward one hour; `local_…` say the moved time."""


class VenueSheet(Message):
    """What an agent needs to know of a place before coming."""

    venue_id: UUID
    name: str
    address: str
    city: str
    department: str
    """Two-character code of the département, such as `31`."""
    step_free_access: bool
    public_transport: str = ""
    notice_days: int = 0
    """Days before a session by which the place wants to know of it."""

    @property
    def in_one_line(self) -> str:
        return f"{self.name}, {self.address}, {self.city}"


class SessionState(Message):
    """The public state of a session, activity and venue included, so that a reader needs no second question."""

    session_id: UUID
    version: int
    activity_id: UUID
    activity_type: ActivityType
    title: str
    summary: str
    theme: str
    delivery_mode: DeliveryMode
    venue: VenueSheet | None
    periods: tuple[Period, ...]
    """One or more, in order; the session starts with the first (T1)."""
    capacity: int
    """Seats that agents can book."""
    remote_capacity: int | None = None
    """Places at a distance of a hybrid session, beside the seats in the room; None where nobody books these apart (B9)."""
    quorum: int | None = None
    status: Literal["scheduled", "cancelled"]
    cancellation_reason: str | None = None
    opens_at: AwareDatetime | None = None
    """When agents may book, where the lab said so; otherwise six weeks before (B6)."""
    closes_at: AwareDatetime | None = None
    """From when newcomers are refused, such as the date agreed with a host; otherwise what its kind has by rule (B6)."""
    series_id: UUID | None = None
    """The series that it is a date of; the first one, where series continue each other."""
    private: bool = False
    """True when it was made for one group, as agreed with it: not in the public programme, and groups may have all of it (G4)."""
    needs_approval: bool = False
    """Whether a seat is only an agent's once their line manager agrees (B7)."""
    quota: Quota | None = None
    """Who may book first, and how many seats; None where everybody books at once (W1)."""

    @property
    def starts_at(self) -> datetime:
        return self.periods[0].starts_at

    @property
    def ends_at(self) -> datetime:
        return self.periods[-1].ends_at

    def followed(self, *, remote: bool) -> Self:
        """As it is for one agent: whoever has a place at a distance comes nowhere (B9)."""
        return self.model_copy(update={"delivery_mode": DeliveryMode.REMOTE, "venue": None}) if remote else self


# --- events --------------------------------------------------------------------------------------------------------------------------


class ActivityPublished(Event):
    """An activity can be seen in the programme from now on."""

    subject: ClassVar[str] = "evt.catalog.activity_published.v1"
    aggregate: ClassVar[str] = "activity"
    activity_id: UUID
    activity_type: ActivityType
    title: str
    """In French, as the programme shows it."""
    summary: str
    """One or two sentences, for lists."""
    description: str
    """The whole text, for the activity's own page."""
    theme: str
    """Label that the programme is filtered by."""
    delivery_mode: DeliveryMode
    host_id: UUID | None = None
    audience: str = ""
    """For whom it is, such as « agents d'accueil »; for everybody when empty."""
    details: ActivityDetails | None = None
    """What only its type has."""
    improvements: Improvements = ()
    """What participants said and what the lab did; the last ten at most, in the order of the page."""


class SessionScheduled(Event):
    """A session has its dates, its place and its seats; booking may open it."""

    subject: ClassVar[str] = "evt.catalog.session_scheduled.v1"
    aggregate: ClassVar[str] = "session"
    session_id: UUID
    session: SessionState

    @property
    def is_private(self) -> bool:
        return self.session.private


class SessionRescheduled(Event):
    """Periods, venue or seats of a session changed; `session` is the state after, `previous_*` what it was before."""

    subject: ClassVar[str] = "evt.catalog.session_rescheduled.v1"
    aggregate: ClassVar[str] = "session"
    session_id: UUID
    session: SessionState
    previous_periods: tuple[Period, ...]
    """When it was to take place."""
    previous_venue: VenueSheet | None = None
    """Where it was to take place."""
    previous_capacity: int
    """Seats it had."""
    reason: str = ""
    """Why, in French for the people who come."""

    @property
    def is_private(self) -> bool:
        return self.session.private


class SessionCancelled(Event):
    """The lab cancelled a session; everything booked on it is cancelled too (E2)."""

    subject: ClassVar[str] = "evt.catalog.session_cancelled.v1"
    aggregate: ClassVar[str] = "session"
    session_id: UUID
    session: SessionState
    reason: str
    """Why, in French for the people who would have come."""

    @property
    def is_private(self) -> bool:
        return self.session.private


class PrivateSessionRefused(Event):
    """A private session that was agreed could not be made; it never existed, and nothing else will be said of this id."""

    subject: ClassVar[str] = "evt.catalog.private_session_refused.v1"
    aggregate: ClassVar[str] = "session"
    session_id: UUID
    code: str
    """Of the refusal, such as `venue_taken` or `venue_closed`."""
    reason: str
    """The refusal's title, in French."""


# --- requests ------------------------------------------------------------------------------------------------------------------------
# Whoever asks chooses the id, so that asking twice creates once. All of the writing ones need the role `operator` or `lab_team`.


class AddHost(Request[Acknowledged]):
    """Record an organisation that welcomes sessions. Refuses `host_exists` when the id is taken by other content."""

    subject: ClassVar[str] = "rpc.catalog.add_host.v1"
    host_id: UUID
    name: Title
    kind: Annotated[str, Field(max_length=100)]


class AddVenue(Request[Acknowledged]):
    """Record a place of a host. Refuses `host_unknown`, `venue_exists`."""

    subject: ClassVar[str] = "rpc.catalog.add_venue.v1"
    venue_id: UUID
    host_id: UUID
    name: Title
    address: Annotated[str, Field(max_length=300)]
    city: Annotated[str, Field(max_length=100)]
    department: Department
    capacity: Seats
    step_free_access: bool
    public_transport: Annotated[str, Field(max_length=300)] = ""
    closed_weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = ()
    """ISO weekdays on which the place is closed, 1 = Monday."""
    notice_days: Annotated[int, Field(ge=0, le=365)] = 0
    """Days before a session, those of the calendar there, by which the place wants to know of it."""


class DraftActivity(Request[Acknowledged]):
    """Write an activity that nobody sees yet.

    Refuses `host_unknown`, `activity_exists`, `details_of_another_type`, `group_size_inverted` (more at least than at most).
    """

    subject: ClassVar[str] = "rpc.catalog.draft_activity.v1"
    activity_id: UUID
    activity_type: ActivityType
    title: Title
    summary: Annotated[str, Field(max_length=400)]
    description: Text = ""
    theme: Annotated[str, Field(max_length=100)]
    delivery_mode: DeliveryMode
    host_id: UUID | None = None
    needs_approval: bool = False
    """Whether line managers are asked for each booking of its sessions (B7)."""
    audience: Annotated[str, Field(max_length=200)] = ""
    """For whom it is; for everybody when empty."""
    details: ActivityDetails | None = None
    """What only its type has, which is that of the activity."""
    improvements: Improvements = ()
    """What participants said and what the lab did, in the order of the page."""


class PublishActivity(Request[Acknowledged]):
    """Show a draft in the programme: version 1 of what is said of it.

    Refuses `activity_unknown`, `activity_already_published`, `activity_is_archived`.
    """

    subject: ClassVar[str] = "rpc.catalog.publish_activity.v1"
    activity_id: UUID


class ScheduleSession(Request[SessionState]):
    """Give a published activity a date. Only an operator may record a date that has passed, as an import does.

    Refuses `activity_unknown`, `activity_not_published`, `activity_is_archived`, `venue_unknown`, `venue_required`, `venue_unexpected`
    (a remote activity), `venue_too_small`, `venue_closed`, `venue_needs_notice` (with its `notice_days`), `periods_invalid`,
    `session_in_past`, `quorum_too_high`, `remote_capacity_unexpected` (not a hybrid activity), `quota_invalid` (and what is wrong with it),
    `quota_too_late` (booking is open already, W1), `session_exists`.
    """

    subject: ClassVar[str] = "rpc.catalog.schedule_session.v1"
    session_id: UUID
    activity_id: UUID
    venue_id: UUID | None = None
    periods: Annotated[tuple[LocalPeriod, ...], Field(min_length=1, max_length=50)]
    capacity: Seats
    remote_capacity: Seats | None = None
    quorum: Seats | None = None
    opens_at: AwareDatetime | None = None
    """When agents may book; six weeks before when left out (B6)."""
    closes_at: AwareDatetime | None = None
    """From when newcomers are refused; what its kind has by rule when left out (B6)."""
    private: bool = False
    """For one group only: not shown in the public programme."""
    needs_approval: bool | None = None
    """Whether line managers are asked; as its activity says when left out (B7)."""
    quota: Quota | None = None
    """Who may book first: between `opens_at`, which it needs, and before the first hour of the session (W1)."""


class RescheduleSession(Request[SessionState]):
    """Change dates, place or seats; what is left out stays. Refuses as `ScheduleSession`, and `session_is_cancelled`, `nothing_changed`."""

    subject: ClassVar[str] = "rpc.catalog.reschedule_session.v1"
    session_id: UUID
    periods: Annotated[tuple[LocalPeriod, ...], Field(min_length=1, max_length=50)] | None = None
    venue_id: UUID | None = None
    capacity: Seats | None = None
    reason: Annotated[str, Field(max_length=500)] = ""
    remote_capacity: Seats | None = None
    expected_version: int | None = None
    """When given and not the present version: refused with `version_conflict`."""


class CancelSession(Request[SessionState]):
    """Cancel a session. Cancelling twice changes nothing and answers the same (M5). Refuses `session_unknown`."""

    subject: ClassVar[str] = "rpc.catalog.cancel_session.v1"
    session_id: UUID
    reason: Annotated[str, Field(min_length=3, max_length=500)]


class GetSession(Request[SessionState]):
    """One session of an activity that is or was published. Refuses `session_unknown`."""

    subject: ClassVar[str] = "rpc.catalog.get_session.v1"
    session_id: UUID


class SessionList(Message):
    sessions: tuple[SessionState, ...]
    next_cursor: str | None = None


class ListSessions(Request[SessionList]):
    """Sessions of the public programme that start at or after `starts_after`, oldest first, at most `limit`; go on with `next_cursor`.

    Refuses `cursor_invalid`.
    """

    subject: ClassVar[str] = "rpc.catalog.list_sessions.v1"
    starts_after: AwareDatetime | None = None
    activity_type: ActivityType | None = None
    cursor: str | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 100

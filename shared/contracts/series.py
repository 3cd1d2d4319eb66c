"""What catalog answers and says of series: dates on a grid, what happened to each, and changes seen before they are made.

All of it is for the lab: roles `operator` or `lab_team`.
"""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.catalog import Period, Seats
from shared.contracts.messages import Event, Message, Request

Reason = Annotated[str, Field(min_length=3, max_length=500)]


class HolidayPolicy(StrEnum):
    """What becomes of a date that falls on a public holiday. Whatever it is, the grid stays (T2)."""

    SKIP = "skip"
    SHIFT_ONE_WEEK = "shift_one_week"
    SHIFT_TO_TUESDAY = "shift_to_tuesday"
    """The Tuesday of the same week."""
    ASK = "ask"


class DateState(StrEnum):
    SCHEDULED = "scheduled"
    SHIFTED = "shifted"
    """By the holiday policy."""
    MOVED = "moved"
    """By a person."""
    SKIPPED = "skipped"
    TO_DECIDE = "to_decide"
    """The policy asks, a shift found no free day, or nothing says yet what the date holds."""


class WarningCode(StrEnum):
    SCHOOL_HOLIDAY = "school_holiday"
    LONG_WEEKEND = "long_weekend"
    PUBLIC_HOLIDAY = "public_holiday"
    MOVED_FORWARD = "moved_forward"
    VENUE_TAKEN = "venue_taken"
    SPEAKER_TAKEN = "speaker_taken"
    """Somebody said in the same words to speak, elsewhere, at these hours: no name is known."""
    HOST_TAKEN = "host_taken"


class WallTimes(Message):
    """A period of a day, on the wall clock."""

    start: time
    end: time


Turn = Annotated[tuple[WallTimes, ...], Field(min_length=1, max_length=4)]
Turns = Annotated[tuple[Turn, ...], Field(min_length=1, max_length=8)]


class DateContent(Message):
    """What one date of the grid holds, where the series does not say it."""

    on: date
    """The date on the grid, even when a holiday moves what it holds."""
    activity_id: UUID | None = None
    session_id: UUID | None = None
    """When left out, an id made of the series' and the grid index."""
    venue_id: UUID | None = None
    opens_at: AwareDatetime | None = None
    """When agents may book it; six weeks before when left out (B6)."""


class DateWarning(Message):
    """Something to look at before going on. It blocks nothing (T3)."""

    code: WarningCode
    title: str
    """In French, such as « Vacances d'hiver (zone C) »."""
    session_id: UUID | None = None
    """The other session, of a clash."""


class SeriesDate(Message):
    """One date of the grid, and what became of it."""

    grid_index: int
    """Its place on the grid, 0 = the anchor; decides which of the times it takes."""
    on: date
    """Where the grid has it."""
    state: DateState
    held_on: date | None = None
    """The day on which it takes place; none while it does not."""
    reason: str | None = None
    """Why it was skipped, shifted or moved, or waits for a decision, in French: « Ascension »."""
    periods: tuple[Period, ...] = ()
    warnings: tuple[DateWarning, ...] = ()
    activity_id: UUID | None = None
    session_id: UUID | None = None
    session_version: int | None = None
    session_status: Literal["scheduled", "cancelled"] | None = None
    overridden: bool = False
    """True when this session was changed by itself: changes of the series leave it alone unless told otherwise (T4)."""


class SeriesPlan(Message):
    """What a series would be. Nothing was written."""

    dates: tuple[SeriesDate, ...]


class SeriesState(Message):
    """A series with all its dates."""

    series_id: UUID
    version: int
    anchor: date
    every_weeks: int
    times: tuple[tuple[WallTimes, ...], ...]
    zone: str
    policy: HolidayPolicy
    activity_id: UUID | None
    venue_id: UUID | None
    capacity: int
    remote_capacity: int | None = None
    quorum: int | None = None
    previous_series_id: UUID | None = None
    """The one that this continues, after a change of « cette date et les suivantes »."""
    next_series_id: UUID | None = None
    """The one that continues this; none while it is open."""
    dates: tuple[SeriesDate, ...]


# --- events --------------------------------------------------------------------------------------------------------------------------


class SeriesDateFact(Message):
    """A date without words: a reason may be what somebody wrote."""

    grid_index: int
    on: date
    state: DateState
    held_on: date | None = None
    session_id: UUID | None = None


class SeriesEvent(Event):
    aggregate: ClassVar[str] = "series"
    series_id: UUID
    anchor: date
    """The date of index 0, from which the others are counted."""
    every_weeks: int
    """Weeks from one date to the next."""
    policy: HolidayPolicy
    previous_series_id: UUID | None = None
    """The one that this continues."""
    next_series_id: UUID | None = None
    """The one that continues this."""
    dates: tuple[SeriesDateFact, ...]
    """All dates of the series, after the change."""


class SeriesGenerated(SeriesEvent):
    """A series is there, its sessions scheduled in the same transaction; or it continues another one, and took over its dates."""

    subject: ClassVar[str] = "evt.catalog.series_generated.v1"


class SeriesChanged(SeriesEvent):
    """Dates of a series changed: a decision, a change of one or of many, or those that followed went to `next_series_id`."""

    subject: ClassVar[str] = "evt.catalog.series_changed.v1"


# --- requests ------------------------------------------------------------------------------------------------------------------------


class SeriesOrder(Message):
    """Dates every so many weeks from the anchor, taking the times in turn; a skipped date uses its turn (T2)."""

    anchor: date
    until: date
    """The last date that the grid may have, inclusive."""
    every_weeks: Annotated[int, Field(ge=1, le=8)] = 2
    """« Tous les 15 jours » is 2."""
    times: Turns
    zone: str = "Europe/Paris"
    policy: HolidayPolicy = HolidayPolicy.SKIP
    activity_id: UUID | None = None
    """What the dates hold; one without an activity of its own either waits for a decision."""
    venue_id: UUID | None = None
    capacity: Seats
    remote_capacity: Seats | None = None
    quorum: Seats | None = None
    dates: Annotated[tuple[DateContent, ...], Field(max_length=60)] = ()


class PlanSeries(SeriesOrder, Request[SeriesPlan]):
    """What `GenerateSeries` would make: dates, skips with their reasons, warnings, clashes. Writes nothing.

    Refuses `series_empty`, `series_too_long` (over 60 dates), `date_off_grid` (naming it), `periods_invalid`, `venue_unknown`,
    `activity_unknown`, `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.catalog.plan_series.v1"


class GenerateSeries(SeriesOrder, Request[SeriesState]):
    """Make a series and schedule its sessions, all or none. Asking again with the same content answers the series as it is now.

    Refuses `series_exists`, `series_empty`, `series_too_long`, `date_off_grid` (naming it), `session_exists` and all that
    `ScheduleSession` refuses, naming the date; `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.catalog.generate_series.v1"
    series_id: UUID


class GetSeries(Request[SeriesState]):
    """Refuses `series_unknown`, `not_allowed`."""

    subject: ClassVar[str] = "rpc.catalog.get_series.v1"
    series_id: UUID


class DecideDate(Request[SeriesState]):
    """Decide a date that waits for it: hold it where it is, move it, or skip it; a skipped one may still be held or moved.

    The same decision again changes nothing.

    Refuses `series_unknown`, `date_unknown`, `date_already_decided`, `date_required` (a move without `to`), `date_taken` (`to` is
    another date of the series), `activity_required`, and all that `ScheduleSession` refuses; `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.catalog.decide_date.v1"
    series_id: UUID
    grid_index: Annotated[int, Field(ge=0)]
    decision: Literal["hold", "move", "skip"]
    to: date | None = None
    reason: Reason
    activity_id: UUID | None = None
    """What it holds, where nothing said it before."""
    venue_id: UUID | None = None


class SeriesChange(Message):
    """What is to change, and of which dates (T4). Past and cancelled sessions are never touched."""

    series_id: UUID
    grid_index: Annotated[int, Field(ge=0)] = 0
    """The date from which it holds; of no matter for `all`."""
    scope: Literal["this", "following", "all"]
    times: Turns | None = None
    shift_days: Annotated[int, Field(ge=-366, le=366)] = 0
    """The dates move by so many days, the grid with them; for `this`, the date alone does."""
    venue_id: UUID | None = None
    capacity: Seats | None = None
    remote_capacity: Seats | None = None
    """Places at a distance, where the sessions are hybrid (B9)."""
    include_overridden: bool = False
    """Change sessions too that were changed by themselves."""
    reason: Reason
    """Why, in French for the people who come."""


class SessionBefore(Message):
    periods: tuple[Period, ...]
    venue_id: UUID | None
    capacity: int
    remote_capacity: int | None = None


class SessionChange(Message):
    """A session that the change touches."""

    grid_index: int
    session_id: UUID
    before: SessionBefore
    after: SessionBefore
    held: int
    """In the room and at a distance, as `waiting`."""
    waiting: int
    mails: int
    """Everybody who holds a seat or waits is told."""
    warnings: tuple[DateWarning, ...] = ()


class SessionKept(Message):
    """A session that the change leaves alone."""

    grid_index: int
    session_id: UUID
    why: Literal["past", "cancelled", "overridden", "public_holiday", "unchanged"]


class SeriesPreview(Message):
    """What the change would do, now. Counters are those that booking told last."""

    fingerprint: str
    """What `ChangeSeries` must bring back: it stands for the series, the sessions and the clashes, not for the counters."""
    changed: tuple[SessionChange, ...]
    kept: tuple[SessionKept, ...]
    bookings: int
    """Seats held in the sessions that change."""
    mails: int


class PreviewSeriesChange(SeriesChange, Request[SeriesPreview]):
    """What `ChangeSeries` would do, with the fingerprint that it asks for. Writes nothing.

    Refuses `series_unknown`, `date_unknown`, for a single date `date_not_held`, `session_in_past` and
    `session_is_cancelled`; `nothing_to_change`, and all that `RescheduleSession` refuses; `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.catalog.preview_series_change.v1"


class ChangeSeries(SeriesChange, Request[SeriesState]):
    """Make the change that was previewed, all or nothing. `following` closes the series and answers with the one that continues it.

    Refuses `preview_outdated` when what the preview said is no longer so, and all that `PreviewSeriesChange` refuses. The same change again
    answers the same.
    """

    subject: ClassVar[str] = "rpc.catalog.change_series.v1"
    fingerprint: Annotated[str, Field(max_length=100)]

"""What booking answers and says of attendance: sheets per half-day, check-in, corrections, what became of each booking."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.booking import AttendanceOutcome
from shared.contracts.messages import Event, Message, Request

Reason = Annotated[str, Field(min_length=3, max_length=300)]
HalfDayNumber = Annotated[int, Field(ge=1, le=200)]


class SheetState(StrEnum):
    OPEN = "open"
    """Somebody may still be added to a half-day that is not closed."""
    CLOSED = "closed"
    """The trainer signed every half-day: who is not on the sheet was absent (N2)."""
    GIVEN_UP = "given_up"
    """Not closed within 10 working days of the session's end: whoever is not on it is `unknown` (N2)."""


class CheckInWay(StrEnum):
    PERSONAL_QR = "personal_qr"
    """The trainer scanned the agent's own code."""
    ROOM_CODE = "room_code"
    """The agent typed the code that was shown in the room."""
    BY_HAND = "by_hand"
    """The trainer or the lab entered it, from the paper sheet or as a correction, with a reason (A4)."""


class HalfDay(Message):
    """A morning or an afternoon of a session, on the clocks of Paris; half-open `[starts_at, ends_at)` (A1)."""

    number: HalfDayNumber
    """Among those of its session, in order, from 1."""
    day: date
    part: Literal["morning", "afternoon"]
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class HalfDaySheet(HalfDay):
    closed_at: AwareDatetime | None = None
    """When the trainer signed it; nobody checks in from then on."""
    closed_by: str | None = None
    """Opaque id of who signed."""


class Presence(Message):
    """One agent was there for one half-day."""

    half_day: HalfDayNumber
    way: CheckInWay
    at: AwareDatetime
    """When it was scanned or typed in the room; for an entry by hand, when it was entered."""


class SheetLine(Message):
    """One agent who was expected."""

    booking_id: UUID
    agent_id: UUID
    presences: tuple[Presence, ...] = ()
    outcome: AttendanceOutcome | None = None
    """None while nothing can be said yet."""


class AttendanceSheet(Message):
    """Who was expected at a session and who came, per half-day. Names are the directory's."""

    session_id: UUID
    state: SheetState
    version: int
    trainer_id: UUID | None
    """Who may keep the sheet beside the lab: an agent, or somebody without an account who has its link."""
    link_until: AwareDatetime
    """Until when the trainer's link opens it: long enough for a late paper sheet and its corrections."""
    half_days: tuple[HalfDaySheet, ...]
    lines: tuple[SheetLine, ...]


class RoomCode(Message):
    session_id: UUID
    half_day: HalfDayNumber
    code: str
    """Six letters and digits, without those that look alike."""
    valid_until: AwareDatetime
    """From then on another code is shown; this one is taken for five minutes more."""


class CheckedIn(Message):
    booking_id: UUID
    session_id: UUID
    half_day: HalfDay
    way: CheckInWay
    at: AwareDatetime


# --- events --------------------------------------------------------------------------------------------------------------------------


class SheetEvent(Event):
    aggregate: ClassVar[str] = "sheet"
    sheet_id: UUID
    """The session's id: a session has one sheet."""
    session_id: UUID
    trainer_id: UUID | None = None


class SheetEntrusted(SheetEvent):
    """The lab asked `trainer_id` to keep the attendance sheet of this session; a link to it goes to them."""

    subject: ClassVar[str] = "evt.booking.sheet_entrusted.v1"
    expires_at: AwareDatetime
    """Until when the link opens the sheet."""


class SheetOverdue(SheetEvent):
    """48 hours after its end a session's sheet is still open: whoever keeps it is reminded (N2)."""

    subject: ClassVar[str] = "evt.booking.sheet_overdue.v1"
    unknown_at: AwareDatetime
    """When the sheet is given up, and nobody can be called absent any more."""
    expires_at: AwareDatetime
    """Until when the link opens the sheet."""


class AttendanceEvent(Event):
    aggregate: ClassVar[str] = "attendance"
    attendance_id: UUID
    """The booking's id: a booking has one attendance."""
    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    outcome: AttendanceOutcome
    half_days: tuple[HalfDayNumber, ...]
    """Those attended, of sheets that are closed."""
    of: int
    """How many half-days the session has."""
    decided_at: AwareDatetime
    """Domain time of the decision."""


class AttendanceRecorded(AttendanceEvent):
    """The sheet is closed, or given up: what became of this booking (N2). Nothing is said before (A3)."""

    subject: ClassVar[str] = "evt.booking.attendance_recorded.v1"


class AttendanceCorrected(AttendanceEvent):
    """What had been recorded was not so, or an absence was excused (A2, N3)."""

    subject: ClassVar[str] = "evt.booking.attendance_corrected.v1"
    why: Literal["correction", "excuse"]
    """What changed it: an entry by hand or a late signature, or the agent's excuse."""


# --- requests ------------------------------------------------------------------------------------------------------------------------
# "Whoever keeps the sheet" is its trainer, and the roles `operator` and `lab_team`. To others a sheet does not exist: `sheet_unknown`.


class EntrustSheet(Request[AttendanceSheet]):
    """Say who keeps the sheet; the former trainer's link ends. Needs the role `operator` or `lab_team`.

    Without `trainer_id`, for somebody whom the directory does not know, an id is made: the link is then handed over by the lab.
    Refuses `not_allowed`, `sheet_unknown`.
    """

    subject: ClassVar[str] = "rpc.booking.entrust_sheet.v1"
    session_id: UUID
    trainer_id: UUID | None = None


class GetSheet(Request[AttendanceSheet]):
    """For whoever keeps the sheet. Refuses `sheet_unknown`."""

    subject: ClassVar[str] = "rpc.booking.get_sheet.v1"
    session_id: UUID


class GetRoomCode(Request[RoomCode]):
    """The code to show in the room now, for whoever keeps the sheet. Refuses `sheet_unknown`, `no_half_day_now`."""

    subject: ClassVar[str] = "rpc.booking.get_room_code.v1"
    session_id: UUID


class CheckIn(Request[CheckedIn]):
    """An agent is there: by the code of the room, or scanned by whoever keeps the sheet, who needs no code. Twice is once.

    Refuses `booking_unknown` (also when it is another agent's), `not_expected` (no seat), `room_code_wrong`, `no_half_day_now`,
    `scanned_in_the_future`, `half_day_closed`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.check_in.v1"
    booking_id: UUID
    room_code: Annotated[str, Field(max_length=20)] | None = None
    scanned_at: AwareDatetime | None = None
    """When it was scanned or typed, if it could not be sent at once; taken until the half-day is closed."""


class HandEntry(Message):
    booking_id: UUID
    present: bool


class EnterAttendance(Request[AttendanceSheet]):
    """Enter presences by hand, from the paper sheet or as a correction; author and reason are kept (A4).

    On a closed half-day this corrects what was recorded, and the certificate follows (A2). Refuses `sheet_unknown`, `half_day_unknown`,
    `not_expected`, `half_day_not_begun`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.enter_attendance.v1"
    session_id: UUID
    half_day: HalfDayNumber
    entries: Annotated[tuple[HandEntry, ...], Field(min_length=1, max_length=1000)]
    reason: Reason


class CloseHalfDay(Request[AttendanceSheet]):
    """The trainer signs a half-day (A1); with the last one the sheet is closed. Signing twice changes nothing.

    Refuses `sheet_unknown`, `half_day_unknown`, `half_day_not_over`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.close_half_day.v1"
    session_id: UUID
    half_day: HalfDayNumber


class SheetList(Message):
    sheets: tuple[AttendanceSheet, ...]


class ListOpenSheets(Request[SheetList]):
    """Sheets of sessions that are over and not closed, oldest first, without their lines. Needs `operator` or `lab_team`: `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.list_open_sheets.v1"
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class Attendance(Message):
    """What became of one booking."""

    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    outcome: AttendanceOutcome | None
    """None while nothing can be said yet; an excuse given before the sheet is closed is kept until then."""
    excused: bool


class DeclareExcuse(Request[Attendance]):
    """Illness or a service need kept the agent from coming, says the agent or the lab for them. It is accepted as it stands: which of the
    two is neither asked nor kept (N3).

    Refuses `booking_unknown` (also when it is another agent's), `excuse_too_early` (the session has not begun), `excuse_too_late` (with
    `until`), `nothing_to_excuse`.
    """

    subject: ClassVar[str] = "rpc.booking.declare_excuse.v1"
    booking_id: UUID

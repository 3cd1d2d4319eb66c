"""The kinds of mail, and whether a mail that waited still has something to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from shared.contracts.booking import (
    BookingState,
    PendingKind,
)
from shared.contracts.catalog import Period, SessionState, VenueSheet
from shared.contracts.groups import (
    ACTIVE_GROUP_STATES,
    GroupState,
)
from shared.errors import Refused


class DeliveryUnknown(Refused):
    code, status, title = "delivery_unknown", 404, "Ce message n'existe pas."


class DeliverySettled(Refused):
    """Travels with `state`, which is what became of it."""

    code = "delivery_settled"
    title = "Ce message n'attend aucune décision."


class MailKind(StrEnum):
    BOOKING_CONFIRMED = "booking_confirmed"
    WAITLIST_JOINED = "waitlist_joined"
    WAITLIST_PROMOTED = "waitlist_promoted"
    OFFER_MADE = "offer_made"
    OFFER_ACCEPTED = "offer_accepted"
    OFFER_EXPIRED = "offer_expired"
    BOOKING_CANCELLED = "booking_cancelled"
    CANCELLED_BY_LAB = "cancelled_by_lab"
    SEAT_WITHDRAWN = "seat_withdrawn"
    VOLUNTEER_SOUGHT = "volunteer_sought"
    WAITLIST_CLOSED = "waitlist_closed"
    SESSION_MOVED = "session_moved"
    SHEET_ENTRUSTED = "sheet_entrusted"
    SHEET_OVERDUE = "sheet_overdue"
    ABSENCE_RECORDED = "absence_recorded"
    EXCUSE_ACCEPTED = "excuse_accepted"
    ATTENDANCE_UNKNOWN = "attendance_unknown"
    CERTIFICATE_AVAILABLE = "certificate_available"
    CERTIFICATE_REVOKED = "certificate_revoked"
    FEEDBACK_HOT = "feedback_hot"
    FEEDBACK_COLD = "feedback_cold"
    GROUP_WAITING = "group_waiting"
    GROUP_CONFIRMED = "group_confirmed"
    GROUP_OFFERED = "group_offered"
    GROUP_CANCELLED = "group_cancelled"
    GROUP_CLOSED = "group_closed"
    GROUP_NAMES_DUE = "group_names_due"
    GROUP_RELEASED = "group_released"
    SEAT_MERGED = "seat_merged"
    MODE_CHANGED = "mode_changed"
    REMINDER = "reminder"
    JOINING_INSTRUCTIONS = "joining_instructions"
    NEWS = "news"
    DIGEST = "digest"
    """Mails that would have been too many, or whose reader wants one a day."""
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_ASKED = "approval_asked"
    """To the line manager, as the next one."""
    APPROVAL_LAPSED = "approval_lapsed"
    APPROVAL_GIVEN = "approval_given"
    APPROVAL_REFUSED = "approval_refused"
    SEAT_RELEASED = "seat_released"
    SEAT_TO_RECONFIRM = "seat_to_reconfirm"
    SEAT_TO_CONFIRM = "seat_to_confirm"
    MOVED_URGENT = "moved_urgent"
    APPLICATION_RECEIVED = "application_received"
    APPLICATION_DECIDED = "application_decided"
    ENGAGEMENT_STARTED = "engagement_started"
    ENGAGEMENT_CLOSED = "engagement_closed"
    TAILORED_RECEIVED = "tailored_received"
    TAILORED_TO_ANSWER = "tailored_to_answer"
    TAILORED_FRAMED = "tailored_framed"
    TAILORED_PROPOSED = "tailored_proposed"
    TAILORED_CONFIRMED = "tailored_confirmed"
    TAILORED_HOST_REFUSED = "tailored_host_refused"
    TAILORED_REOPENED = "tailored_reopened"
    TAILORED_EXPIRED = "tailored_expired"
    TAILORED_OVERDUE = "tailored_overdue"
    TAILORED_DECLINED = "tailored_declined"
    TAILORED_WITHDRAWN = "tailored_withdrawn"
    HOST_ASKED = "host_asked"
    HOST_EXPECTED = "host_expected"
    HOST_RELEASED = "host_released"


FIRST_WORDS = (
    MailKind.BOOKING_CONFIRMED,
    MailKind.WAITLIST_JOINED,
    MailKind.WAITLIST_PROMOTED,
    MailKind.OFFER_MADE,
    MailKind.OFFER_ACCEPTED,
    MailKind.GROUP_WAITING,
    MailKind.GROUP_CONFIRMED,
    MailKind.GROUP_OFFERED,
    MailKind.APPROVAL_REQUESTED,
    MailKind.APPROVAL_GIVEN,
)
PATIENT = (
    MailKind.BOOKING_CONFIRMED,
    MailKind.WAITLIST_JOINED,
    MailKind.WAITLIST_PROMOTED,
    MailKind.OFFER_ACCEPTED,
    MailKind.MODE_CHANGED,
    MailKind.APPROVAL_REQUESTED,
    MailKind.APPROVAL_ASKED,
    MailKind.GROUP_WAITING,
    MailKind.GROUP_CONFIRMED,
)
"""Kinds that wait for second thoughts before they leave (E3). An offer does not: its deadline runs."""

REMINDERS = (MailKind.REMINDER, MailKind.JOINING_INSTRUCTIONS)

QUESTIONS = (
    MailKind.APPROVAL_REQUESTED,
    MailKind.APPROVAL_ASKED,
    MailKind.SEAT_TO_RECONFIRM,
    MailKind.MOVED_URGENT,
    MailKind.SEAT_TO_CONFIRM,
)
"""Kinds that are about a question: once the booking is newer there is another one, or none."""

MOVES = (MailKind.SESSION_MOVED, MailKind.SEAT_TO_RECONFIRM, MailKind.MOVED_URGENT)
PATIENT_MOVES = (MailKind.SESSION_MOVED, MailKind.SEAT_TO_RECONFIRM)
"""Kinds that wait for a second move; what is urgent does not (E3, M1)."""

TO_MANAGERS = (MailKind.APPROVAL_ASKED, MailKind.APPROVAL_LAPSED)

CANCELLATIONS = (
    MailKind.BOOKING_CANCELLED,
    MailKind.CANCELLED_BY_LAB,
    MailKind.SEAT_WITHDRAWN,
    MailKind.WAITLIST_CLOSED,
    MailKind.GROUP_CANCELLED,
    MailKind.GROUP_CLOSED,
    MailKind.APPROVAL_REFUSED,
    MailKind.SEAT_RELEASED,
)
NOT_IN_CALENDARS = (MailKind.WAITLIST_CLOSED, MailKind.GROUP_CANCELLED, MailKind.GROUP_CLOSED)
"""The end of a place in the queue; and a contact has no seat: those who have are written to themselves."""

UPHEAVALS = (*MOVES, MailKind.CANCELLED_BY_LAB, MailKind.WAITLIST_CLOSED, MailKind.SEAT_RELEASED)
"""Kinds by which people are told that a session was moved or cancelled, and what it meant for them (M1, M4)."""

ATTENDANCE = (
    MailKind.SHEET_ENTRUSTED,
    MailKind.SHEET_OVERDUE,
    MailKind.ABSENCE_RECORDED,
    MailKind.EXCUSE_ACCEPTED,
    MailKind.ATTENDANCE_UNKNOWN,
    MailKind.CERTIFICATE_AVAILABLE,
    MailKind.CERTIFICATE_REVOKED,
    MailKind.FEEDBACK_HOT,
    MailKind.FEEDBACK_COLD,
)
"""About who came to a session: they leave whatever else is said of it, and change no calendar."""

CANCELLED_BY_AGENT = frozenset({BookingState.CANCELLED_BY_AGENT, BookingState.LATE_CANCELLED})
# States in which a booking still is what the mail says.
_STILL_TRUE: dict[MailKind, frozenset[BookingState | GroupState]] = {
    MailKind.BOOKING_CONFIRMED: frozenset({BookingState.CONFIRMED}),
    MailKind.WAITLIST_JOINED: frozenset({BookingState.WAITING}),
    MailKind.WAITLIST_PROMOTED: frozenset({BookingState.CONFIRMED}),
    MailKind.OFFER_MADE: frozenset({BookingState.WAITING}),
    MailKind.OFFER_ACCEPTED: frozenset({BookingState.CONFIRMED}),
    MailKind.OFFER_EXPIRED: frozenset({BookingState.LEFT}),
    MailKind.BOOKING_CANCELLED: CANCELLED_BY_AGENT,
    MailKind.CANCELLED_BY_LAB: frozenset({BookingState.CANCELLED_BY_LAB}),
    MailKind.SEAT_WITHDRAWN: frozenset({BookingState.CANCELLED_BY_LAB}),
    MailKind.VOLUNTEER_SOUGHT: frozenset({BookingState.CONFIRMED}),
    MailKind.WAITLIST_CLOSED: frozenset({BookingState.CLOSED}),
    MailKind.SESSION_MOVED: frozenset({BookingState.CONFIRMED, BookingState.WAITING}) | ACTIVE_GROUP_STATES,
    MailKind.GROUP_WAITING: frozenset({GroupState.WAITING}),
    MailKind.GROUP_CONFIRMED: frozenset({GroupState.CONFIRMED, GroupState.PARTLY_CONFIRMED}),
    MailKind.GROUP_OFFERED: frozenset({GroupState.WAITING, GroupState.PARTLY_CONFIRMED}),
    MailKind.GROUP_CANCELLED: frozenset({GroupState.CANCELLED}),
    MailKind.GROUP_CLOSED: frozenset({GroupState.CLOSED}),
    MailKind.GROUP_NAMES_DUE: frozenset({GroupState.CONFIRMED, GroupState.PARTLY_CONFIRMED}),
    MailKind.GROUP_RELEASED: frozenset({GroupState.CONFIRMED, GroupState.RELEASED}),
    MailKind.APPROVAL_REQUESTED: frozenset({BookingState.CONFIRMED}),
    MailKind.APPROVAL_ASKED: frozenset({BookingState.CONFIRMED}),
    MailKind.APPROVAL_LAPSED: frozenset({BookingState.CANCELLED_BY_LAB}),
    MailKind.APPROVAL_GIVEN: frozenset({BookingState.CONFIRMED}),
    MailKind.APPROVAL_REFUSED: frozenset({BookingState.CANCELLED_BY_LAB}),
    MailKind.SEAT_RELEASED: frozenset({BookingState.CANCELLED_BY_LAB}),
    MailKind.SEAT_TO_RECONFIRM: frozenset({BookingState.CONFIRMED}),
    MailKind.MOVED_URGENT: frozenset({BookingState.CONFIRMED}),
    **dict.fromkeys(
        (*REMINDERS, MailKind.SEAT_MERGED, MailKind.SEAT_TO_CONFIRM, MailKind.MODE_CHANGED), frozenset({BookingState.CONFIRMED})
    ),
}

# Kinds that make no sense once the lab cancelled the session: its own message follows from booking (E2).
_NAMES = (MailKind.GROUP_NAMES_DUE, MailKind.GROUP_RELEASED, MailKind.SEAT_MERGED)
_NEEDS_A_SESSION_THAT_STANDS = frozenset(
    {
        *FIRST_WORDS,
        *REMINDERS,
        *MOVES,
        *_NAMES,
        MailKind.APPROVAL_ASKED,
        MailKind.OFFER_EXPIRED,
        MailKind.VOLUNTEER_SOUGHT,
        MailKind.SEAT_TO_CONFIRM,
        MailKind.MODE_CHANGED,
    }
)


@dataclass(frozen=True, slots=True)
class Before:
    """When and where a session was when its agents last heard of it."""

    periods: tuple[Period, ...]
    venue: VenueSheet | None


@dataclass(frozen=True, slots=True)
class Known:
    """What notify knows, now, of the matter of one mail."""

    booking: BookingState | GroupState
    session: SessionState
    told: int
    """Newest version of the session that another mail, gone out already, told this agent; 0 when none did."""
    to_be_told: bool = False
    """A first mail of this booking has not left yet; it will tell of the session as it is then."""
    seat_elsewhere: bool = False
    """The agent has a newer booking of the same session, with a seat."""
    before: Before | None = None
    newer: bool = False
    """The booking has gone on since the fact that the mail tells of."""
    move_reason: str = ""
    """Why the session was moved last."""
    pending: str | None = None
    """What the seat still awaits."""
    offered: bool = False
    """Another mail offers, or offered, a seat of this booking."""
    offered_anew: bool = False
    """A newer mail offers the seat, with another deadline."""
    reminded_of: datetime | None = None
    """Start of the date that this mail reminds of."""

    @property
    def has_a_seat(self) -> bool:
        """Theirs already, and not only held until their line manager agrees (B7)."""
        return self.booking is BookingState.CONFIRMED and self.pending != PendingKind.PENDING_APPROVAL


def reason_to_drop(kind: MailKind, known: Known) -> str | None:
    """Why a mail has nothing to say any more, or None when it has (E2, E3, E4)."""
    over = kind in _NEEDS_A_SESSION_THAT_STANDS and known.session.status == "cancelled"
    again = kind is MailKind.BOOKING_CANCELLED and known.seat_elsewhere  # a late CANCEL would wipe the new seat out of the calendar
    reasons = (
        (known.booking not in _STILL_TRUE[kind], f"the booking is {known.booking} by now"),
        (over, "the session is cancelled, and another mail says so"),
        (kind in REMINDERS and not known.has_a_seat, "the seat awaits an approval"),
        (kind in QUESTIONS and known.newer, "the question was answered, or is asked anew"),
        (kind is MailKind.MODE_CHANGED and known.newer, "the booking has changed again, or another mail tells where to come"),
        (kind is MailKind.WAITLIST_JOINED and known.offered, "a seat is offered, and another mail says so"),
        (kind is MailKind.OFFER_MADE and known.offered_anew, "the deadline has changed, and another mail says so"),
        (again, "the agent has booked again"),
    )
    moved_on = _reason_not_to_tell_of_a_move(known) if kind is MailKind.SESSION_MOVED else None
    return next((reason for holds, reason in reasons if holds), moved_on)


def reason_not_to_remind(known: Known, now: datetime) -> str | None:
    """Why a reminder comes too late, or None for one in time and for every other mail (T5)."""
    if known.reminded_of is None:
        return None
    if known.reminded_of <= now:
        return "the session has begun"
    return None if any(period.starts_at == known.reminded_of for period in known.session.periods) else "the session has moved"


def _reason_not_to_tell_of_a_move(known: Known) -> str | None:
    if known.pending in (PendingKind.PENDING_APPROVAL, PendingKind.TO_RECONFIRM):
        return "another mail tells of this change, and asks"
    if known.to_be_told or known.told >= known.session.version:
        return "another mail told of this change"
    if known.before is not None and not moved(known.before, known.session):
        return "the session is back where it was"
    return None


def moved(before: Before, session: SessionState) -> bool:
    """Whether an agent has to know: another time or another place, not another number of seats (K1)."""
    return _times(before.periods) != _times(session.periods) or place(before.venue) != place(session.venue)


def _times(periods: Sequence[Period]) -> list[tuple[datetime, datetime]]:
    return [(period.starts_at, period.ends_at) for period in periods]


def place(venue: VenueSheet | None) -> str:
    """Where a session takes place, in one line, as calendars show it."""
    return venue.in_one_line if venue else "À distance"


def calendar_part(kind: MailKind, booking: BookingState | GroupState) -> Literal["REQUEST", "CANCEL"] | None:
    """Whether a mail puts the session into the calendar, takes it out, or leaves the calendar alone. A queue is in no calendar."""
    if kind in (MailKind.APPROVAL_REQUESTED, *TO_MANAGERS):
        return None
    if kind in CANCELLATIONS:
        return None if kind in NOT_IN_CALENDARS else "CANCEL"
    silent = (*REMINDERS, MailKind.SEAT_MERGED, MailKind.VOLUNTEER_SOUGHT, MailKind.SEAT_TO_CONFIRM)
    return "REQUEST" if booking is BookingState.CONFIRMED and kind not in silent else None


def settles_the_dates(kind: MailKind) -> bool:
    """Whether an agent who got this mail has heard of the dates that it shows: a reminder does not say that anything moved."""
    return kind not in (*REMINDERS, *_NAMES, MailKind.SEAT_TO_CONFIRM)

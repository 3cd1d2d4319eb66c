"""What booking answers and says: seats, the waitlist, promotions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Event, Message, Request


class BookingState(StrEnum):
    """Where an agent stands with a session. A waitlist entry keeps its id when it becomes a booking, so one life has one id."""

    CONFIRMED = "confirmed"
    WAITING = "waiting"
    CANCELLED_BY_AGENT = "cancelled_by_agent"
    LATE_CANCELLED = "late_cancelled"
    CANCELLED_BY_LAB = "cancelled_by_lab"
    LEFT = "left"
    """Left the waitlist before a seat came."""
    CLOSED = "closed"
    """The waitlist ended with the session (W7)."""


ACTIVE_STATES = frozenset({BookingState.CONFIRMED, BookingState.WAITING})


class Booking(Message):
    """One agent's place in one session: a seat, or a rank in the queue. A booking that is over keeps its last state."""

    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    state: BookingState
    session_sequence: int
    """Place in the order of decisions on this session; the key of the waitlist (W1)."""
    version: int
    booked_at: AwareDatetime
    rank: int | None = None
    """Place in the queue, 1 = next; only while waiting (W5)."""
    waiting: int | None = None
    """Length of the queue; only while waiting."""
    reason: str | None = None
    """Why the state is what it is, in French for the agent: reason of a promotion (W5) or of a cancellation."""


# --- events, versioned per booking ----------------------------------------------------------------------------------------------------


class BookingEvent(Event):
    aggregate: ClassVar[str] = "booking"
    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    state: BookingState
    session_sequence: int
    """Number of this decision on its session, taken under the session's lock."""
    decided_at: AwareDatetime
    """Domain time of the decision (the demonstration's clock where one is set)."""


class BookingConfirmed(BookingEvent):
    """An agent has a seat, booked directly (B1)."""

    subject: ClassVar[str] = "evt.booking.booking_confirmed.v1"


class BookingCancelled(BookingEvent):
    """A seat was given back by the agent, or taken back by the lab with the session (E2)."""

    subject: ClassVar[str] = "evt.booking.booking_cancelled.v1"
    reason: str = ""
    """Why, in French for the agent; empty when the agent cancelled."""


class WaitlistJoined(BookingEvent):
    """No seat was free, or others were already waiting: the agent is in the queue (B1, B2)."""

    subject: ClassVar[str] = "evt.booking.waitlist_joined.v1"
    rank: int
    """Place in the queue at that moment, 1 = next."""


class WaitlistLeft(BookingEvent):
    """The agent left the queue (`left`), or the queue ended with its session (`closed`, W7)."""

    subject: ClassVar[str] = "evt.booking.waitlist_left.v1"
    reason: str = ""
    """Why, in French for the agent; empty when the agent left."""


class WaitlistPromoted(BookingEvent):
    """The head of the queue took a freed seat; its state is now `confirmed` (W1, W5)."""

    subject: ClassVar[str] = "evt.booking.waitlist_promoted.v1"
    reason: str
    """In French, such as « rang 1, place libérée le 12 mars 2027 à 18 h 30 »."""


class SessionAvailabilityChanged(Event):
    """Counters of a session, coalesced to at most one per second and session: an estimate for lists, never a promise (E7).

    `version` counts these announcements; `session_sequence` tells which decision they include.
    """

    subject: ClassVar[str] = "evt.booking.session_availability_changed.v1"
    aggregate: ClassVar[str] = "session"
    session_id: UUID
    session_sequence: int
    """Number of the last decision that these counters include."""
    capacity: int
    """Seats that agents can book."""
    held: int
    """Seats taken, whatever holds them (B1)."""
    waiting: int
    """Agents in the queue."""


# --- requests ------------------------------------------------------------------------------------------------------------------------


class BookSeat(Request[Booking]):
    """A seat for an agent, or a place in the queue (B1, B2).

    Refuses `session_not_ready` (409, retryable: its dates have not arrived yet, E1), `session_started`, `session_is_cancelled`,
    `already_booked` (with `booking_id`, B3), `not_allowed` (for another agent without the role `operator`).
    """

    subject: ClassVar[str] = "rpc.booking.book_seat.v1"
    session_id: UUID
    agent_id: UUID


class CancelBooking(Request[Booking]):
    """Give a seat back or leave the queue; the head of the queue is served in the same transaction (W1).

    Refuses `booking_unknown` (also when it is another agent's), `booking_not_active`, `session_started`, `version_conflict`.
    """

    subject: ClassVar[str] = "rpc.booking.cancel_booking.v1"
    booking_id: UUID
    expected_version: int | None = None


class GetBooking(Request[Booking]):
    """Refuses `booking_unknown`, also when it is another agent's."""

    subject: ClassVar[str] = "rpc.booking.get_booking.v1"
    booking_id: UUID


class BookingList(Message):
    bookings: tuple[Booking, ...]


class ListBookings(Request[BookingList]):
    """The bookings of one agent, newest first, ended ones included. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.list_bookings.v1"
    agent_id: UUID
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class Availability(Message):
    session_id: UUID
    capacity: int
    held: int
    waiting: int


class AvailabilityList(Message):
    sessions: tuple[Availability, ...]


class GetAvailability(Request[AvailabilityList]):
    """Counters as they are now; sessions that booking does not know are left out."""

    subject: ClassVar[str] = "rpc.booking.get_availability.v1"
    session_ids: Annotated[tuple[UUID, ...], Field(max_length=200)]

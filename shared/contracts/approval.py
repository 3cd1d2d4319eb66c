"""What booking answers and says of a line manager's approval (B7)."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from shared.contracts.booking import Booking, PendingEvent
from shared.contracts.messages import Request

# --- events, versioned per booking ----------------------------------------------------------------------------------------------------


class BookingApprovalRequested(PendingEvent):
    """A seat is held while the agent's line manager is asked, booked directly or come from the queue (B7).

    Said again, with the next version and a new deadline, when the session moves meanwhile.
    """

    subject: ClassVar[str] = "evt.booking.booking_approval_requested.v1"
    manager_id: UUID
    """Opaque id of a contact; whoever writes asks the directory for the address."""
    reason: str = ""
    """In French, why the seat came when it came from the queue (W5)."""
    moved: bool = False
    """True when it is asked again because the session moved."""


class BookingApproved(PendingEvent):
    """The line manager agreed: the seat is the agent's."""

    subject: ClassVar[str] = "evt.booking.booking_approved.v1"


class BookingRefused(PendingEvent):
    """The line manager did not agree: the seat went to the queue, and it leaves no trace on the agent (`cancelled_by_lab`)."""

    subject: ClassVar[str] = "evt.booking.booking_refused.v1"
    reason: str
    """In French for the agent."""


class BookingReleased(PendingEvent):
    """Nobody answered in time: the seat went to the queue, and it leaves no trace on the agent (`cancelled_by_lab`, B7, M1)."""

    subject: ClassVar[str] = "evt.booking.booking_released.v1"
    reason: str
    """In French for the agent."""
    manager_id: UUID | None = None
    """The contact who was asked, where it was a line manager."""


# --- requests -------------------------------------------------------------------------------------------------------------------------


class ApproveBooking(Request[Booking]):
    """The line manager agrees; the lab may answer for them. The session is looked at again, as it is now (B7).

    Refuses `booking_unknown` (also to whoever was not asked), `approval_unknown`, `approval_answered` (with its `state`),
    `approval_expired` (410), `no_seat_left` (the capacity was lowered below the seats held), `session_started`, `session_is_cancelled`,
    `version_conflict` (what the manager read has changed).
    """

    subject: ClassVar[str] = "rpc.booking.approve_booking.v1"
    booking_id: UUID
    expected_version: int | None = None


class RefuseBooking(Request[Booking]):
    """The line manager does not agree: the queue is served in the same transaction.

    Refuses as `ApproveBooking` does, without `no_seat_left`.
    """

    subject: ClassVar[str] = "rpc.booking.refuse_booking.v1"
    booking_id: UUID
    expected_version: int | None = None

"""What booking answers of no-shows: the agent's own affair, never a line manager's, and forgotten after six months (N3)."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.booking import PendingEvent
from shared.contracts.messages import Message, Request


class BookingConfirmationRequested(PendingEvent):
    """Three days before a session that is full or has a queue, an agent with two strikes is asked whether they come (N3).

    Yes is said with `booking_reconfirmed`; silence gives the seat to the queue, with `booking_released`, and is no strike.
    """

    subject: ClassVar[str] = "evt.booking.booking_confirmation_requested.v1"
    reason: str = ""
    """In French, why the seat came when it came from the queue (W5)."""


class StrikeReason(StrEnum):
    ABSENT = "absent"
    """One strike."""
    LATE_CANCELLED = "late_cancelled"
    """Half a strike (N1)."""


class Strike(Message):
    booking_id: UUID
    session_id: UUID
    reason: StrikeReason
    halves: int
    """2 for an absence, 1 for a late cancellation."""
    given_at: AwareDatetime
    expires_at: AwareDatetime
    """Six months later; it is erased then."""


class StrikeList(Message):
    strikes: tuple[Strike, ...]
    halves: int
    """Of all that count now: 4 are two strikes."""
    reached_at: AwareDatetime | None = None
    """When two strikes came together, if they did."""


class ListStrikes(Request[StrikeList]):
    """An agent's own strikes, newest first. Nobody else may see them, whatever their role. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.list_strikes.v1"
    agent_id: UUID

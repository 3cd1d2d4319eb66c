"""What booking answers of no-shows: the agent's own affair, never a line manager's, and forgotten after six months (N3)."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.messages import Message, Request


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

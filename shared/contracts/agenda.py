"""What one agent has beside the seat that is asked for: exchanges (B5), fair use (B10)."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.contracts.booking import Booking
from shared.contracts.messages import Acknowledged, Request


class SwapBooking(Request[Booking]):
    """Give one seat back and take a free one in another session: both or nothing, and the queue of the first is served (B5).

    Answers the new place. Refuses what `BookSeat` and `CancelBooking` refuse, and `no_seat_to_swap` where only a rank in the queue is to be
    had, which needs no exchange.
    """

    subject: ClassVar[str] = "rpc.booking.swap_booking.v1"
    booking_id: UUID
    """The seat to give back."""
    session_id: UUID
    """Where to have one instead."""
    remote: bool = False
    """As in `BookSeat`, of the seat to have."""
    manager_id: UUID | None = None
    """As in `BookSeat`; without it, whoever was asked about the seat that is given back."""


class LiftFairUse(Request[Acknowledged]):
    """Let one agent book one session beyond the limit of fair use (B10); whoever does it, and why, is kept. Doing it again changes nothing.

    Needs the role `operator` or `lab_team`. Refuses `not_allowed`, `session_not_ready`.
    """

    subject: ClassVar[str] = "rpc.booking.lift_fair_use.v1"
    agent_id: UUID
    session_id: UUID
    reason: Annotated[str, Field(min_length=3, max_length=500)]

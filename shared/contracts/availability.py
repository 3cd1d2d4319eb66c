"""How many seats are taken and left: estimates for lists, and counters as they are now."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Event, Message, Request
from shared.contracts.quorum import Quorum


class RemotePlaces(Message):
    """Counters of the places at a distance of a hybrid session (B9)."""

    capacity: int
    held: int
    waiting: int
    over_capacity: int = 0


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
    remote: RemotePlaces | None = None
    """Those at a distance, which the others do not count; None where there are none (B9)."""
    quorum: Quorum | None = None
    """None where nothing is decided by a number of seats (M3)."""
    private: bool = False
    """True for a session that was made for one group."""

    @property
    def is_private(self) -> bool:
        return self.private


class Availability(Message):
    session_id: UUID
    capacity: int
    held: int
    waiting: int
    over_capacity: int = 0
    """Seats held beyond a capacity that was lowered: nobody is removed, and nobody served, until they fit (B8)."""
    remote: RemotePlaces | None = None
    """As in `SessionAvailabilityChanged`."""
    opens_at: AwareDatetime | None = None
    """When agents may book; None is always (B6)."""
    closes_at: AwareDatetime | None = None
    """From when newcomers are refused; the queue is served beyond (B6)."""


class AvailabilityList(Message):
    sessions: tuple[Availability, ...]


class GetAvailability(Request[AvailabilityList]):
    """Counters as they are now; sessions that booking does not know are left out."""

    subject: ClassVar[str] = "rpc.booking.get_availability.v1"
    session_ids: Annotated[tuple[UUID, ...], Field(max_length=200)]

"""What booking answers and says of the two ways to follow a hybrid session: in the room, or at a distance (B9)."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from shared.contracts.booking import Booking, BookingEvent
from shared.contracts.messages import Request


class BookingModeChanged(BookingEvent):
    """An agent follows the session in the other mode from here on, `remote` or not: a seat of it, always; `state` is `confirmed` (B9).

    The seat, or the rank, that they had in the first mode is free. It is the same booking, with the next version.
    """

    subject: ClassVar[str] = "evt.booking.booking_mode_changed.v1"


class ChangeMode(Request[Booking]):
    """Take a free seat in the other mode of a hybrid session instead of the seat, or the rank, that one has; the queue of the mode that
    is left is served in the same transaction (B9). Asking for the mode that one has changes nothing.

    Refuses `booking_unknown` (also when it is another agent's), `booking_not_active`, `no_remote_places`, `no_seat_to_swap` (none is free
    in the other mode: what one has stays), `answer_awaited` (an offer or a question about this place is open), `overlap` (to the room, with
    its clashes, B5), `booking_closed` (to the room, B6), `session_started`, `session_is_cancelled`, `version_conflict`.
    """

    subject: ClassVar[str] = "rpc.booking.change_mode.v1"
    booking_id: UUID
    remote: bool
    expected_version: int | None = None

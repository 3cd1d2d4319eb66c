"""What booking answers and says of the names in a group: who has its seats, who takes one over, what comes back (G2, G3)."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.contracts.booking import Booking, BookingEvent
from shared.contracts.groups import GroupBooking, GroupEvent
from shared.contracts.messages import Request

# --- events ---------------------------------------------------------------------------------------------------------------------------


class BookingJoinedGroup(BookingEvent):
    """The agent had a seat of their own and was named in a group: the two are one now, and a seat is free (G3). Versioned per booking.

    A question that was open is closed: seats of groups await nobody's word.
    """

    subject: ClassVar[str] = "evt.booking.booking_joined_group.v1"
    group_id: UUID


class GroupSeatsNamed(GroupEvent):
    """Seats of the group have names now, each the booking of an agent."""

    subject: ClassVar[str] = "evt.booking.group_seats_named.v1"
    seats_named: int
    """How many more than before."""


class GroupNamesDue(GroupEvent):
    """Seats of the group have no name yet: its contact is reminded, or told another date when the session moved (G2)."""

    subject: ClassVar[str] = "evt.booking.group_names_due.v1"


class GroupSeatsReleased(GroupEvent):
    """Nobody was named in time: the seats without a name go to the queue, and the group waits for no more of them (G2)."""

    subject: ClassVar[str] = "evt.booking.group_seats_released.v1"
    seats_released: int
    """How many seats had no name."""


# --- requests -------------------------------------------------------------------------------------------------------------------------


class NameSeats(Request[GroupBooking]):
    """Agents for seats of the group that have no name: each gets a booking, confirmed without a line manager's approval.

    Who is in the group already stays as they are. Who had a seat of their own keeps it, as one of the group's, and one seat is free (G3);
    who waited leaves the queue. Seats may be named as long as they have not gone back.

    Refuses `group_unknown`, `group_not_active`, `too_many_names` (with `seats_unnamed`), `named_elsewhere` (with the `agent_id` that
    another group of the session has), `named_is_busy` (with the `agent_id`, B5, B10), `version_conflict`, `session_started`,
    `session_is_cancelled`. All are named, or nobody is.
    """

    subject: ClassVar[str] = "rpc.booking.name_seats.v1"
    group_id: UUID
    agent_ids: Annotated[tuple[UUID, ...], Field(min_length=1, max_length=200)]
    expected_version: int | None = None


class TransferSeat(Request[Booking]):
    """Another agent of the same org unit takes over a seat of a group, until two hours before the start; the queue is not asked (G2).

    For the group's contact, the agent who has the seat, or the lab. Answers the newcomer's booking. Only a group's seats: one that an
    agent booked alone goes to those who wait (W1).

    Refuses `booking_unknown`, `booking_not_active`, `seat_of_no_group`, `transfer_too_late` (with `until`), `other_org_unit`,
    `org_unit_unknown` (retryable: the directory has not told of the agent yet), `named_elsewhere` (the newcomer has a seat of a group),
    `named_is_busy` (B5, B10), `session_started`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.transfer_seat.v1"
    booking_id: UUID
    agent_id: UUID
    """Of the newcomer."""

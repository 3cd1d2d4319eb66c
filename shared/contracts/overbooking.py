"""What booking answers and says of a session whose capacity was lowered under its bookings (B8)."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import Field

from shared.contracts.booking import Booking, BookingEvent
from shared.contracts.messages import Message, Request


class VolunteerSought(BookingEvent):
    """There are fewer places than seats given: the lab asks whoever has one whether they would give it back; `state` stays `confirmed`."""

    subject: ClassVar[str] = "evt.booking.volunteer_sought.v1"
    reason: str = ""
    """The booking's own, such as that of a promotion (W5)."""


class Asked(Message):
    agents: int
    """To how many it was put."""


class Withdrawn(Message):
    bookings: tuple[Booking, ...]
    """Newest first, in the order in which they were taken back."""


class CallForVolunteers(Request[Asked]):
    """Ask all who have a seat whether somebody would give theirs back, by a mail with a link that does it.

    Needs the role `operator` or `lab_team`. Refuses `not_allowed`, `session_not_ready`, `session_started`, `session_is_cancelled`,
    `not_over_capacity`, `no_remote_places`.
    """

    subject: ClassVar[str] = "rpc.booking.call_for_volunteers.v1"
    session_id: UUID
    remote: bool = False
    """Of the places at a distance, where those are too few (B9)."""


class WithdrawSeats(Request[Withdrawn]):
    """Take seats back, the newest first, where there are too many; each agent is told why, and comes first in another queue of its kind.

    Needs the role `operator` or `lab_team`. Refuses as `CallForVolunteers`, and `not_over_capacity` (with how many there
    are too many) when more are to be taken back than that.
    """

    subject: ClassVar[str] = "rpc.booking.withdraw_seats.v1"
    session_id: UUID
    number: Annotated[int, Field(ge=1, le=10_000)]
    reason: Annotated[str, Field(min_length=3, max_length=500)]
    """In French, for the agents who lose their seat."""
    remote: bool = False
    """As in `CallForVolunteers`."""

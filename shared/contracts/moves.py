"""What booking answers and says when a session is moved or cancelled: who still comes, and whom to phone (M1, M4)."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.booking import Booking, PendingEvent
from shared.contracts.messages import Message, Request

# --- events, versioned per booking ----------------------------------------------------------------------------------------------------


class BookingReconfirmationRequested(PendingEvent):
    """The session moved by more than half an hour, or to another city: its agent is asked whether they still come, the seat is kept (M1).

    Said again, with the next version, when it moves again. Silence keeps the seat if the day is the same, and gives it to the queue if not.
    """

    subject: ClassVar[str] = "evt.booking.booking_reconfirmation_requested.v1"
    day_changed: bool
    """Whether it takes place on another day than its agents planned for."""
    urgent: bool = False
    """True with less than 24 hours left: the seat is kept whatever the agent says or does not say."""
    reason: str = ""
    """In French, why the seat came when it came from the queue (W5)."""


class BookingReconfirmed(PendingEvent):
    """The seat stays: its agent said so (`granted`), or said nothing while the day was the same (`kept`)."""

    subject: ClassVar[str] = "evt.booking.booking_reconfirmed.v1"
    reason: str = ""
    """In French, why the seat came when it came from the queue (W5)."""


# --- requests -------------------------------------------------------------------------------------------------------------------------


class ConfirmBooking(Request[Booking]):
    """The agent still comes, after a move. Who does not come cancels, which leaves no trace then (M1, N4).

    Refuses `booking_unknown` (also when it is another agent's), `reconfirmation_unknown` (nothing was asked), `reconfirmation_answered`
    (with its `state`), `reconfirmation_expired` (410: the seat went to the queue), `session_started`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.confirm_booking.v1"
    booking_id: UUID


class PersonToPhone(Message):
    booking_id: UUID
    agent_id: UUID
    """Opaque: the directory has the name."""
    had_seat: bool
    """False for who was waiting."""


class PhoneList(Message):
    session_id: UUID
    starts_at: AwareDatetime
    short_notice: bool
    """True when the session was cancelled with less than 48 hours left: a mail may come too late (M4)."""
    people: tuple[PersonToPhone, ...]


class ListPeopleToPhone(Request[PhoneList]):
    """Whose place ended with a session that the lab cancelled under 48 hours; those with a seat first. Needs `operator` or `lab_team`.

    Nobody is listed while the session stands, or was cancelled earlier. Refuses `not_allowed`, `session_not_ready`.
    """

    subject: ClassVar[str] = "rpc.booking.list_people_to_phone.v1"
    session_id: UUID

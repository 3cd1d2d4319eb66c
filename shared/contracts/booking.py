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


class OfferState(StrEnum):
    """What became of a seat that was offered to somebody who waited (W2, W3)."""

    OFFERED = "offered"
    """It holds the seat until its deadline."""
    ACCEPTED = "accepted"
    DECLINED = "declined"
    EXPIRED = "expired"
    """Not answered in time: the place in the queue is over, and its agent may join again at the end."""
    CLOSED = "closed"
    """Ended with the session (W7)."""


class AttendanceOutcome(StrEnum):
    """What became of a seat once its session is over (N2)."""

    ATTENDED = "attended"
    ABSENT = "absent"
    """Only if the sheet was closed and the agent is not on it."""
    EXCUSED = "excused"
    UNKNOWN = "unknown"
    """The sheet was never closed: nobody can say, and it counts as nothing."""


class SeatOffer(Message):
    """A seat held for somebody who waits. While it is `offered`, the booking's own state is still `waiting`."""

    state: OfferState
    deadline: AwareDatetime
    """The seat is held until then, exclusive; counted in working hours, and never past the offer cut-off (W2, W4)."""
    offered_at: AwareDatetime


class Clash(Message):
    """Another seat of the same agent, at the hours of the one that is asked for (B5)."""

    booking_id: UUID
    session_id: UUID
    starts_at: AwareDatetime
    ends_at: AwareDatetime


class PendingKind(StrEnum):
    """What a seat that is held still awaits (B1)."""

    PENDING_APPROVAL = "pending_approval"
    """The line manager's yes (B7)."""
    TO_RECONFIRM = "to_reconfirm"
    """The agent's own, since the session was moved (M1)."""
    TO_CONFIRM = "to_confirm"
    """The agent's own, three days before a full session: asked of whoever has two strikes (N3)."""


class PendingState(StrEnum):
    OPEN = "open"
    GRANTED = "granted"
    REFUSED = "refused"
    EXPIRED = "expired"
    """Nobody answered, and the seat went to the queue."""
    KEPT = "kept"
    """Nobody answered, and the seat stays."""
    CLOSED = "closed"
    """The seat was given back, or the session cancelled, before an answer."""


class Pending(Message):
    """A question on which a seat depends. While it is `open`, the booking's own state is `confirmed`: the seat is held, not settled."""

    kind: PendingKind
    state: PendingState
    asked_at: AwareDatetime
    deadline: AwareDatetime
    """An answer counts until then, exclusive; counted in working hours."""
    silence_keeps: bool = False
    """What no answer means: true keeps the seat, false gives it to the queue."""


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
    """Place in the queue, 1 = next; only while waiting, and not while a seat is offered (W5)."""
    waiting: int | None = None
    """Length of the queue; only while waiting."""
    reason: str | None = None
    """Why the state is what it is, in French for the agent: reason of a promotion or an offer (W5), or of a cancellation."""
    offer: SeatOffer | None = None
    """The seat that was offered from the queue, if any. A `waiting` booking with an offer that is `offered` awaits the agent's answer."""
    priority: bool = False
    """True when the agent's place in the queue comes first, because the lab had cancelled another session (W1, W7)."""
    attendance: AttendanceOutcome | None = None
    """What became of the seat, once it can be said; the `state` stays what it was (N2)."""
    pending: Pending | None = None
    """What the seat awaits, or awaited last: the line manager's approval (B7), the agent's word after a move (M1)."""
    manager_id: UUID | None = None
    """Opaque id of the line manager to ask; the address is in the directory (P4)."""
    booked_by: str | None = None
    """Opaque id of who booked, when it was not the agent."""
    overlaps: tuple[Clash, ...] = ()
    """Seats at the same hours that may be kept beside this one, since it is remote or they are; only in the reply to who books (B5)."""
    remote: bool = False
    """True for a place, or a rank in the queue, at a distance in a hybrid session; what is remote as a whole says so itself (B9)."""


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
    remote: bool = False
    """True for a place at a distance in a hybrid session (B9)."""


class PendingEvent(BookingEvent):
    """A seat that is held awaits an answer, or has had it."""

    pending: Pending
    """The question, as it stands after this."""


class BookingConfirmed(BookingEvent):
    """An agent has a seat, booked directly (B1) or as one of a group's (G2)."""

    subject: ClassVar[str] = "evt.booking.booking_confirmed.v1"
    group_id: UUID | None = None
    """The group whose contact named the agent (G2)."""


class BookingCancelled(BookingEvent):
    """A seat was given back by the agent, or taken back by the lab with the session (E2)."""

    subject: ClassVar[str] = "evt.booking.booking_cancelled.v1"
    reason: str = ""
    """Why, in French for the agent; empty when the agent cancelled."""
    priority_until: AwareDatetime | None = None
    """Until when the agent comes first in a queue of the same activity, for a session or a seat that the lab took away (W7, B8)."""
    withdrawn: bool = False
    """True when the session stands and the lab took this seat back, since there are fewer places than seats given (B8)."""


class WaitlistJoined(BookingEvent):
    """No seat was free, or others were already waiting: the agent is in the queue (B1, B2)."""

    subject: ClassVar[str] = "evt.booking.waitlist_joined.v1"
    rank: int
    """Place in the queue at that moment, 1 = next."""
    priority: bool = False
    """True when a priority token put this place before those without one (W1)."""


class WaitlistLeft(BookingEvent):
    """The agent left the queue (`left`), or the queue ended with its session (`closed`, W7)."""

    subject: ClassVar[str] = "evt.booking.waitlist_left.v1"
    reason: str = ""
    """Why, in French for the agent; empty when the agent left."""
    priority_until: AwareDatetime | None = None
    """Until when the agent comes first in a queue of the same activity, since the lab cancelled this session (W7)."""


class WaitlistPromoted(BookingEvent):
    """The head of the queue took a freed seat; its state is now `confirmed` (W1, W5)."""

    subject: ClassVar[str] = "evt.booking.waitlist_promoted.v1"
    reason: str
    """In French, such as « rang 1, place libérée le 12 mars 2027 à 18 h 30 »."""


class SeatOfferMade(BookingEvent):
    """A freed seat is held for the head of the queue, who has until `deadline` to say yes; `state` stays `waiting` (W2).

    Said again, with the next version, when a move of the session brings the deadline forward.
    """

    subject: ClassVar[str] = "evt.booking.seat_offer_made.v1"
    deadline: AwareDatetime
    """The seat is held until then, exclusive."""
    reason: str
    """In French, such as « rang 1, place libérée le 12 mars 2027 à 18 h 30 » (W5)."""
    overlaps: tuple[Clash, ...] = ()
    """Seats in person that the agent would exchange for this one, or keep (B5)."""


class SeatOfferAccepted(BookingEvent):
    """The agent took the seat that was offered: `state` is now `confirmed`."""

    subject: ClassVar[str] = "evt.booking.seat_offer_accepted.v1"
    reason: str
    """The offer's own (W5)."""


class SeatOfferDeclined(BookingEvent):
    """The agent gave the offered seat up, and the place in the queue with it: `state` is now `left`."""

    subject: ClassVar[str] = "evt.booking.seat_offer_declined.v1"


class SeatOfferExpired(BookingEvent):
    """Nobody answered in time: `state` is now `left`, the next of the queue is served, the agent may join again at the end (W3)."""

    subject: ClassVar[str] = "evt.booking.seat_offer_expired.v1"
    deadline: AwareDatetime
    """When the seat stopped being held."""
    reason: str
    """In French for the agent."""


# --- requests ------------------------------------------------------------------------------------------------------------------------


class BookSeat(Request[Booking]):
    """A seat for an agent, or a place in the queue (B1, B2).

    Refuses `session_not_ready` (409, retryable: its dates have not arrived yet, E1), `session_started`, `session_is_cancelled`,
    `booking_not_open_yet` (with `opens_at`, B6; also to whom reserved seats are not for, W1), `quota_taken` (the reserved ones are, with
    `opens_at`, when booking opens to everybody), `booking_closed` (with `closes_at`, B6), `already_booked` (with `booking_id`, B3),
    `fair_use_limit` (with `limit` and the `bookings` that count, B10), `overlap` (with its clashes, which `SwapBooking` would give back;
    only where a seat would be had, for queues may overlap, B5), `line_manager_required` (the session needs an approval, B7),
    `no_remote_places` (`remote` where the session has none, B9), `not_allowed` (for another agent without the role `operator`, `lab_team`
    or `innovation_referent`).
    """

    subject: ClassVar[str] = "rpc.booking.book_seat.v1"
    session_id: UUID
    agent_id: UUID
    manager_id: UUID | None = None
    """Whom to ask for the approval that the session needs: a contact of the directory. Ignored where none is needed (B7)."""
    remote: bool = False
    """To follow a hybrid session from a distance: other seats, and a queue of their own (B9)."""


class CancelBooking(Request[Booking]):
    """Give a seat back, decline the one that is offered, or leave the queue; a freed seat serves the queue in the same transaction (W1).

    Refuses `booking_unknown` (also when it is another agent's), `booking_not_active`, `session_started`, `version_conflict`.
    """

    subject: ClassVar[str] = "rpc.booking.cancel_booking.v1"
    booking_id: UUID
    expected_version: int | None = None


class AcceptOffer(Request[Booking]):
    """Take the seat that is offered (W2).

    Refuses `booking_unknown` (also when it is another agent's), `offer_unknown` (none was made), `offer_expired` (410, with `session_id`
    and `rank`, the one that joining again would give, W3), `offer_answered` (with its `state`), `session_started`, `session_is_cancelled`,
    `fair_use_limit` (B10), `overlap` (with its clashes; ask again with one of them in `instead_of`, B5). With `instead_of`, also what
    `CancelBooking` refuses of it.
    """

    subject: ClassVar[str] = "rpc.booking.accept_offer.v1"
    booking_id: UUID
    instead_of: UUID | None = None
    """A seat of the same agent to give back with it: both or nothing, and its queue is served (B5)."""


class DeclineOffer(Request[Booking]):
    """Give the offered seat up, and the place in the queue with it; the next one is served in the same transaction (W3).

    Refuses as `AcceptOffer` does.
    """

    subject: ClassVar[str] = "rpc.booking.decline_offer.v1"
    booking_id: UUID


class GetBooking(Request[Booking]):
    """With the rank now and the offer, if any (W5). Refuses `booking_unknown`, also when it is another agent's."""

    subject: ClassVar[str] = "rpc.booking.get_booking.v1"
    booking_id: UUID


class BookingList(Message):
    bookings: tuple[Booking, ...]


class ListBookings(Request[BookingList]):
    """The bookings of one agent, newest first, ended ones included. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.list_bookings.v1"
    agent_id: UUID
    limit: Annotated[int, Field(ge=1, le=200)] = 100

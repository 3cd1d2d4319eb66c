"""What booking answers and says of group bookings: seats for several people, asked for by one contact, with or without names yet."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Event, Message, Request

GroupSize = Annotated[int, Field(ge=2, le=200)]


class GroupState(StrEnum):
    WAITING = "waiting"
    """In the queue, without a seat."""
    PARTLY_CONFIRMED = "partly_confirmed"
    """Some seats are the group's; it waits for the others at its rank."""
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"
    """By its contact."""
    RELEASED = "released"
    """Nobody was named in time, and every seat went back (G2)."""
    CLOSED = "closed"
    """Ended with its session (W7)."""


ACTIVE_GROUP_STATES = frozenset({GroupState.WAITING, GroupState.PARTLY_CONFIRMED, GroupState.CONFIRMED})


class GroupChoice(StrEnum):
    """What the group wants when there are fewer seats than it needs, said when it books (G1)."""

    ALL_OR_NOTHING = "all_or_nothing"
    """It waits until there are enough; a part of them is taken only if its contact then says so (W6)."""
    PARTIAL = "partial"
    """It takes what is free at once, and waits for the rest."""


class GroupOffer(Message):
    """The seats that were kept so far are offered, since the whole group did not fit in time (W6)."""

    seats: int
    deadline: AwareDatetime
    """The seats are kept until then, exclusive; in working hours, as any offer (W2, W4)."""
    offered_at: AwareDatetime


class GroupBypass(Message):
    """Seats that the group did not take went to those behind it in the queue (W6)."""

    seats: int
    decided_at: AwareDatetime
    reason: str
    """In French, for the contact."""


class GroupMember(Message):
    """A seat of a group that has a name."""

    booking_id: UUID
    agent_id: UUID
    """Opaque: the directory has the name (P4)."""


class GroupBooking(Message):
    """The seats of one group in one session: those it has, those kept for it, those it waits for."""

    group_id: UUID
    session_id: UUID
    contact_agent_id: UUID
    state: GroupState
    choice: GroupChoice
    seats_needed: int
    """As its contact asked last. Members who cancel give their own seat back, and the group becomes smaller by it."""
    seats_unnamed: int
    """The group's, without a name yet."""
    seats_named: int
    """The group's, each the booking of an agent."""
    seats_awaited: int
    """Waited for in the queue, those that are kept included."""
    seats_held: int
    """Of those awaited: kept for the group while it gathers enough of them, or while its contact is asked (W6)."""
    session_sequence: int
    """Place in the order of decisions on this session; the key of the queue (W1)."""
    version: int
    requested_at: AwareDatetime
    rank: int | None = None
    """Place in the queue, 1 = next; only while seats are awaited."""
    waiting: int | None = None
    """Length of the queue, a group counting as one; only while seats are awaited."""
    holds_until: AwareDatetime | None = None
    """When what is kept by then is offered instead of waiting for more (W6)."""
    offer: GroupOffer | None = None
    """The seats that await the contact's answer."""
    reason: str | None = None
    """Why the state is what it is, in French for the contact."""
    bypasses: tuple[GroupBypass, ...] = ()
    """Each time that others behind were served first, oldest first (W6)."""
    names_due_at: AwareDatetime | None = None
    """Seats that have no name by then go to the queue (G2); none as long as the group never had a seat."""
    members: tuple[GroupMember, ...] = ()
    """Who has a seat of the group, in the order in which they were named."""


# --- events, versioned per group ------------------------------------------------------------------------------------------------------


class GroupEvent(Event):
    aggregate: ClassVar[str] = "group"
    group_id: UUID
    session_id: UUID
    contact_agent_id: UUID
    state: GroupState
    seats_needed: int
    """As its contact asked last."""
    seats_unnamed: int
    """The group's, without a name yet. Those with a name are bookings."""
    seats_awaited: int
    """Waited for in the queue, those that are kept included."""
    seats_held: int
    """Of those awaited: kept for the group."""
    session_sequence: int
    """Number of this decision on its session, taken under the session's lock."""
    decided_at: AwareDatetime
    """Domain time of the decision."""
    reason: str = ""
    """In French for the contact; empty where the contact decided."""
    names_due_at: AwareDatetime | None = None
    """Seats that have no name by then go to the queue (G2); said where that date is new."""


class GroupBookingRequested(GroupEvent):
    """A group waits in the queue: fewer seats are free than it needs, or others wait already (G1, B2)."""

    subject: ClassVar[str] = "evt.booking.group_booking_requested.v1"
    choice: GroupChoice
    rank: int
    """Place in the queue at that moment, 1 = next."""


class GroupBookingConfirmed(GroupEvent):
    """Seats are the group's: all of them, or, as its contact chose or accepted, a part (G1, W6)."""

    subject: ClassVar[str] = "evt.booking.group_booking_confirmed.v1"
    choice: GroupChoice
    seats_added: int
    """How many more than before."""


class GroupSeatsHeld(GroupEvent):
    """Free seats are kept for the group at the head of the queue, which needs more of them (W6)."""

    subject: ClassVar[str] = "evt.booking.group_seats_held.v1"
    seats_added: int
    """How many more than before; 0 when a move of the session brings `holds_until` forward."""
    holds_until: AwareDatetime
    """When what is kept by then is offered: five working days after the first, or seven days before the session."""


class GroupSeatsOffered(GroupEvent):
    """The contact is asked whether the group takes the seats that are kept, fewer than it needs (W6).

    Said again, with the next version, when a move of the session brings the deadline forward.
    """

    subject: ClassVar[str] = "evt.booking.group_seats_offered.v1"
    deadline: AwareDatetime
    """The seats are kept until then, exclusive."""


class GroupBookingBypassed(GroupEvent):
    """Seats that the group did not take go to those behind it; it keeps its rank (W6)."""

    subject: ClassVar[str] = "evt.booking.group_booking_bypassed.v1"
    seats_passed: int
    """How many."""


class GroupBookingResized(GroupEvent):
    """The contact needs more or fewer seats."""

    subject: ClassVar[str] = "evt.booking.group_booking_resized.v1"
    previous_seats_needed: int
    """As its contact had asked before."""
    seats_added: int = 0
    """How many more are the group's; 0 when it became smaller."""


class GroupBookingCancelled(GroupEvent):
    """The group is over: cancelled by its contact, or closed with its session (W7)."""

    subject: ClassVar[str] = "evt.booking.group_booking_cancelled.v1"
    priority_until: AwareDatetime | None = None
    """Until when the contact comes first in a queue of the same series, since the lab cancelled this session (W7)."""


# --- requests -------------------------------------------------------------------------------------------------------------------------


class BookGroup(Request[GroupBooking]):
    """Seats for a group, or a place in the queue (G1, B2). Its contact needs no seat of their own.

    Refuses `session_not_ready`, `session_started`, `session_is_cancelled`, `booking_not_open_yet` and `booking_closed` as `BookSeat` does,
    `group_too_large` (with the most that groups may still have: half of an open session, G4), `group_exists` (with `group_id`: one
    group per contact and session), `not_allowed` (for another agent without the role `operator` or `lab_team`).
    """

    subject: ClassVar[str] = "rpc.booking.book_group.v1"
    session_id: UUID
    contact_agent_id: UUID
    seats_needed: GroupSize
    choice: GroupChoice = GroupChoice.ALL_OR_NOTHING


class GetGroup(Request[GroupBooking]):
    """With its rank now, what is kept for it, and when it was bypassed. Refuses `group_unknown`, also when it is another agent's."""

    subject: ClassVar[str] = "rpc.booking.get_group.v1"
    group_id: UUID


class GroupList(Message):
    groups: tuple[GroupBooking, ...]


class ListGroups(Request[GroupList]):
    """The groups of one contact, newest first, ended ones included. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.list_groups.v1"
    contact_agent_id: UUID
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class AcceptGroupOffer(Request[GroupBooking]):
    """Take the seats that are offered; the group keeps its rank for the rest (W6).

    Refuses `group_unknown` (also when it is another agent's), `group_offer_unknown` (none is open), `group_offer_expired` (410),
    `session_started`, `session_is_cancelled`.
    """

    subject: ClassVar[str] = "rpc.booking.accept_group_offer.v1"
    group_id: UUID


class DeclineGroupOffer(Request[GroupBooking]):
    """Leave the seats that are offered to those behind; the group keeps its rank and waits (W6). Refuses as `AcceptGroupOffer` does."""

    subject: ClassVar[str] = "rpc.booking.decline_group_offer.v1"
    group_id: UUID


class ResizeGroup(Request[GroupBooking]):
    """Need fewer seats, given up from the awaited ones on, or more, which must be free now: nobody waits longer for a group that grows.

    Refuses `group_unknown`, `group_not_active`, `group_too_large` (G4), `group_cannot_grow` (with the seats that are free),
    `group_has_more_names` (with `seats_named`), `version_conflict`, `session_started`, `session_is_cancelled`, and when it grows
    `booking_closed`.
    """

    subject: ClassVar[str] = "rpc.booking.resize_group.v1"
    group_id: UUID
    seats_needed: Annotated[int, Field(ge=1, le=200)]
    expected_version: int | None = None


class CancelGroup(Request[GroupBooking]):
    """Give every seat of the group back, those with a name included, and leave the queue; others are served in the same transaction.

    Refuses `group_unknown`, `group_not_active`, `session_started`, `session_is_cancelled`, `version_conflict`.
    """

    subject: ClassVar[str] = "rpc.booking.cancel_group.v1"
    group_id: UUID
    expected_version: int | None = None

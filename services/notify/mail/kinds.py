"""The mail that a fact calls for."""

from __future__ import annotations

from services.notify.mail.domain import CANCELLED_BY_AGENT, MailKind
from shared.contracts.approval import BookingApprovalRequested, BookingApproved, BookingRefused, BookingReleased
from shared.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingEvent,
    BookingState,
    SeatOfferAccepted,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.groups import (
    GroupBookingCancelled,
    GroupBookingConfirmed,
    GroupBookingRequested,
    GroupEvent,
    GroupSeatsOffered,
    GroupState,
)
from shared.contracts.modes import BookingModeChanged
from shared.contracts.moves import BookingReconfirmationRequested
from shared.contracts.names import BookingJoinedGroup, GroupNamesDue, GroupSeatsReleased
from shared.contracts.overbooking import VolunteerSought
from shared.contracts.strikes import BookingConfirmationRequested

_KINDS: dict[type[BookingEvent], MailKind] = {
    BookingConfirmed: MailKind.BOOKING_CONFIRMED,
    WaitlistJoined: MailKind.WAITLIST_JOINED,
    WaitlistPromoted: MailKind.WAITLIST_PROMOTED,
    SeatOfferMade: MailKind.OFFER_MADE,
    SeatOfferAccepted: MailKind.OFFER_ACCEPTED,
    SeatOfferExpired: MailKind.OFFER_EXPIRED,
    BookingApprovalRequested: MailKind.APPROVAL_REQUESTED,
    BookingApproved: MailKind.APPROVAL_GIVEN,
    BookingRefused: MailKind.APPROVAL_REFUSED,
    BookingReleased: MailKind.SEAT_RELEASED,
    BookingConfirmationRequested: MailKind.SEAT_TO_CONFIRM,
    VolunteerSought: MailKind.VOLUNTEER_SOUGHT,
    BookingJoinedGroup: MailKind.SEAT_MERGED,
    BookingModeChanged: MailKind.MODE_CHANGED,
}


def kind_for(event: BookingEvent) -> MailKind | None:
    """The mail that a fact of booking calls for. Who leaves the queue, or declines a seat, sees it on the page and gets none."""
    if isinstance(event, BookingCancelled):
        if event.withdrawn:
            return MailKind.SEAT_WITHDRAWN
        return MailKind.BOOKING_CANCELLED if event.state in CANCELLED_BY_AGENT else MailKind.CANCELLED_BY_LAB
    if isinstance(event, BookingReconfirmationRequested):
        return MailKind.MOVED_URGENT if event.urgent else MailKind.SEAT_TO_RECONFIRM
    if isinstance(event, WaitlistLeft):
        return MailKind.WAITLIST_CLOSED if event.state is BookingState.CLOSED else None
    return _KINDS.get(type(event))


_GROUP_KINDS: dict[type[GroupEvent], MailKind] = {
    GroupBookingRequested: MailKind.GROUP_WAITING,
    GroupBookingConfirmed: MailKind.GROUP_CONFIRMED,
    GroupSeatsOffered: MailKind.GROUP_OFFERED,
    GroupNamesDue: MailKind.GROUP_NAMES_DUE,
    GroupSeatsReleased: MailKind.GROUP_RELEASED,
}


def kind_for_contact(event: GroupEvent) -> MailKind | None:
    """The mail that a group's contact gets. What is kept for the group, or goes past it, is on its page."""
    if isinstance(event, GroupBookingCancelled):
        return MailKind.GROUP_CLOSED if event.state is GroupState.CLOSED else MailKind.GROUP_CANCELLED
    return _GROUP_KINDS.get(type(event))

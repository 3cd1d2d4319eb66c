"""Seats that are held while somebody is asked: until when, and what a fact makes of the question (B1, B7, M1). Pure."""

from __future__ import annotations

from datetime import datetime

from services.booking.deadlines.domain import IsHoliday, working_days_after
from shared.contracts.booking import Booking, BookingEvent, BookingState, Pending, PendingEvent, PendingKind, PendingState
from shared.contracts.names import BookingJoinedGroup

ANSWER_DAYS = 3


def approval_until(now: datetime, starts_at: datetime, offers_until: datetime, is_holiday: IsHoliday) -> datetime:
    """Three working days, and while there is still somebody to give the seat to (B7, W4)."""
    last = offers_until if now < offers_until else starts_at
    return min(working_days_after(now, ANSWER_DAYS, is_holiday), last)


def asked(kind: PendingKind, now: datetime, deadline: datetime, *, silence_keeps: bool = False) -> Pending:
    return Pending(kind=kind, state=PendingState.OPEN, asked_at=now, deadline=deadline, silence_keeps=silence_keeps)


def became(pending: Pending, state: PendingState) -> Pending:
    return pending.model_copy(update={"state": state})


def is_open(booking: Booking, kind: PendingKind | None = None) -> bool:
    pending = booking.pending
    return pending is not None and pending.state is PendingState.OPEN and kind in (None, pending.kind)


def pending_after(pending: Pending | None, fact: BookingEvent) -> Pending | None:
    """A seat that ends takes its question with it, and so does one that became a group's: nobody is asked about these."""
    if isinstance(fact, PendingEvent):
        return fact.pending
    settled = fact.state is not BookingState.CONFIRMED or isinstance(fact, BookingJoinedGroup)
    if pending is not None and pending.state is PendingState.OPEN and settled:
        return became(pending, PendingState.CLOSED)
    return pending


def without_what_is_the_agents_own(booking: Booking) -> Booking:
    """As the line manager sees it: what follows from strikes is none of their business (N3)."""
    to_confirm = booking.pending is not None and booking.pending.kind is PendingKind.TO_CONFIRM
    return booking.model_copy(update={"pending": None, "reason": None}) if to_confirm else booking

"""The line manager's approval: who would have a seat awaits it, for three working days at most (B7). Pure."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar
from uuid import UUID

from services.booking.deadlines.domain import IsHoliday, in_french
from services.booking.pending.domain import approval_until, asked, became
from services.booking.seats.domain import Fact, Session
from shared.contracts.approval import BookingApprovalRequested, BookingApproved, BookingRefused, BookingReleased
from shared.contracts.booking import (
    Booking,
    BookingConfirmed,
    BookingState,
    Pending,
    PendingKind,
    PendingState,
    SeatOfferAccepted,
    WaitlistPromoted,
)
from shared.errors import Refused

FactT = TypeVar("FactT", bound=Fact)


class LineManagerRequired(Refused):
    code, status = "line_manager_required", 422
    title = "Cette séance demande l'accord de votre responsable : indiquez son adresse de courriel."


class ApprovalUnknown(Refused):
    code, status = "approval_unknown", 404
    title = "Aucun accord n'est demandé pour cette inscription."


class ApprovalExpired(Refused):
    code, status = "approval_expired", 410
    title = "Le délai pour répondre est passé : la place n'est plus gardée."


class ApprovalAnswered(Refused):
    """Travels with the `state` of the question."""

    code = "approval_answered"
    title = "Cette demande n'attend plus de réponse."


class NoSeatLeft(Refused):
    """Seats were taken away under those held: no more of them become sure (B8)."""

    code = "no_seat_left"
    title = "Cette séance a perdu des places depuis la demande : l'accord ne peut pas être enregistré. Voyez avec le Lab."


def must_name_a_manager(session: Session, manager_id: UUID | None) -> None:
    if session.needs_approval and manager_id is None:
        raise LineManagerRequired(f"session {session.session_id} needs an approval")


def ask_first(
    session: Session, fact: FactT, manager_id: UUID | None, now: datetime, is_holiday: IsHoliday
) -> FactT | BookingApprovalRequested:
    """Where an approval is needed, what would settle a seat only asks for it. Who joined the queue before that was so is not asked."""
    if not session.needs_approval or manager_id is None or not isinstance(fact, BookingConfirmed | WaitlistPromoted | SeatOfferAccepted):
        return fact
    return BookingApprovalRequested(
        **{
            name: getattr(fact, name)
            for name in ("version", "booking_id", "session_id", "agent_id", "session_sequence", "decided_at", "remote")
        },
        state=BookingState.CONFIRMED,
        pending=_question(session, now, is_holiday),
        manager_id=manager_id,
        reason=getattr(fact, "reason", ""),
    )


def ask_again(session: Session, booking: Booking, manager_id: UUID, now: datetime, is_holiday: IsHoliday) -> BookingApprovalRequested:
    """The session moved: what the manager was asked is no longer what they would say yes to."""
    return BookingApprovalRequested(
        **session.next_of(booking, now),
        state=BookingState.CONFIRMED,
        pending=_question(session, now, is_holiday),
        manager_id=manager_id,
        reason=booking.reason or "",
        moved=True,
    )


def approve(session: Session, booking: Booking, now: datetime) -> BookingApproved:
    """Under the lock, with the session as it is now: seats may have been taken away, dates may have come (B7)."""
    pending = _must_await_answer(session, booking, now)
    if session.over_capacity:
        raise NoSeatLeft(f"session {session.session_id} holds {session.held} of {session.capacity}")
    return BookingApproved(**session.next_of(booking, now), state=BookingState.CONFIRMED, pending=became(pending, PendingState.GRANTED))


def refuse(session: Session, booking: Booking, now: datetime) -> BookingRefused:
    pending = _must_await_answer(session, booking, now)
    return BookingRefused(
        **session.release(booking, now),
        state=BookingState.CANCELLED_BY_LAB,
        pending=became(pending, PendingState.REFUSED),
        reason=f"votre responsable n'a pas donné son accord, le {in_french(now)}",
    )


def expire(session: Session, booking: Booking, pending: Pending, now: datetime) -> BookingReleased:
    """Nobody blocks a seat by not answering."""
    return BookingReleased(
        **session.release(booking, now),
        state=BookingState.CANCELLED_BY_LAB,
        pending=became(pending, PendingState.EXPIRED),
        reason=f"votre responsable n'a pas répondu avant le {in_french(pending.deadline)}",
        manager_id=booking.manager_id,
    )


def _question(session: Session, now: datetime, is_holiday: IsHoliday) -> Pending:
    until = approval_until(now, session.starts_at, session.milestones.offers_until, is_holiday)
    return asked(PendingKind.PENDING_APPROVAL, now, until)


def _must_await_answer(session: Session, booking: Booking, now: datetime) -> Pending:
    pending = booking.pending
    if pending is None or pending.kind is not PendingKind.PENDING_APPROVAL:
        raise ApprovalUnknown(f"booking {booking.booking_id} awaits no approval")
    if pending.state is PendingState.EXPIRED or (pending.state is PendingState.OPEN and now >= pending.deadline):
        raise ApprovalExpired(f"the approval of {booking.booking_id} was due at {pending.deadline.isoformat()}")
    if pending.state is not PendingState.OPEN:
        raise ApprovalAnswered(f"the approval of {booking.booking_id} is {pending.state}", state=pending.state.value)
    session.must_be_ahead(now)
    return pending

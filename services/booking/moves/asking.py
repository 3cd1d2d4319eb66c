"""Whom a move of their session concerns: who has a seat is asked again, or their line manager is (M1, B7)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.approval.domain import ask_again
from services.booking.deadlines.france import is_holiday
from services.booking.moves import store
from services.booking.moves.domain import Dates, Move, ask, move
from services.booking.pending.domain import is_open
from services.booking.seats.domain import Change, Session
from services.booking.seats.store import active_bookings
from shared.contracts.booking import Booking, BookingState, PendingKind
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled


async def ask_who_still_comes(
    tx: AsyncConnection, session: Session, said: SessionScheduled | SessionRescheduled | SessionCancelled, now: datetime
) -> list[Change]:
    """Facts for those whom this word of catalog leaves unsure; none for whoever waits, who keeps their rank (W7)."""
    dates = Dates.of(said.session.periods, said.session.venue)
    agreed = await store.agreed(tx, session.session_id)
    if agreed is None:
        agreed = Dates.of(said.previous_periods, said.previous_venue) if isinstance(said, SessionRescheduled) else dates
        await store.keep(tx, session.session_id, agreed)
    how = move(agreed, dates)
    if how.asks:
        await store.keep(tx, session.session_id, dates)
    at_a_distance = move(agreed.anywhere, dates.anywhere)
    if how is Move.NONE or session.status == "cancelled" or now >= session.starts_at:
        return []
    held = [booking for booking in await active_bookings(tx, session) if booking.state is BookingState.CONFIRMED]
    hows = [(booking, at_a_distance if booking.remote else how) for booking in held]
    return [_asked(session, booking, how, now) for booking, how in hows if how.asks or _outlives(booking, session)]


def _outlives(booking: Booking, session: Session) -> bool:
    """Also a small move may bring the start before the end of a question."""
    return is_open(booking) and booking.pending is not None and booking.pending.deadline > session.starts_at


def _asked(session: Session, booking: Booking, how: Move, now: datetime) -> Change:
    if booking.manager_id is not None and is_open(booking, PendingKind.PENDING_APPROVAL):
        return ask_again(session, booking, booking.manager_id, now, is_holiday)
    return ask(session, booking, how, now, is_holiday)

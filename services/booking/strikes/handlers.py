"""No-shows, used fairly: given with an absence or a late cancellation, lifted by an excuse or a correction, erased in time (N3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.attendance import store as attendance
from services.booking.attendance.domain import Sheet
from services.booking.deadlines.france import is_holiday
from services.booking.seats.deciding import record
from services.booking.seats.store import active_bookings, lock_session
from services.booking.strikes import domain, store
from services.booking.strikes.planning import CONFIRMATION_DAY
from shared import clock
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.attendance import AttendanceCorrected, AttendanceRecorded
from shared.contracts.booking import AttendanceOutcome, BookingCancelled, BookingState
from shared.contracts.strikes import ListStrikes, Strike, StrikeList, StrikeReason
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests
from shared.timers import Timer, Timers, set_timer

requests = Requests()
events = Consumers()
timers = Timers()

EXPIRES = "strike_expires"


async def follow(
    tx: AsyncConnection,
    sheet: Sheet,
    facts: Sequence[AttendanceRecorded | AttendanceCorrected],
    booked_at: Mapping[UUID, datetime],
    now: datetime,
) -> None:
    """An absence is one strike, and whatever corrects it takes it away."""
    await store.lift(tx, [fact.booking_id for fact in facts if fact.outcome is not AttendanceOutcome.ABSENT])
    for fact in facts:
        if fact.outcome is AttendanceOutcome.ABSENT:
            given = domain.strike(sheet, fact.booking_id, StrikeReason.ABSENT, booked_at[fact.booking_id], now)
            await _give(tx, given, fact.agent_id)


@events.effect("booking-strikes", BookingCancelled)
async def follow_cancellation(received: Received[BookingCancelled], tx: AsyncConnection) -> None:
    """A late cancellation is half a strike (N1). Booking hears itself, so that seats need not know of it."""
    event = received.event
    if event.state is not BookingState.LATE_CANCELLED:
        return
    place, sheet = await attendance.place(tx, event.booking_id), await attendance.lock_sheet(tx, event.session_id)
    if place is None or sheet is None or await attendance.is_excused(tx, event.booking_id):
        return
    await _give(tx, domain.strike(sheet, place.booking_id, StrikeReason.LATE_CANCELLED, place.booked_at, event.decided_at), place.agent_id)


@timers.on(EXPIRES)
async def expire(timer: Timer, tx: AsyncConnection) -> None:
    await store.expire(tx, UUID(timer.payload["booking_id"]), clock.now())


@timers.on(CONFIRMATION_DAY)
async def ask_who_has_strikes(timer: Timer, tx: AsyncConnection) -> None:
    """Under the session's lock: whether it is full by now is decided with what they are asked, and who books later is not asked."""
    session, now = await lock_session(tx, UUID(timer.payload["session_id"])), clock.now()
    if session is None or session.status == "cancelled" or now >= session.starts_at:
        return
    full = {places.remote for places in session.modes if domain.is_full_risk(places)}
    active = await active_bookings(tx, session) if full else []
    seated = [booking for booking in active if booking.state is BookingState.CONFIRMED and booking.remote in full]
    strikes = await store.counting_of_all(tx, [booking.agent_id for booking in seated], now)
    named = [booking for booking in seated if domain.must_confirm(strikes[booking.agent_id], now)]
    asked = [domain.ask_to_confirm(session, booking, now, is_holiday) for booking in named]
    await record(tx, session, [fact for fact in asked if fact is not None], timer)


@requests.query(ListStrikes)
async def list_strikes(request: ListStrikes, caller: Caller, database: Database) -> StrikeList:
    if not caller.is_agent(request.agent_id):
        raise NotAllowed(f"{caller.actor} asks for the strikes of {request.agent_id}")
    async with database.connect() as connection:
        found = await store.counting(connection, request.agent_id, clock.now())
    return StrikeList(strikes=tuple(found), halves=sum(each.halves for each in found), reached_at=domain.reached_at(found))


async def _give(tx: AsyncConnection, strike: Strike | None, agent_id: UUID) -> None:
    if strike is not None:
        await store.give(tx, strike, agent_id)
        await set_timer(tx, f"strike/{strike.booking_id}", strike.expires_at, EXPIRES, {"booking_id": strike.booking_id})

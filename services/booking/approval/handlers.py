"""What line managers answer, by the signed link of their mail (B7)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.approval import domain
from services.booking.places.domain import changed, must_be_at
from services.booking.seats import store
from services.booking.seats.deciding import record, serve_queue
from services.booking.seats.domain import Session
from services.booking.seats.refusals import BookingUnknown
from shared import clock
from shared.bus import Caller
from shared.contracts.approval import ApproveBooking, RefuseBooking
from shared.contracts.booking import Booking
from shared.requests import Requests

requests = Requests()


@requests.command(ApproveBooking)
async def approve_booking(request: ApproveBooking, caller: Caller, tx: AsyncConnection) -> Booking:
    """Whoever has the session's lock first, the manager, the deadline or the agent, decides what becomes of the request."""
    session, booking = await _lock_request(tx, request.booking_id, caller)
    now = clock.now()

    fact = domain.approve(session, booking, now)
    must_be_at(booking, request.expected_version)

    await record(tx, session, [fact], caller)
    return changed(booking, fact)


@requests.command(RefuseBooking)
async def refuse_booking(request: RefuseBooking, caller: Caller, tx: AsyncConnection) -> Booking:
    """The freed seat goes to the head of the queue at once (W1)."""
    session, booking = await _lock_request(tx, request.booking_id, caller)
    now = clock.now()

    fact = domain.refuse(session, booking, now)
    must_be_at(booking, request.expected_version)

    await record(tx, session, [fact], caller)
    await record(tx, session, await serve_queue(tx, session, "place libérée", now), caller)
    return changed(booking, fact)


async def _lock_request(tx: AsyncConnection, booking_id: UUID, caller: Caller) -> tuple[Session, Booking]:
    locked = await store.lock_session_of(tx, booking_id)
    if locked is None or not (caller.has("operator", "lab_team") or caller.actor == str(locked[1].manager_id)):
        raise BookingUnknown(f"booking {booking_id}")
    return locked

"""What ends a question that nobody answered."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.approval.domain import expire
from services.booking.moves.domain import silence
from services.booking.pending.domain import is_open
from services.booking.seats import store
from services.booking.seats.deciding import PENDING_ENDS, record, serve_queue
from shared import clock
from shared.contracts.approval import BookingReleased
from shared.contracts.booking import PendingKind
from shared.timers import Timer, Timers

timers = Timers()


@timers.on(PENDING_ENDS)
async def end_question(timer: Timer, tx: AsyncConnection) -> None:
    """A seat that is released serves the queue in the same transaction (B7, M1). An answer made the booking newer than the timer."""
    locked = await store.lock_session_of(tx, UUID(timer.payload["booking_id"]))
    if locked is None or locked[1].version != timer.payload["version"] or locked[1].pending is None or not is_open(locked[1]):
        return
    session, booking = locked
    now = clock.now()

    end = expire if is_open(booking, PendingKind.PENDING_APPROVAL) else silence
    fact = end(session, booking, locked[1].pending, now)

    await record(tx, session, [fact], timer)
    if isinstance(fact, BookingReleased):
        await record(tx, session, await serve_queue(tx, session, "place libérée", now), timer)

"""What agents answer about the way they follow a hybrid session (B9)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.modes.domain import change_mode
from services.booking.places.domain import changed, must_be_at
from services.booking.seats.deciding import lock_agent, record, serve_queue
from shared import clock
from shared.bus import Caller
from shared.contracts.booking import Booking
from shared.contracts.modes import ChangeMode
from shared.requests import Requests

requests = Requests()


@requests.command(ChangeMode)
async def follow_in_the_other_mode(request: ChangeMode, caller: Caller, tx: AsyncConnection) -> Booking:
    """Both modes are under one lock: it is both or nothing, and the agent never has two places (B3)."""
    sessions, agenda, booking = await lock_agent(tx, request.booking_id, caller)
    must_be_at(booking, request.expected_version)
    if booking.remote is request.remote:
        return booking
    session, now = sessions[booking.session_id], clock.now()

    fact = change_mode(session, booking, agenda.without(booking.booking_id), now)
    served = await serve_queue(tx, session.places(remote=booking.remote), "place libérée", now)

    await record(tx, session, [fact, *served], caller)
    return changed(booking, fact)

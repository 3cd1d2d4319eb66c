"""What agents answer after a move, and whom the lab phones after a late cancellation (M1, M4)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.moves import domain, queries
from services.booking.places.domain import changed
from services.booking.seats.deciding import lock_place, record
from services.booking.seats.refusals import SessionNotReady
from shared import clock
from shared.bus import Caller
from shared.contracts.booking import Booking
from shared.contracts.moves import ConfirmBooking, ListPeopleToPhone, PhoneList
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests

requests = Requests()


@requests.command(ConfirmBooking)
async def confirm_booking(request: ConfirmBooking, caller: Caller, tx: AsyncConnection) -> Booking:
    """Whoever has the session's lock first, the agent or the deadline, decides what becomes of the seat."""
    session, booking = await lock_place(tx, request.booking_id, caller)

    fact = domain.confirm(session, booking, clock.now())

    await record(tx, session, [fact], caller)
    return changed(booking, fact)


@requests.query(ListPeopleToPhone)
async def list_people_to_phone(request: ListPeopleToPhone, caller: Caller, database: Database) -> PhoneList:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} phones nobody for the lab")
    async with database.connect() as connection:
        found = await queries.people_to_phone(connection, request.session_id)
    if found is None:
        raise SessionNotReady(f"session {request.session_id}")
    return found

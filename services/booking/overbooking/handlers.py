"""What the lab does about a session that has more seats given than places (B8)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.overbooking import domain
from services.booking.places.domain import changed
from services.booking.priority import store as priority
from services.booking.seats import deciding, store
from services.booking.seats.domain import Session
from services.booking.seats.refusals import SessionNotReady
from shared import clock
from shared.bus import Caller
from shared.contracts.overbooking import Asked, CallForVolunteers, Withdrawn, WithdrawSeats
from shared.errors import NotAllowed
from shared.requests import Requests

requests = Requests()


@requests.command(CallForVolunteers)
async def call_for_volunteers(request: CallForVolunteers, caller: Caller, tx: AsyncConnection) -> Asked:
    session = await _lock(tx, request, caller)
    seated = await store.seated_newest_first(tx, session)

    facts = domain.seek_volunteers(session, seated, clock.now())

    await deciding.record(tx, session, facts, caller)
    return Asked(agents=len(facts))


@requests.command(WithdrawSeats)
async def withdraw_seats(request: WithdrawSeats, caller: Caller, tx: AsyncConnection) -> Withdrawn:
    """Offers and the queue are left alone: no seat comes free before those that are held fit again."""
    session = await _lock(tx, request, caller)
    seated, now = await store.seated_newest_first(tx, session), clock.now()

    facts = domain.withdraw(session, seated, request.number, request.reason, now, now + priority.LASTS)

    if session.series_id is not None:
        await priority.grant(tx, [fact.agent_id for fact in facts], session.series_id, session.session_id, now)
    await deciding.record(tx, session, facts, caller)
    return Withdrawn(bookings=tuple(changed(booking, fact) for booking, fact in zip(seated, facts, strict=False)))


async def _lock(tx: AsyncConnection, request: CallForVolunteers | WithdrawSeats, caller: Caller) -> Session:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} decides on {request.session_id}")
    if (session := await store.lock_session(tx, request.session_id)) is None:
        raise SessionNotReady(f"session {request.session_id}")
    return session.places(remote=request.remote)

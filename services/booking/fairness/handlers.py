"""The lab lifts the limit of fair use for one agent and one session (B10)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.fairness import store
from services.booking.seats.refusals import SessionNotReady
from shared import clock
from shared.bus import Caller
from shared.contracts.agenda import LiftFairUse
from shared.contracts.messages import Acknowledged
from shared.errors import NotAllowed
from shared.requests import Requests

requests = Requests()


@requests.command(LiftFairUse)
async def lift_fair_use(request: LiftFairUse, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} lifts the limit of {request.agent_id}")
    if not await store.lift(tx, request, caller.actor, clock.now()):
        raise SessionNotReady(f"session {request.session_id}")
    return Acknowledged(version=1)

"""Asking booking for a seat, as the API and the portal do."""

from __future__ import annotations

from uuid import UUID

from services.gateway.programme.domain import SessionUnknown
from shared.bus import Bus, Caller
from shared.contracts.booking import Booking, BookSeat
from shared.contracts.catalog import GetSession
from shared.contracts.groups import BookGroup, GroupBooking
from shared.errors import Refused


async def ask_for_seat(bus: Bus, session_id: UUID, caller: Caller) -> Booking:
    """Book for the caller. `session_not_ready` becomes a 404 only when catalog says that there is no such session (E1)."""
    try:
        return await bus.ask(BookSeat(session_id=session_id, agent_id=UUID(caller.actor)), caller)
    except Refused as refusal:
        if refusal.code == "session_not_ready" and not await _exists(bus, session_id, caller):
            raise SessionUnknown(f"session {session_id}") from refusal
        raise


async def ask_for_group(bus: Bus, order: BookGroup, caller: Caller) -> GroupBooking:
    try:
        return await bus.ask(order, caller)
    except Refused as refusal:
        if refusal.code == "session_not_ready" and not await _exists(bus, order.session_id, caller):
            raise SessionUnknown(f"session {order.session_id}") from refusal
        raise


async def _exists(bus: Bus, session_id: UUID, caller: Caller) -> bool:
    """False only when catalog itself says no: one that is away says nothing."""
    try:
        await bus.ask(GetSession(session_id=session_id), caller, timeout=2)
    except Refused as refusal:
        return refusal.code != "session_unknown"
    return True

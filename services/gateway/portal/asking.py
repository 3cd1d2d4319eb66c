"""Asking the owning services for a page: patiently where waiting helps, and doing without where a page can."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from services.gateway.portal.visit import Visit
from shared.bus import Caller
from shared.contracts.booking import Booking, ListBookings
from shared.contracts.bounces import GetReachability
from shared.errors import Refused

ReplyT = TypeVar("ReplyT")

TRIES = 4
PAUSE_SECONDS = 0.4
PASSING = frozenset({"idempotency_key_in_use", "contended", "busy"})
"""Refusals that are over in a moment: the second click of a double click, a crowd."""


async def patiently(ask: Callable[[Caller], Awaitable[ReplyT]], caller: Caller) -> ReplyT:
    """Ask again for a moment with the same key, since a person would only press the button again."""
    for _ in range(TRIES - 1):
        try:
            return await ask(caller)
        except Refused as refusal:
            if refusal.code not in PASSING:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
    return await ask(caller)


async def my_mail_comes_back(visit: Visit, agent_id: UUID) -> bool:
    """Whether the visitor's address was refused; a page does without the answer."""
    try:
        asked = GetReachability(agent_id=agent_id)
        return (await visit.desk.bus.ask(asked, Caller(str(agent_id), frozenset({"agent"})), timeout=1)).undeliverable_since is not None
    except Refused:
        return False


async def my_bookings(visit: Visit) -> tuple[Booking, ...] | None:
    """The visitor's bookings, newest first; none for a stranger, None when booking cannot be asked."""
    if visit.principal is None:
        return ()
    principal = visit.principal
    try:
        found = await visit.desk.bus.ask(ListBookings(agent_id=principal.agent_id, limit=200), principal.caller(), timeout=2)
    except Refused:
        return None
    return found.bookings

"""The column of `booking` that says in which mode its agent follows a hybrid session. Written only where there is something to write."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.booking import BookingEvent
from shared.contracts.modes import BookingModeChanged
from shared.database import fetch

_FOLLOW = """
    update booking set remote = fact.remote, given_sequence = coalesce(fact.sequence, given_sequence)
    from unnest($1::uuid[], $2::boolean[], $3::bigint[]) as fact(booking_id, remote, sequence)
    where booking.booking_id = fact.booking_id
"""


async def record(tx: AsyncConnection, facts: Sequence[BookingEvent]) -> None:
    """After the places themselves. Of whoever comes from the other mode, the seat is as new as this decision (B8)."""
    distant = [(fact.booking_id, True, None) for fact in facts if fact.version == 1 and fact.remote]
    moved = [(fact.booking_id, fact.remote, fact.session_sequence) for fact in facts if isinstance(fact, BookingModeChanged)]
    if distant or moved:
        await fetch(tx, _FOLLOW, *map(list, zip(*distant, *moved, strict=True)))

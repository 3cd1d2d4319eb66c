"""The columns of `booking` that hold a question, whom it goes to, and who booked. Written only where there is something to write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.booking import BookingEvent, PendingEvent
from shared.database import fetch

_ASK = """
    update booking
    set pending_kind = asked.kind, pending_state = asked.state, pending_since = asked.since, pending_until = asked.until,
        pending_silence_keeps = asked.silence_keeps
    from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::boolean[])
         as asked(booking_id, kind, state, since, until, silence_keeps)
    where booking.booking_id = asked.booking_id
"""
_NOTE = """
    update booking set manager_id = noted.manager_id, booked_by = noted.booked_by
    from unnest($1::uuid[], $2::uuid[], $3::text[]) as noted(booking_id, manager_id, booked_by)
    where booking.booking_id = noted.booking_id
"""
_MANAGERS = text("select booking_id, manager_id from booking where booking_id = any(:booking_ids) and manager_id is not null")


async def record(tx: AsyncConnection, facts: Iterable[BookingEvent]) -> None:
    """After the places themselves: a seat that ended has closed its question already, and this says how."""
    said = [(fact.booking_id, fact.pending) for fact in facts if isinstance(fact, PendingEvent)]
    if said:
        rows = ((id_, p.kind.value, p.state.value, p.asked_at, p.deadline, p.silence_keeps) for id_, p in said)
        await fetch(tx, _ASK, *map(list, zip(*rows, strict=True)))


async def note(tx: AsyncConnection, places: Mapping[UUID, tuple[UUID | None, str | None]]) -> None:
    """Whom to ask for an approval, and who booked, of places that have just been made."""
    if rows := [(booking_id, *noted) for booking_id, noted in places.items() if any(noted)]:
        await fetch(tx, _NOTE, *map(list, zip(*rows, strict=True)))


async def managers(tx: AsyncConnection, booking_ids: Sequence[UUID]) -> Mapping[UUID, UUID]:
    """Whom each of these places named, where it named somebody."""
    rows = await tx.execute(_MANAGERS, {"booking_ids": list(booking_ids)})
    return {row.booking_id: row.manager_id for row in rows}

"""Reads: SQL straight to the reply."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.moves.domain import PHONED_UNDER
from shared.contracts.moves import PersonToPhone, PhoneList

_SESSION = text("select starts_at from session where session_id = :session_id")
_PEOPLE = text(
    """
    select booking_id, agent_id, booking.state = 'cancelled_by_lab' as had_seat
    from booking join session using (session_id)
    where session_id = :session_id and session.status = 'cancelled' and decided_at > starts_at - cast(:notice as interval)
      and (booking.state = 'closed'
           or booking.state = 'cancelled_by_lab' and coalesce(pending_state, 'closed') not in ('refused', 'expired'))
    order by had_seat desc, session_sequence
    """
)


async def people_to_phone(connection: AsyncConnection, session_id: UUID) -> PhoneList | None:
    starts_at = await connection.scalar(_SESSION, {"session_id": session_id})
    if starts_at is None:
        return None
    rows = (await connection.execute(_PEOPLE, {"session_id": session_id, "notice": PHONED_UNDER})).mappings()
    people = tuple(PersonToPhone.model_validate(dict(row)) for row in rows)
    return PhoneList(session_id=session_id, starts_at=starts_at, short_notice=bool(people), people=people)

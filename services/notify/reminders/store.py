"""Who is to be reminded, and what people need to come; the only SQL that writes `joining_instructions`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.booking import BookingState
from shared.contracts.catalog import SessionState
from shared.contracts.reminders import GiveJoiningInstructions, JoiningInstructions

_SESSION = text("select state from session where session_id = :session_id")
_LOCKED_SESSION = text("select state from session where session_id = :session_id for share")

_SEATED = text(
    """
    select booking_id, agent_id from booking
    where session_id = :session_id and not of_group and state = :confirmed and pending is distinct from 'pending_approval'
      and (seated_at is null or seated_at <= :latest)
    order by booking_id
    """
)

_GIVE = text(
    """
    insert into joining_instructions as known (session_id, bring, access, venue_id, video_url)
    values (:session_id, :bring, :access, :venue_id, :video_url)
    on conflict (session_id) do update
    set version = known.version + 1, bring = excluded.bring, access = excluded.access, venue_id = excluded.venue_id,
        video_url = excluded.video_url
    returning version
    """
)

_GIVEN = text("select version, bring, access, venue_id, video_url from joining_instructions where session_id = :session_id")

_IS_SEATED = text(
    """
    select exists (select from booking
                   where session_id = :session_id and agent_id = :agent_id and state = :confirmed and not of_group
                     and pending is distinct from 'pending_approval')
    """
)


async def session(tx: AsyncConnection, session_id: UUID, *, locked: bool = False) -> SessionState | None:
    """As it is known. Locked: a move waits for what is decided about its reminders, or that waits for the move."""
    found = await tx.scalar(_LOCKED_SESSION if locked else _SESSION, {"session_id": session_id})
    return SessionState.model_validate(found) if found else None


async def seated(tx: AsyncConnection, session_id: UUID, now: datetime, fresh: timedelta) -> Sequence[tuple[UUID, UUID]]:
    """Booking and agent of each seat that is not fresh."""
    values = {"session_id": session_id, "confirmed": BookingState.CONFIRMED, "latest": now - fresh}
    return [(row.booking_id, row.agent_id) for row in await tx.execute(_SEATED, values)]


async def is_seated(tx: AsyncConnection, session_id: UUID, agent_id: UUID) -> bool:
    values = {"session_id": session_id, "agent_id": agent_id, "confirmed": BookingState.CONFIRMED}
    return bool(await tx.scalar(_IS_SEATED, values))


async def give(tx: AsyncConnection, order: GiveJoiningInstructions, venue_id: UUID | None) -> int:
    """What was said before is replaced; the version that this is."""
    return await tx.scalar(_GIVE, order.model_dump() | {"venue_id": venue_id}) or 1


async def instructions(tx: AsyncConnection, of: SessionState) -> JoiningInstructions:
    """What is known of how to come, now: how to get in is said of the place that it was said of, and of no other."""
    row: Any = (await tx.execute(_GIVEN, {"session_id": of.session_id})).one_or_none()
    if row is None:
        return JoiningInstructions(session_id=of.session_id)
    same_place = of.venue is not None and row.venue_id == of.venue.venue_id
    return JoiningInstructions(
        session_id=of.session_id,
        version=row.version,
        bring=row.bring,
        access=row.access if same_place else "",
        video_url=row.video_url,
    )

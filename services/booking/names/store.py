"""The column of `booking` that says whose group a seat is of, and the table `agent_unit`; the only SQL that writes them."""

# ruff: noqa: S608 - what is joined into the statements are lists of columns, never values

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.names.domain import Place
from services.booking.seats.domain import Session
from services.booking.seats.queries import booking_of
from services.booking.seats.store import BOOKING
from shared.contracts.booking import Booking
from shared.contracts.gateway import AgentEvent
from shared.database import fetch

_PLACES = text(
    f"""
    select {BOOKING}, group_id from booking
    where session_id = :session_id and agent_id = any(:agent_ids) and state in ('confirmed', 'waiting')
    """
)
_MEMBERS = text(f"select {BOOKING} from booking where group_id = :group_id and state = 'confirmed' order by booked_at, booking_id")
_GROUP_OF = text("select group_id from booking where booking_id = :booking_id")
_UNITS = text("select agent_id, org_unit from agent_unit where agent_id = any(:agent_ids)")

_JOIN = """
    update booking set group_id = $2, pending_state = case when pending_state = 'open' then 'closed' else pending_state end
    where booking_id = any($1::uuid[])
"""
_KEEP_UNITS = """
    insert into agent_unit as known (agent_id, org_unit, department)
    select agent_id, org_unit, department from unnest($1::uuid[], $2::text[], $3::text[]) as heard(agent_id, org_unit, department)
    on conflict (agent_id) do update set org_unit = excluded.org_unit, department = excluded.department
    where (known.org_unit, known.department) is distinct from (excluded.org_unit, excluded.department)
"""


async def places(tx: AsyncConnection, session: Session, agent_ids: Sequence[UUID]) -> dict[UUID, Place]:
    """What these agents have in the session already; its lock is held."""
    rows = await tx.execute(_PLACES, {"session_id": session.session_id, "agent_ids": list(agent_ids)})
    return {row.agent_id: Place(booking_of(row), row.group_id) for row in rows}


async def members(tx: AsyncConnection, group_id: UUID) -> list[Booking]:
    return [booking_of(row) for row in await tx.execute(_MEMBERS, {"group_id": group_id})]


async def group_of(tx: AsyncConnection, booking_id: UUID) -> UUID | None:
    """The group whose seat this is, or was."""
    return await tx.scalar(_GROUP_OF, {"booking_id": booking_id})


async def join(tx: AsyncConnection, group_id: UUID, booking_ids: Sequence[UUID]) -> None:
    """After the places themselves. Nobody is asked about a seat of a group (B7)."""
    await fetch(tx, _JOIN, list(booking_ids), group_id)


async def units(tx: AsyncConnection, agent_ids: Sequence[UUID]) -> Mapping[UUID, str]:
    return {row.agent_id: row.org_unit for row in await tx.execute(_UNITS, {"agent_ids": list(agent_ids)})}


async def keep_units(tx: AsyncConnection, heard: Sequence[AgentEvent]) -> None:
    ordered = sorted(heard, key=lambda each: each.agent_id)
    columns = [(each.agent_id, each.org_unit, each.department) for each in ordered]
    await fetch(tx, _KEEP_UNITS, *map(list, zip(*columns, strict=True)))

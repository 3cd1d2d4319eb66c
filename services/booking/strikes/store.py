"""Table `strike`, and the only SQL that writes it. What expires or is lifted is erased; the lock on the sheet orders giving and lifting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.strikes import Strike

_GIVE = text(
    """
    insert into strike (booking_id, agent_id, session_id, reason, halves, given_at, expires_at)
    values (:booking_id, :agent_id, :session_id, :reason, :halves, :given_at, :expires_at) on conflict do nothing
    """
)
_LIFT = text("delete from strike where booking_id = any(:booking_ids)")
_LIFT_ALL = text("delete from strike where session_id = :session_id")
_EXPIRE = text("delete from strike where booking_id = :booking_id and expires_at <= :now")
_COUNTING = text("select * from strike where agent_id = :agent_id and expires_at > :now order by given_at desc")
_COUNTING_OF_ALL = text("select * from strike where agent_id = any(:agent_ids) and expires_at > :now order by given_at")
_HAS = text("select exists (select from strike where booking_id = :booking_id)")


async def give(tx: AsyncConnection, strike: Strike, agent_id: UUID) -> None:
    """Twice is once."""
    await tx.execute(_GIVE, strike.model_dump() | {"agent_id": agent_id})


async def lift(tx: AsyncConnection, booking_ids: Sequence[UUID]) -> None:
    if booking_ids:
        await tx.execute(_LIFT, {"booking_ids": list(booking_ids)})


async def lift_all(tx: AsyncConnection, session_id: UUID) -> None:
    """Of a session that was cancelled or moved (N4)."""
    await tx.execute(_LIFT_ALL, {"session_id": session_id})


async def expire(tx: AsyncConnection, booking_id: UUID, now: datetime) -> None:
    await tx.execute(_EXPIRE, {"booking_id": booking_id, "now": now})


async def has(connection: AsyncConnection, booking_id: UUID) -> bool:
    return bool(await connection.scalar(_HAS, {"booking_id": booking_id}))


async def counting(connection: AsyncConnection, agent_id: UUID, now: datetime) -> list[Strike]:
    rows = await connection.execute(_COUNTING, {"agent_id": agent_id, "now": now})
    return [Strike.model_validate(dict(row)) for row in rows.mappings()]


async def counting_of_all(tx: AsyncConnection, agent_ids: Sequence[UUID], now: datetime) -> dict[UUID, list[Strike]]:
    """By agent; empty for most."""
    found: dict[UUID, list[Strike]] = {agent_id: [] for agent_id in agent_ids}
    for row in (await tx.execute(_COUNTING_OF_ALL, {"agent_ids": list(agent_ids), "now": now})).mappings():
        found[row["agent_id"]].append(Strike.model_validate(dict(row)))
    return found

"""Table `session_quorum`: the decision about the day of each session that has a quorum. Written under the lock of the session."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.quorum.domain import QuorumOfSession
from services.booking.seats.domain import Session
from shared.contracts.quorum import QuorumState

_READ = text("select needed, day, decides_at, state, reason, kept_by from session_quorum where session_id = :session_id")
# The session's sequence moves as well: its counters, and with them what became of the quorum, are announced.
_WRITE = text(
    """
    with decided as (update session set sequence = :sequence where session_id = :session_id)
    insert into session_quorum (session_id, needed, day, decides_at, state, reason, kept_by)
    values (:session_id, :needed, :day, :decides_at, :state, :reason, :kept_by)
    on conflict (session_id) do update
    set needed = excluded.needed, day = excluded.day, decides_at = excluded.decides_at, state = excluded.state, reason = excluded.reason,
        kept_by = excluded.kept_by
    """
)
_TAKEN = text(
    """
    select (select count(*) from booking where session_id = :session_id and state = 'confirmed')
         + (select coalesce(sum(seats_unnamed), 0) from group_booking where session_id = :session_id)
    """
)


async def quorum(tx: AsyncConnection, session_id: UUID) -> QuorumOfSession | None:
    row = (await tx.execute(_READ, {"session_id": session_id})).mappings().one_or_none()
    if row is None:
        return None
    return QuorumOfSession(row["needed"], row["day"], row["decides_at"], QuorumState(row["state"]), row["reason"], row["kept_by"])


async def write(tx: AsyncConnection, session: Session, decided: QuorumOfSession) -> None:
    values = asdict(decided) | {"session_id": session.session_id, "sequence": session.next_sequence()}
    await tx.execute(_WRITE, values)


async def taken(tx: AsyncConnection, session_id: UUID) -> int:
    """Seats of agents, those that still await an answer included, since they are held; and seats that groups have without a name.

    Neither an offer nor a seat that is kept while a group gathers: nobody has said yes to those.
    """
    return await tx.scalar(_TAKEN, {"session_id": session_id}) or 0

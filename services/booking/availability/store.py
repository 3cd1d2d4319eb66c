"""Table `announcement`: what was last said of each session's counters."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.availability import RemotePlaces, SessionAvailabilityChanged
from shared.contracts.quorum import Quorum

# The announcement has a row of its own: it must neither wait for the lock of a busy session nor hold it.
_ANNOUNCE = text(
    """
    with due as (
        select announcement.session_id from announcement join session using (session_id)
        where announcement.session_sequence < session.sequence and announced_at <= clock_timestamp() - interval '1 second'
        order by announced_at limit :most for update of announcement skip locked
    )
    update announcement
    set version = announcement.version + 1, session_sequence = session.sequence, announced_at = clock_timestamp()
    from due join session using (session_id)
    left join session_quorum quorum on quorum.session_id = due.session_id and quorum.state <> 'none'
    where announcement.session_id = due.session_id
    returning announcement.session_id, announcement.version, announcement.session_sequence, session.capacity, session.held, session.waiting,
              session.private, remote_capacity, remote_held, remote_waiting, remote_over_capacity,
              quorum.needed, quorum.decides_at, quorum.state as quorum_state
    """
)


async def announce(tx: AsyncConnection, most: int) -> list[SessionAvailabilityChanged]:
    """Number the announcements of the sessions that changed since their last one, at most one per second and session."""
    return [
        SessionAvailabilityChanged(
            version=row.version,
            session_id=row.session_id,
            session_sequence=row.session_sequence,
            capacity=row.capacity,
            held=row.held,
            waiting=row.waiting,
            private=row.private,
            remote=RemotePlaces(
                capacity=row.remote_capacity, held=row.remote_held, waiting=row.remote_waiting, over_capacity=row.remote_over_capacity
            )
            if row.remote_capacity is not None
            else None,
            quorum=Quorum(needed=row.needed, decides_at=row.decides_at, state=row.quorum_state) if row.quorum_state else None,
        )
        for row in await tx.execute(_ANNOUNCE, {"most": most})
    ]

"""Tables `session`, `booking` and `announcement`, and the only SQL that writes them.

Whoever decides on a session holds the lock on its row: booking, cancelling, promoting, following catalog. Rows of `booking` are
therefore never locked themselves, and locks are always taken in the order of session ids.
"""

# ruff: noqa: S608 - what is joined into the statements are lists of columns, never values

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.seats.domain import Fact, Session
from shared.contracts.booking import Booking, BookingState, SessionAvailabilityChanged
from shared.contracts.catalog import SessionState
from shared.database import fetch

_SESSION = "session_id, starts_at, cancellation_cutoff, status, capacity, held, waiting, sequence, catalog_version"
_BOOKING = "booking_id, session_id, agent_id, state, session_sequence, version, booked_at, reason"

# A statement sees the rows of other tables as they were when it began, also when it then waited for a lock. Every decision moves
# `sequence`, so `sequence_seen` tells whether anything was decided meanwhile: only then are the agents' places read a second time.
_LOCK_FOR_ORDERS = f"""
    with locked as materialized (
        select {_SESSION} from session where session_id = any($1::uuid[]) order by session_id for update
    ), known as materialized (
        select locked.*, (select seen.sequence from session seen where seen.session_id = locked.session_id) as sequence_seen from locked
    )
    select known.*, (
        select active.booking_id from booking active
        where active.session_id = asked.session_id and active.agent_id = asked.agent_id and active.state in ('confirmed', 'waiting')
    ) as already
    from unnest($1::uuid[], $2::uuid[]) with ordinality as asked(session_id, agent_id, place)
    left join known on known.session_id = asked.session_id
    order by place
"""

_ACTIVE_PLACES = """
    select (
        select active.booking_id from booking active
        where active.session_id = asked.session_id and active.agent_id = asked.agent_id and active.state in ('confirmed', 'waiting')
    ) as already
    from unnest($1::uuid[], $2::uuid[]) with ordinality as asked(session_id, agent_id, place)
    order by place
"""

_LOCK = text(f"select {_SESSION} from session where session_id = :session_id for update")
_LOCK_OF_BOOKING = text(
    f"select {_SESSION} from session where session_id = (select session_id from booking where booking_id = :booking_id) for update"
)
_ONE_BOOKING = text(f"select {_BOOKING} from booking where booking_id = :booking_id")
_HEADS = text(
    f"select {_BOOKING} from booking where session_id = :session_id and state = 'waiting' order by session_sequence limit :number"
)
_ACTIVE = text(
    f"""
    select {_BOOKING} from booking where session_id = :session_id and state in ('confirmed', 'waiting') order by session_sequence
    """
)

# `over_capacity` can only shrink here: were a seat too many given, the check `session_never_overbooked` would refuse the transaction.
_RECORD = """
    with counted as (
        update session
        set held = now.held, waiting = now.waiting, sequence = now.sequence,
            over_capacity = least(over_capacity, greatest(now.held - capacity, 0))
        from unnest($1::uuid[], $2::int[], $3::int[], $4::bigint[]) as now(session_id, held, waiting, sequence)
        where session.session_id = now.session_id
    )
    insert into booking as place (booking_id, session_id, agent_id, state, session_sequence, version, booked_at, decided_at, reason)
    select booking_id, session_id, agent_id, state, session_sequence, version, decided_at, decided_at, nullif(reason, '')
    from unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::bigint[], $10::int[], $11::timestamptz[], $12::text[])
         as fact(booking_id, session_id, agent_id, state, session_sequence, version, decided_at, reason)
    on conflict (booking_id) do update
    set state = excluded.state, version = excluded.version, decided_at = excluded.decided_at, reason = excluded.reason
"""

_OPEN = text(
    """
    with opened as (
        insert into session (session_id, activity_type, starts_at, ends_at, cancellation_cutoff, status, capacity, catalog_version)
        values (:session_id, :activity_type, :starts_at, :ends_at, :cutoff, :status, :capacity, 0)
        on conflict do nothing
        returning session_id
    )
    insert into announcement (session_id) select session_id from opened
    """
)

_TAKE_OVER = text(
    """
    update session
    set activity_type = :activity_type, starts_at = :starts_at, ends_at = :ends_at, cancellation_cutoff = :cutoff, status = :status,
        capacity = :capacity, over_capacity = greatest(held - :capacity, 0), sequence = :sequence, catalog_version = :catalog_version
    where session_id = :session_id
    """
)

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
    where announcement.session_id = due.session_id
    returning announcement.session_id, announcement.version, announcement.session_sequence, session.capacity, session.held, session.waiting
    """
)


async def lock_sessions(
    tx: AsyncConnection, session_ids: Sequence[UUID], agent_ids: Sequence[UUID]
) -> tuple[dict[UUID, Session], list[UUID | None]]:
    """Lock the sessions that are known, in the order of their ids, and find the active place that each (session, agent) has."""
    asked = list(session_ids), list(agent_ids)
    rows = await fetch(tx, _LOCK_FOR_ORDERS, *asked)
    sessions: dict[UUID, Session] = {}
    for row in rows:
        if row["session_id"] is not None and row["session_id"] not in sessions:
            sessions[row["session_id"]] = _session(row)
    if any(row["sequence"] != row["sequence_seen"] for row in rows):
        rows = await fetch(tx, _ACTIVE_PLACES, *asked)
    return sessions, [row["already"] for row in rows]


async def lock_session(tx: AsyncConnection, session_id: UUID) -> Session | None:
    row = (await tx.execute(_LOCK, {"session_id": session_id})).mappings().one_or_none()
    return None if row is None else _session(row)


async def lock_session_of(tx: AsyncConnection, booking_id: UUID) -> tuple[Session, Booking] | None:
    """Lock a booking's session, then read the booking: in this order, as the batches do."""
    locked = (await tx.execute(_LOCK_OF_BOOKING, {"booking_id": booking_id})).mappings().one_or_none()
    if locked is None:
        return None
    return _session(locked), _booking((await tx.execute(_ONE_BOOKING, {"booking_id": booking_id})).one())


async def heads(tx: AsyncConnection, session: Session, number: int) -> list[Booking]:
    """The first of the queue (W1)."""
    rows = await tx.execute(_HEADS, {"session_id": session.session_id, "number": number})
    return [_booking(row) for row in rows]


async def active_bookings(tx: AsyncConnection, session: Session) -> list[Booking]:
    return [_booking(row) for row in await tx.execute(_ACTIVE, {"session_id": session.session_id})]


async def record(tx: AsyncConnection, locked: Mapping[UUID, Session], facts: Sequence[Fact]) -> None:
    """Write the places that the facts made or changed, and the counters of their sessions: one statement, whatever their number."""
    if not facts:
        return
    changed = [locked[session_id] for session_id in {fact.session_id for fact in facts}]
    await fetch(
        tx,
        _RECORD,
        [session.session_id for session in changed],
        [session.held for session in changed],
        [session.waiting for session in changed],
        [session.sequence for session in changed],
        [fact.booking_id for fact in facts],
        [fact.session_id for fact in facts],
        [fact.agent_id for fact in facts],
        [fact.state.value for fact in facts],
        [fact.session_sequence for fact in facts],
        [fact.version for fact in facts],
        [fact.decided_at for fact in facts],
        [getattr(fact, "reason", "") for fact in facts],
    )


async def open_session(tx: AsyncConnection, catalog: SessionState, cutoff: datetime) -> Session:
    """Make and lock the row of a session that booking hears of for the first time; `follow` is still to be applied."""
    await tx.execute(_OPEN, _of_catalog(catalog, cutoff))
    return _session((await tx.execute(_LOCK, {"session_id": catalog.session_id})).mappings().one())


async def take_over(tx: AsyncConnection, session: Session, catalog: SessionState) -> None:
    """Write what `Session.follow` accepted."""
    values = _of_catalog(catalog, session.cancellation_cutoff)
    await tx.execute(_TAKE_OVER, values | {"sequence": session.sequence, "catalog_version": session.catalog_version})


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
        )
        for row in await tx.execute(_ANNOUNCE, {"most": most})
    ]


def _of_catalog(catalog: SessionState, cutoff: datetime) -> dict[str, Any]:
    return {
        "session_id": catalog.session_id,
        "activity_type": catalog.activity_type.value,
        "starts_at": catalog.starts_at,
        "ends_at": catalog.ends_at,
        "cutoff": cutoff,
        "status": catalog.status,
        "capacity": catalog.capacity,
    }


def _session(row: Mapping[Any, Any] | asyncpg.Record) -> Session:
    return Session(
        session_id=row["session_id"],
        starts_at=row["starts_at"],
        cancellation_cutoff=row["cancellation_cutoff"],
        status=row["status"],
        capacity=row["capacity"],
        held=row["held"],
        waiting=row["waiting"],
        sequence=row["sequence"],
        catalog_version=row["catalog_version"],
    )


def _booking(row: Row[Any]) -> Booking:
    return Booking(
        booking_id=row.booking_id,
        session_id=row.session_id,
        agent_id=row.agent_id,
        state=BookingState(row.state),
        session_sequence=row.session_sequence,
        version=row.version,
        booked_at=row.booked_at,
        reason=row.reason,
    )

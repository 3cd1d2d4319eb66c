"""Reads: SQL straight to the reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.booking import Availability, Booking, BookingState

_BOOKING = """
    select place.booking_id, place.session_id, agent_id, state, place.session_sequence, version, booked_at, reason,
           case when state = 'waiting' then (
               select count(*) from booking ahead
               where ahead.session_id = place.session_id and ahead.state = 'waiting' and ahead.session_sequence <= place.session_sequence
           ) end as rank,
           case when state = 'waiting' then session.waiting end as waiting
    from booking place join session using (session_id)
"""
_ONE = text(f"{_BOOKING} where booking_id = :booking_id")
_OF_AGENT = text(f"{_BOOKING} where agent_id = :agent_id order by booked_at desc, booking_id desc limit :number")

_AVAILABILITY = text(
    """
    select session_id, capacity, held, waiting
    from unnest(cast(:session_ids as uuid[])) with ordinality as asked(session_id, place) join session using (session_id)
    order by place
    """
)

# One statement, hence one snapshot: what it finds is wrong, not merely under way.
_AUDIT = text(
    """
    with counted as (
        select session_id,
               count(*) filter (where state = 'confirmed') as confirmed,
               count(*) filter (where state = 'waiting') as waiting,
               count(distinct agent_id) as agents,
               coalesce(max(session_sequence), 0) as last_place,
               max(session_sequence) filter (where state = 'confirmed') as last_seated,
               min(session_sequence) filter (where state = 'waiting') as first_waiting
        from booking
        where state in ('confirmed', 'waiting') and (cast(:session_ids as uuid[]) is null or session_id = any(cast(:session_ids as uuid[])))
        group by session_id
    )
    select session.session_id, found.code
    from session
    left join counted using (session_id)
    cross join lateral (values
        ('held_is_not_the_number_of_seats_given', held <> coalesce(confirmed, 0)),
        ('waiting_is_not_the_length_of_the_queue', session.waiting <> coalesce(counted.waiting, 0)),
        ('more_seats_given_than_there_are', confirmed > capacity + over_capacity),
        ('two_places_of_one_agent', agents <> confirmed + counted.waiting),
        ('a_place_from_the_future', last_place > sequence),
        ('seated_before_one_who_waited_longer', last_seated > first_waiting),
        ('a_free_seat_and_a_queue', status = 'scheduled' and starts_at > :now and held < capacity and session.waiting > 0),
        ('a_place_in_a_cancelled_session', status = 'cancelled' and confirmed + counted.waiting > 0)
    ) as found(code, wrong)
    where found.wrong and (cast(:session_ids as uuid[]) is null or session_id = any(cast(:session_ids as uuid[])))
    """
)


@dataclass(frozen=True)
class Finding:
    """Something that must never be, in one session."""

    session_id: UUID
    code: str


async def booking(connection: AsyncConnection, booking_id: UUID) -> Booking | None:
    row = (await connection.execute(_ONE, {"booking_id": booking_id})).one_or_none()
    return None if row is None else _booking(row)


async def bookings_of(connection: AsyncConnection, agent_id: UUID, number: int) -> tuple[Booking, ...]:
    rows = await connection.execute(_OF_AGENT, {"agent_id": agent_id, "number": number})
    return tuple(_booking(row) for row in rows)


async def availability(connection: AsyncConnection, session_ids: Sequence[UUID]) -> tuple[Availability, ...]:
    rows = await connection.execute(_AVAILABILITY, {"session_ids": list(dict.fromkeys(session_ids))})
    return tuple(Availability(session_id=row.session_id, capacity=row.capacity, held=row.held, waiting=row.waiting) for row in rows)


async def audit(connection: AsyncConnection, now: datetime, session_ids: Sequence[UUID] | None = None) -> list[Finding]:
    """What is wrong with these sessions, or with any: nothing, unless there is a bug."""
    rows = await connection.execute(_AUDIT, {"now": now, "session_ids": session_ids and list(session_ids)})
    return [Finding(row.session_id, row.code) for row in rows]


def _booking(row: Row[Any]) -> Booking:
    return Booking(
        booking_id=row.booking_id,
        session_id=row.session_id,
        agent_id=row.agent_id,
        state=BookingState(row.state),
        session_sequence=row.session_sequence,
        version=row.version,
        booked_at=row.booked_at,
        rank=row.rank,
        waiting=row.waiting,
        reason=row.reason,
    )

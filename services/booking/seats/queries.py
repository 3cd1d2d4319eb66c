"""Reads: SQL straight to the reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.booking import Availability, Booking, BookingState, OfferState, SeatOffer

# Before somebody are those who joined earlier, unless they have no priority token while this one has, and those who joined later with one
# while this one has none (W1). Who has an offer waits for nobody.
_BOOKING = """
    select place.booking_id, place.session_id, agent_id, state, place.session_sequence, version, booked_at, reason, priority,
           offer_state, offer_deadline, offered_at,
           case when state = 'waiting' and offer_state is null then (
               select count(*) from booking ahead
               where ahead.session_id = place.session_id and ahead.state = 'waiting' and ahead.offer_state is null
                 and ahead.session_sequence <= place.session_sequence and ahead.priority >= place.priority
           ) + (
               select count(*) from booking ahead
               where ahead.session_id = place.session_id and ahead.state = 'waiting' and ahead.offer_state is null
                 and ahead.priority and not place.priority and ahead.session_sequence > place.session_sequence
           ) end as rank,
           case when state = 'waiting' and offer_state is null then session.waiting end as waiting,
           (select outcome from attendance where attendance.booking_id = place.booking_id) as attendance
    from booking place join session using (session_id)
"""
_ONE = text(f"{_BOOKING} where booking_id = :booking_id")
_OF_AGENT = text(f"{_BOOKING} where agent_id = :agent_id order by booked_at desc, booking_id desc limit :number")

_AVAILABILITY = text(
    """
    select session_id, capacity, held, waiting, opens_at, coalesce(closes_at, starts_at) as closes_at
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
               count(*) filter (where offer_state = 'offered') as offered,
               count(*) filter (where state = 'waiting' and offer_state is null) as waiting,
               count(distinct agent_id) as agents,
               coalesce(max(session_sequence), 0) as last_place,
               max(session_sequence) filter (where given and not priority) as last_seated,
               max(coalesce(given_sequence, session_sequence)) filter (where given and not priority) as last_given,
               max(session_sequence) filter (where given and priority) as last_first_seated,
               min(session_sequence) filter (where not given and not priority) as waits_longest,
               min(session_sequence) filter (where not given and priority) as first_waits_longest,
               max(offer_deadline) filter (where offer_state = 'offered') as last_deadline,
               bool_or(offer_state = 'offered' and not exists (
                   select from timer where timer.key = 'offer/' || booking_id || '/' || booking.version)) as no_timer
        from booking cross join lateral (select state = 'confirmed' or offer_state is not distinct from 'offered') as seat(given)
        where state in ('confirmed', 'waiting') and (cast(:session_ids as uuid[]) is null or session_id = any(cast(:session_ids as uuid[])))
        group by session_id
    )
    select session.session_id, found.code
    from session
    left join counted using (session_id)
    cross join lateral (values
        ('held_is_not_the_number_of_seats_given', held <> coalesce(confirmed + offered, 0)),
        ('waiting_is_not_the_length_of_the_queue', session.waiting <> coalesce(counted.waiting, 0)),
        ('more_seats_given_than_there_are', confirmed + offered > capacity + over_capacity),
        ('two_places_of_one_agent', agents <> confirmed + offered + counted.waiting),
        ('a_place_from_the_future', last_place > sequence),
        ('seated_before_one_who_waited_longer', last_seated > waits_longest or last_first_seated > first_waits_longest),
        ('seated_before_one_with_a_priority_token', last_given > first_waits_longest),
        ('a_free_seat_and_a_queue',
         status = 'scheduled' and coalesce(offers_until, starts_at) > :now and held < capacity and session.waiting > 0),
        ('an_offer_that_nothing_ends', no_timer),
        ('an_offer_past_the_cut_off', last_deadline > coalesce(offers_until, starts_at)),
        ('a_place_in_a_cancelled_session', status = 'cancelled' and confirmed + offered + counted.waiting > 0)
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
    return None if row is None else booking_of(row)


async def bookings_of(connection: AsyncConnection, agent_id: UUID, number: int) -> tuple[Booking, ...]:
    rows = await connection.execute(_OF_AGENT, {"agent_id": agent_id, "number": number})
    return tuple(booking_of(row) for row in rows)


async def availability(connection: AsyncConnection, session_ids: Sequence[UUID]) -> tuple[Availability, ...]:
    rows = await connection.execute(_AVAILABILITY, {"session_ids": list(dict.fromkeys(session_ids))})
    return tuple(Availability.model_validate(dict(row)) for row in rows.mappings())


async def audit(connection: AsyncConnection, now: datetime, session_ids: Sequence[UUID] | None = None) -> list[Finding]:
    """What is wrong with these sessions, or with any: nothing, unless there is a bug."""
    rows = await connection.execute(_AUDIT, {"now": now, "session_ids": session_ids and list(session_ids)})
    return [Finding(row.session_id, row.code) for row in rows]


def booking_of(row: Row[Any]) -> Booking:
    """A place as its row says it; the rank is known where it was asked for."""
    offer = None
    if row.offer_state is not None:
        offer = SeatOffer(state=OfferState(row.offer_state), deadline=row.offer_deadline, offered_at=row.offered_at)
    return Booking(
        booking_id=row.booking_id,
        session_id=row.session_id,
        agent_id=row.agent_id,
        state=BookingState(row.state),
        session_sequence=row.session_sequence,
        version=row.version,
        booked_at=row.booked_at,
        rank=getattr(row, "rank", None),
        waiting=getattr(row, "waiting", None),
        reason=row.reason,
        offer=offer,
        priority=row.priority,
        attendance=getattr(row, "attendance", None),
    )

"""Reads: SQL straight to the reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.availability import Availability
from shared.contracts.booking import Booking, BookingState, OfferState, Pending, SeatOffer

# Before somebody are those who joined earlier, unless they have no priority token while this one has, and those who joined later with one
# while this one has none (W1). Who has an offer waits for nobody. A group that awaits seats is one, as it is in `session.waiting`.
_BOOKING = """
    select place.booking_id, place.session_id, agent_id, state, place.session_sequence, version, booked_at, reason, priority,
           offer_state, offer_deadline, offered_at, pending_kind, pending_state, pending_since, pending_until, pending_silence_keeps,
           manager_id, booked_by, remote,
           case when state = 'waiting' and offer_state is null then (
               select count(*) from booking ahead
               where ahead.session_id = place.session_id and ahead.remote = place.remote
                 and ahead.state = 'waiting' and ahead.offer_state is null
                 and ahead.session_sequence <= place.session_sequence and ahead.priority >= place.priority
           ) + (
               select count(*) from booking ahead
               where ahead.session_id = place.session_id and ahead.remote = place.remote
                 and ahead.state = 'waiting' and ahead.offer_state is null
                 and ahead.priority and not place.priority and ahead.session_sequence > place.session_sequence
           ) + (
               select count(*) from group_booking ahead
               where ahead.session_id = place.session_id and ahead.seats_awaited > 0
                 and ahead.session_sequence < place.session_sequence and not place.priority and not place.remote
           ) end as rank,
           case when state = 'waiting' and offer_state is null then
               case when remote then session.remote_waiting else session.waiting end
           end as waiting,
           (select outcome from attendance where attendance.booking_id = place.booking_id) as attendance
    from booking place join session using (session_id)
"""
_ONE = text(f"{_BOOKING} where booking_id = :booking_id")
_OF_AGENT = text(f"{_BOOKING} where agent_id = :agent_id order by booked_at desc, booking_id desc limit :number")

_AVAILABILITY = text(
    """
    select session_id, capacity, held, waiting, over_capacity, opens_at, coalesce(closes_at, starts_at) as closes_at,
           case when remote_capacity is not null then json_build_object(
               'capacity', remote_capacity, 'held', remote_held, 'waiting', remote_waiting, 'over_capacity', remote_over_capacity
           ) end as remote
    from unnest(cast(:session_ids as uuid[])) with ordinality as asked(session_id, place) join session using (session_id)
    order by place
    """
)

# One statement, hence one snapshot: what it finds is wrong, not merely under way.
#
# The modes of a session are judged each for itself (B9), but for agents, who have one place in all (B3). A place is an agent's booking or a
# group. A group has seats given when it has some without a name or some are kept for it; one that was bypassed let others go first (W6).
# A seat of a group that has a name came when the group did (G2).
_AUDIT = text(
    """
    with place as (
        select booking.session_id, booking.remote, agent_id, least(booking.session_sequence, of_group.session_sequence) as session_sequence,
               case when of_group.group_id is null then booking.given_sequence
                    else coalesce(of_group.given_sequence, of_group.session_sequence) end as given_sequence,
               priority, booking.state = 'waiting' and offer_state is null as waits,
               booking.state = 'confirmed' or offer_state is not distinct from 'offered' as given,
               (booking.state = 'confirmed' or offer_state is not distinct from 'offered')::int as seats,
               case when offer_state = 'offered' then booking.offer_deadline end as offered_until, offer_state = 'offered' and not exists (
                   select from timer where timer.key = 'offer/' || booking_id || '/' || booking.version) as no_timer,
               case when pending_state = 'open' then pending_until end as answered_until, pending_state = 'open' and not exists (
                   select from timer where timer.key = 'pending/' || booking_id || '/' || booking.version) as no_pending_timer,
               of_group.group_id is not null
                   and (of_group.session_id <> booking.session_id or of_group.state in ('cancelled', 'released', 'closed')) as stray,
               false as no_names_timer
        from booking left join group_booking of_group using (group_id) where booking.state in ('confirmed', 'waiting')
        union all
        select session_id, false, group_id, session_sequence, given_sequence, false, seats_awaited > 0 and bypassed_sequence is null,
               seats_unnamed + seats_held > 0, seats_unnamed + seats_held, offer_deadline, seats_held > 0 and not exists (
                   select from timer
                   where timer.key = 'group/' || group_id || case when offer_deadline is null then '/holds' else '/offer' end),
               null, false, false, seats_unnamed > 0 and names_due_at is not null and not exists (
                   select from timer where timer.key = 'group/' || group_id || '/names')
        from group_booking where state in ('waiting', 'partly_confirmed', 'confirmed')
    ), counted as (
        select session_id,
               remote,
               sum(seats) as seats,
               count(*) as places,
               count(distinct agent_id) as agents,
               coalesce(max(session_sequence), 0) as last_place,
               max(session_sequence) filter (where given and not priority) as last_seated,
               max(coalesce(given_sequence, session_sequence)) filter (where given and not priority) as last_given,
               max(session_sequence) filter (where given and priority) as last_first_seated,
               min(session_sequence) filter (where waits and not priority) as waits_longest,
               min(session_sequence) filter (where waits and priority) as first_waits_longest,
               max(offered_until) as last_deadline,
               bool_or(no_timer) as no_timer,
               max(answered_until) as last_answer,
               bool_or(no_pending_timer) as no_pending_timer,
               bool_or(stray) as stray,
               bool_or(no_names_timer) as no_names_timer
        from place where cast(:session_ids as uuid[]) is null or session_id = any(cast(:session_ids as uuid[])) group by session_id, remote
    ), mode as (
        select session_id, status, starts_at, offers_until, sequence, false as remote, capacity, held, waiting, passed, over_capacity,
               quota
        from session
        union all
        select session_id, status, starts_at, offers_until, sequence, true, coalesce(remote_capacity, 0), remote_held, remote_waiting, 0,
               remote_over_capacity, null
        from session
    )
    select distinct mode.session_id, found.code
    from mode
    left join counted using (session_id, remote)
    cross join lateral (
        select (select count(*) from booking
                where booking.session_id = mode.session_id and booking.remote = mode.remote and state = 'waiting' and offer_state is null)
             + (select count(*) from group_booking one
                where one.session_id = mode.session_id and not mode.remote and seats_awaited > 0) as entries
    ) as queue
    cross join lateral (values
        ('held_is_not_the_number_of_seats_given', held <> coalesce(seats, 0)),
        ('waiting_is_not_the_length_of_the_queue', waiting <> entries),
        ('more_seats_given_than_there_are', seats > capacity + over_capacity),
        ('more_seats_given_than_are_reserved',
         cast(quota ->> 'until' as timestamptz) > :now and held > cast(quota ->> 'seats' as int)),
        ('two_places_of_one_agent', agents <> places or remote and places > 0 and exists (
            select from booking there join booking here using (session_id, agent_id)
            where there.session_id = mode.session_id and there.remote and not here.remote
              and there.state in ('confirmed', 'waiting') and here.state in ('confirmed', 'waiting'))),
        ('a_place_from_the_future', last_place > sequence),
        ('seated_before_one_who_waited_longer', last_seated > waits_longest or last_first_seated > first_waits_longest),
        ('seated_before_one_with_a_priority_token', last_given > first_waits_longest),
        ('a_free_seat_and_a_queue',
         status = 'scheduled' and coalesce(offers_until, starts_at) > :now and held + passed < capacity and waiting > 0),
        ('an_offer_that_nothing_ends', no_timer),
        ('a_question_that_nothing_ends', no_pending_timer),
        ('a_seat_of_a_group_that_is_over', stray),
        ('seats_without_a_name_that_nothing_ends', no_names_timer),
        ('a_question_after_the_start', last_answer > starts_at),
        ('an_offer_past_the_cut_off', last_deadline > coalesce(offers_until, starts_at)),
        ('seats_passed_on_by_nobody', passed > 0 and not exists (
            select from group_booking one where one.session_id = mode.session_id and seats_awaited > 0)),
        ('a_place_in_a_cancelled_session', status = 'cancelled' and places > 0)
    ) as found(code, wrong)
    where found.wrong and (cast(:session_ids as uuid[]) is null or mode.session_id = any(cast(:session_ids as uuid[])))
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
    pending = None
    if row.pending_state is not None:
        pending = Pending(
            kind=row.pending_kind,
            state=row.pending_state,
            asked_at=row.pending_since,
            deadline=row.pending_until,
            silence_keeps=row.pending_silence_keeps,
        )
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
        pending=pending,
        manager_id=row.manager_id,
        booked_by=row.booked_by,
        remote=row.remote,
    )

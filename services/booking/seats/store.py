"""Tables `session`, `booking` and `announcement`, and the only SQL that writes them.

Whoever decides on a session holds the lock on its row: booking, cancelling, promoting, following catalog. Rows of `booking` are
therefore never locked themselves, and locks are always taken in the order of session ids.
"""

# ruff: noqa: S608 - what is joined into the statements are lists of columns, never values

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.agenda import store as agenda
from services.booking.agenda.domain import Agenda, Occasion
from services.booking.deadlines.domain import Milestones
from services.booking.modes import store as modes
from services.booking.offers.domain import offer_state_after
from services.booking.pending import store as pending
from services.booking.seats.domain import Fact, Session
from services.booking.seats.queries import booking_of
from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import Booking, SeatOfferMade, WaitlistJoined, WaitlistPromoted
from shared.contracts.catalog import ActivityType, SessionState
from shared.contracts.quotas import Quota
from shared.database import fetch

# A session that the release before wrote has no dates of B6 and W4 yet: it is open, and offers seats, until it starts.
_SESSION = """
    session_id, series_id, activity_type, delivery_mode, city, coalesce(spans, tstzmultirange(tstzrange(starts_at, ends_at))) as spans,
    starts_at, opens_at, coalesce(closes_at, starts_at) as closes_at, cancellation_cutoff, promotions_until,
    coalesce(offers_until, starts_at) as offers_until, status, capacity, held, waiting, passed, sequence, catalog_version,
    needs_approval, remote_capacity, remote_held, remote_waiting, quota
"""
BOOKING = """
    booking_id, session_id, agent_id, state, session_sequence, version, booked_at, reason, priority, manager_id, booked_by,
    offer_state, offer_deadline, offered_at, pending_kind, pending_state, pending_since, pending_until, pending_silence_keeps, remote
"""

# Agents before sessions, sessions before the agendas that are read: each part of the statement asks for the result of the one before, so
# that whatever another transaction committed while this one waited is seen. Rows that were locked are the newest by themselves.
_LOCK_FOR_ORDERS = f"""
    with agents as materialized (
        select count(pg_advisory_xact_lock({agenda.LOCK.format(agent_id="agent_id")})) as locked
        from (select distinct agent_id from unnest($2::uuid[]) as asked(agent_id) order by agent_id) as in_order
    ), locked as materialized (
        select {_SESSION} from session
        where session_id = any(case when (select locked from agents) > 0 then $1::uuid[] end) order by session_id for update
    ), has as materialized (
        {agenda.PLACES.format(agents="case when (select count(*) from locked) > 0 then $2::uuid[] end", since="$3")}
    )
    select locked.*, {agenda.AGENDA.format(agent_id="asked.agent_id")}, exists (
        select from priority_token token
        where token.agent_id = asked.agent_id and token.series_id = locked.series_id and token.used_at is null
    ) as brings_token
    from unnest($1::uuid[], $2::uuid[]) with ordinality as asked(session_id, agent_id, place)
    left join locked on locked.session_id = asked.session_id
    order by place
"""

_LOCK = text(f"select {_SESSION} from session where session_id = :session_id for update")
_LOCK_OF_BOOKING = text(
    f"select {_SESSION} from session where session_id = (select session_id from booking where booking_id = :booking_id) for update"
)
_ONE_BOOKING = text(f"select {BOOKING} from booking where booking_id = :booking_id")
# Those with a priority token, then the others: two short walks along an index instead of sorting the whole queue.
_HEADS = text(
    f"""
    select {BOOKING} from (
        (select {BOOKING} from booking
         where session_id = :session_id and remote = :remote and state = 'waiting' and priority and offer_state is null
         order by session_sequence limit :number)
        union all
        (select {BOOKING} from booking
         where session_id = :session_id and remote = :remote and state = 'waiting' and not priority and offer_state is null
         order by session_sequence limit :number)
    ) as first order by priority desc, session_sequence limit :number
    """
)
_SEATED = text(
    f"""
    select {BOOKING} from booking where session_id = :session_id and remote = :remote and state = 'confirmed'
    order by coalesce(given_sequence, session_sequence) desc
    """
)
_OFFERED = text(f"select {BOOKING} from booking where session_id = :session_id and offer_state = 'offered' order by session_sequence")
_ACTIVE = text(
    f"""
    select {BOOKING} from booking where session_id = :session_id and state in ('confirmed', 'waiting') order by session_sequence
    """
)

# `over_capacity` can only shrink here: were a seat too many given, the check `session_never_overbooked` would refuse the transaction.
_RECORD = """
    with counted as (
        update session
        set held = now.held, waiting = now.waiting, passed = now.passed, sequence = now.sequence,
            over_capacity = least(over_capacity, greatest(now.held - capacity, 0)),
            remote_held = now.remote_held, remote_waiting = now.remote_waiting,
            remote_over_capacity = least(remote_over_capacity, greatest(now.remote_held - remote_capacity, 0))
        from unnest($1::uuid[], $2::int[], $3::int[], $13::int[], $4::bigint[], $14::int[], $15::int[])
             as now(session_id, held, waiting, passed, sequence, remote_held, remote_waiting)
        where session.session_id = now.session_id
    )
    insert into booking as place (booking_id, session_id, agent_id, state, session_sequence, version, booked_at, decided_at, reason)
    select booking_id, session_id, agent_id, state, session_sequence, version, decided_at, decided_at, nullif(reason, '')
    from unnest($5::uuid[], $6::uuid[], $7::uuid[], $8::text[], $9::bigint[], $10::int[], $11::timestamptz[], $12::text[])
         as fact(booking_id, session_id, agent_id, state, session_sequence, version, decided_at, reason)
    on conflict (booking_id) do update
    set state = excluded.state, version = excluded.version, decided_at = excluded.decided_at, reason = excluded.reason,
        pending_state = case when place.pending_state = 'open' and excluded.state <> 'confirmed' then 'closed' else place.pending_state end
"""

# Before `_RECORD`, since a place that has an offer waits and no other does (`booking_offer_waits`).
_ANSWER = """
    update booking set offer_state = fact.offer_state
    from unnest($1::uuid[], $2::text[]) as fact(booking_id, offer_state)
    where booking.booking_id = fact.booking_id and booking.offer_state = 'offered'
"""
_GIVE = """
    update booking
    set given_sequence = coalesce(given_sequence, fact.sequence),
        offer_state = case when fact.deadline is null then offer_state else 'offered' end,
        offer_deadline = coalesce(fact.deadline, offer_deadline),
        offered_at = coalesce(offered_at, case when fact.deadline is not null then fact.decided_at end)
    from unnest($1::uuid[], $2::bigint[], $3::timestamptz[], $4::timestamptz[]) as fact(booking_id, sequence, deadline, decided_at)
    where booking.booking_id = fact.booking_id
"""
_COME_FIRST = "update booking set priority = true where booking_id = any($1::uuid[])"

_OPEN = text(
    """
    with opened as (
        insert into session
            (session_id, series_id, activity_type, delivery_mode, city, spans, starts_at, ends_at, opens_at, closes_at, cancellation_cutoff,
             promotions_until, offers_until, status, capacity, catalog_version, needs_approval, quota)
        values
            (:session_id, :series_id, :activity_type, :delivery_mode, :city, cast(cast(:spans as text) as tstzmultirange), :starts_at,
             :ends_at, :opens_at, :closes_at, :cancellation_cutoff, :promotions_until, :offers_until, :status, :capacity, 0,
             :needs_approval, cast(:quota as jsonb))
        on conflict do nothing
        returning session_id
    )
    insert into announcement (session_id) select session_id from opened
    """
)

_TAKE_OVER = text(
    """
    update session
    set series_id = :series_id, activity_type = :activity_type, delivery_mode = :delivery_mode, city = :city,
        spans = cast(cast(:spans as text) as tstzmultirange), starts_at = :starts_at, ends_at = :ends_at, opens_at = :opens_at,
        closes_at = :closes_at, cancellation_cutoff = :cancellation_cutoff, promotions_until = :promotions_until,
        offers_until = :offers_until, status = :status, capacity = :capacity,
        private = :private, passed = :passed, over_capacity = greatest(held - :capacity, 0), sequence = :sequence,
        remote_capacity = :remote_capacity, remote_over_capacity = greatest(remote_held - coalesce(:remote_capacity, 0), 0),
        catalog_version = :catalog_version, needs_approval = :needs_approval, quota = cast(:quota as jsonb)
    where session_id = :session_id
    """
)


async def lock_for_orders(
    tx: AsyncConnection, asked: Sequence[tuple[UUID, UUID]], now: datetime
) -> tuple[dict[UUID, Session], dict[UUID, Agenda], bool]:
    """Lock these (session, agent), as far as the sessions are known, and read what each agent has by then.

    The last answer tells whether somebody may bring a priority token (W1): nearly always nobody does, and nothing more is read.
    """
    rows = await fetch(tx, _LOCK_FOR_ORDERS, [session_id for session_id, _ in asked], [agent_id for _, agent_id in asked], now)
    sessions: dict[UUID, Session] = {}
    agendas: dict[UUID, Agenda] = {}
    for row, (session_id, agent_id) in zip(rows, asked, strict=True):
        if row["session_id"] is not None and session_id not in sessions:
            sessions[session_id] = _session(row)
        if agent_id not in agendas:
            agendas[agent_id] = agenda.agenda_of(row)
    return sessions, agendas, any(row["brings_token"] for row in rows)


async def one_booking(tx: AsyncConnection, booking_id: UUID) -> Booking | None:
    """As it is now: to be trusted under the lock of its session only."""
    row = (await tx.execute(_ONE_BOOKING, {"booking_id": booking_id})).one_or_none()
    return None if row is None else booking_of(row)


async def lock_session(tx: AsyncConnection, session_id: UUID) -> Session | None:
    row = (await tx.execute(_LOCK, {"session_id": session_id})).mappings().one_or_none()
    return None if row is None else _session(row)


async def lock_session_of(tx: AsyncConnection, booking_id: UUID) -> tuple[Session, Booking] | None:
    """Lock a booking's session, then read the booking: in this order, as the batches do. Answers the places of its mode (B9)."""
    locked = (await tx.execute(_LOCK_OF_BOOKING, {"booking_id": booking_id})).mappings().one_or_none()
    if locked is None:
        return None
    booking = booking_of((await tx.execute(_ONE_BOOKING, {"booking_id": booking_id})).one())
    return _session(locked).places(remote=booking.remote), booking


async def heads(tx: AsyncConnection, session: Session, number: int) -> list[Booking]:
    """The first of the queue of this mode (W1, B9)."""
    rows = await tx.execute(_HEADS, {"session_id": session.session_id, "remote": session.remote, "number": number})
    return [booking_of(row) for row in rows]


async def active_bookings(tx: AsyncConnection, session: Session) -> list[Booking]:
    return [booking_of(row) for row in await tx.execute(_ACTIVE, {"session_id": session.session_id})]


async def seated_newest_first(tx: AsyncConnection, session: Session) -> list[Booking]:
    """By the decision that gave the seat, not by the one that queued for it."""
    return [booking_of(row) for row in await tx.execute(_SEATED, {"session_id": session.session_id, "remote": session.remote})]


async def offered_bookings(tx: AsyncConnection, session: Session) -> list[Booking]:
    return [booking_of(row) for row in await tx.execute(_OFFERED, {"session_id": session.session_id})]


async def record(tx: AsyncConnection, locked: Mapping[UUID, Session], facts: Sequence[Fact]) -> None:
    """Write the places that the facts made or changed, and the counters of their sessions: one statement, whatever their number.

    `locked`: whole, by their id. What concerns the queue alone, or places at a distance, is written beside, and only where it is: bookings
    of free seats know nothing of it.
    """
    if not facts:
        return
    await _record_answers(tx, facts)
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
        [session.passed for session in changed],
        [session.distant.held if session.distant else 0 for session in changed],
        [session.distant.waiting if session.distant else 0 for session in changed],
    )
    await modes.record(tx, facts)
    await _record_gifts(tx, facts)
    await pending.record(tx, facts)


async def _record_answers(tx: AsyncConnection, facts: Sequence[Fact]) -> None:
    ends = [(fact.booking_id, state.value) for fact in facts if (state := offer_state_after(fact)) and not isinstance(fact, SeatOfferMade)]
    if ends:
        await fetch(tx, _ANSWER, *map(list, zip(*ends, strict=True)))


async def _record_gifts(tx: AsyncConnection, facts: Sequence[Fact]) -> None:
    gifts = [fact for fact in facts if _gives(fact)]
    if gifts:
        deadlines = [fact.deadline if isinstance(fact, SeatOfferMade) else None for fact in gifts]
        numbers, moments = [fact.session_sequence for fact in gifts], [fact.decided_at for fact in gifts]
        await fetch(tx, _GIVE, [fact.booking_id for fact in gifts], numbers, deadlines, moments)
    if first := [fact.booking_id for fact in facts if isinstance(fact, WaitlistJoined) and fact.priority]:
        await fetch(tx, _COME_FIRST, first)


def _gives(fact: Fact) -> bool:
    """Whether somebody who waited has a seat from here on."""
    if isinstance(fact, BookingApprovalRequested):
        return fact.version > 1 and not fact.moved
    return isinstance(fact, SeatOfferMade | WaitlistPromoted)


async def open_session(tx: AsyncConnection, catalog: SessionState, milestones: Milestones) -> Session:
    """Make and lock the row of a session that booking hears of for the first time; `follow` is still to be applied."""
    await tx.execute(_OPEN, _of_catalog(catalog, milestones))
    return _session((await tx.execute(_LOCK, {"session_id": catalog.session_id})).mappings().one())


async def take_over(tx: AsyncConnection, session: Session, catalog: SessionState) -> None:
    """Write what `Session.follow` accepted."""
    values = _of_catalog(catalog, session.milestones) | {"remote_capacity": session.distant and session.distant.capacity}
    values |= {"sequence": session.sequence, "catalog_version": session.catalog_version, "passed": session.passed}
    await tx.execute(_TAKE_OVER, values | {"private": catalog.private})


def _of_catalog(catalog: SessionState, milestones: Milestones) -> dict[str, Any]:
    return asdict(milestones) | {
        "session_id": catalog.session_id,
        "series_id": series_of(catalog),
        "activity_type": catalog.activity_type.value,
        "delivery_mode": catalog.delivery_mode.value,
        "city": catalog.venue.city if catalog.venue else None,
        "spans": "{" + ",".join(f"[{period.starts_at.isoformat()},{period.ends_at.isoformat()})" for period in catalog.periods) + "}",
        "starts_at": catalog.starts_at,
        "ends_at": catalog.ends_at,
        "status": catalog.status,
        "capacity": catalog.capacity,
        "needs_approval": catalog.needs_approval,
        "quota": catalog.quota and catalog.quota.model_dump_json(),
    }


def series_of(catalog: SessionState) -> UUID:
    """What a priority token is good for (W7): its series, or other sessions of the activity where it is of none."""
    return catalog.series_id or catalog.activity_id


def _session(row: Mapping[Any, Any] | asyncpg.Record) -> Session:
    session = Session(
        session_id=row["session_id"],
        series_id=row["series_id"],
        occasion=Occasion(
            session_id=row["session_id"],
            activity_type=ActivityType(row["activity_type"]),
            spans=tuple((span.lower, span.upper) for span in row["spans"]),
            in_person=row["delivery_mode"] in agenda.IN_PERSON,
            city=row["city"],
        ),
        starts_at=row["starts_at"],
        milestones=Milestones(
            opens_at=row["opens_at"],
            closes_at=row["closes_at"],
            cancellation_cutoff=row["cancellation_cutoff"],
            promotions_until=row["promotions_until"],
            offers_until=row["offers_until"],
        ),
        status=row["status"],
        capacity=row["capacity"],
        held=row["held"],
        waiting=row["waiting"],
        passed=row["passed"],
        sequence=row["sequence"],
        catalog_version=row["catalog_version"],
        needs_approval=row["needs_approval"],
        quota=row["quota"] and Quota.model_validate(row["quota"], strict=False),
    )
    if row["remote_capacity"] is not None:
        session.with_places_at_a_distance(row["remote_capacity"], row["remote_held"], row["remote_waiting"])
    return session

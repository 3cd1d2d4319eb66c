"""The table `calendar_feed`, and what a feed is made from."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.feeds.domain import Seat
from shared.contracts.booking import BookingState
from shared.contracts.catalog import SessionState
from shared.contracts.feeds import CalendarFeed, OpenCalendarFeed

_OF_AGENT = text("select feed_id, label, created_at, last_used_at from calendar_feed where agent_id = :agent_id order by feed_id")
_OPEN = text(
    """
    insert into calendar_feed (agent_id, label, token_hash) values (:agent_id, :label, :token_hash)
    returning feed_id, label, created_at, last_used_at
    """
)
_CLOSE = text("delete from calendar_feed where feed_id = :feed_id and (cast(:agent_id as uuid) is null or agent_id = :agent_id)")
_LOCK = text("select pg_advisory_xact_lock(hashtextextended(:matter, 0))")

# Once an hour is enough to see that a device still reads.
_USED = text(
    """
    with found as (select feed_id, agent_id, last_used_at from calendar_feed where token_hash = :token_hash),
         used as (update calendar_feed set last_used_at = clock_timestamp() from found
                  where calendar_feed.feed_id = found.feed_id
                    and (found.last_used_at is null or found.last_used_at < clock_timestamp() - interval '1 hour'))
    select agent_id from found
    """
)

_SEATS = text(
    """
    select booking.state, booking.remote, booking.decided_at, session.state as session, session.heard_at,
           array(select sequence from calendar_entry as entry
                 where entry.session_id = booking.session_id and entry.agent_id = booking.agent_id order by period_index) as sequences
    from booking join session using (session_id)
    where booking.agent_id = :agent_id and not booking.of_group and booking.pending is distinct from 'pending_approval'
    order by booking.decided_at nulls first, booking.booking_id
    """
)


async def of_agent(connection: AsyncConnection, agent_id: UUID) -> Sequence[CalendarFeed]:
    rows = (await connection.execute(_OF_AGENT, {"agent_id": agent_id})).mappings()
    return [CalendarFeed.model_validate(dict(row)) for row in rows]


async def of_agent_locked(tx: AsyncConnection, agent_id: UUID) -> Sequence[CalendarFeed]:
    """Until the transaction ends nobody else opens one for this agent."""
    await tx.execute(_LOCK, {"matter": f"feeds/{agent_id}"})
    return await of_agent(tx, agent_id)


async def open_feed(tx: AsyncConnection, order: OpenCalendarFeed) -> CalendarFeed:
    return CalendarFeed.model_validate(dict((await tx.execute(_OPEN, order.model_dump())).mappings().one()))


async def close_feed(tx: AsyncConnection, feed_id: UUID, agent_id: UUID | None) -> bool:
    """False when there is none, or it is not this agent's (None: whosever)."""
    return (await tx.execute(_CLOSE, {"feed_id": feed_id, "agent_id": agent_id})).rowcount == 1


async def used_by(tx: AsyncConnection, token_hash: str) -> UUID | None:
    """Whose feed this is; remembers that it was read."""
    return await tx.scalar(_USED, {"token_hash": token_hash})


async def seats(connection: AsyncConnection, agent_id: UUID) -> Sequence[Seat]:
    """Oldest decision first."""
    return [
        Seat(
            BookingState(row.state),
            row.decided_at,
            SessionState.model_validate(row.session).followed(remote=row.remote),
            row.heard_at,
            tuple(row.sequences),
        )
        for row in await connection.execute(_SEATS, {"agent_id": agent_id})
    ]

"""Priority tokens: who the lab had to send away comes first in a queue of the same series, once, within 90 days (W1, W7)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import fetch
from shared.outbox import uuid7

LASTS = timedelta(days=90)

_GRANT = """
    insert into priority_token (token_id, agent_id, series_id, session_id, granted_at, expires_at)
    select token_id, agent_id, $3, $4, $5, $6 from unnest($1::uuid[], $2::uuid[]) as held(token_id, agent_id)
    on conflict do nothing
"""

# Locked, so that one token is used once, whatever its agent books at the same moment; the sessions are locked before.
_BROUGHT = """
    with brought as (
        select token.token_id, token.agent_id, session.session_id, token.expires_at
        from unnest($1::uuid[], $2::uuid[]) as asked(session_id, agent_id)
        join session using (session_id)
        join priority_token token using (agent_id, series_id)
        where token.used_at is null and token.expires_at > $3
        order by token.token_id for update of token
    )
    select distinct on (session_id, agent_id) token_id, session_id, agent_id, first.waiting, first.remote_waiting
    from brought cross join lateral (
        select count(*) filter (where not remote) as waiting, count(*) filter (where remote) as remote_waiting from booking
        where booking.session_id = brought.session_id and booking.state = 'waiting' and booking.priority and booking.offer_state is null
    ) as first
    order by session_id, agent_id, expires_at
"""
_USE = """
    update priority_token token set used_at = $3, used_by = now.booking_id
    from unnest($1::uuid[], $2::uuid[]) as now(token_id, booking_id) where token.token_id = now.token_id and token.used_at is null
"""


@dataclass(frozen=True, slots=True)
class Token:
    token_id: UUID
    first_waiting: int
    """How many wait for that session with a token already, in the room."""
    first_waiting_remote: int
    """And at a distance (B9)."""


async def grant(tx: AsyncConnection, agents: Iterable[UUID], series_id: UUID, session_id: UUID, now: datetime) -> None:
    """One each, whose session the lab cancelled."""
    held = list(agents)
    if held:
        await fetch(tx, _GRANT, [uuid7() for _ in held], held, series_id, session_id, now, now + LASTS)


async def brought(tx: AsyncConnection, asked: Sequence[tuple[UUID, UUID]], now: datetime) -> Mapping[tuple[UUID, UUID], Token]:
    """The tokens that are good for these (session, agent), locked."""
    rows = await fetch(tx, _BROUGHT, [session_id for session_id, _ in asked], [agent_id for _, agent_id in asked], now)
    return {(row["session_id"], row["agent_id"]): Token(row["token_id"], row["waiting"], row["remote_waiting"]) for row in rows}


async def use(tx: AsyncConnection, used: Mapping[UUID, UUID], now: datetime) -> None:
    """`used`: the booking that each token went into."""
    if used:
        await fetch(tx, _USE, list(used.keys()), list(used.values()), now)

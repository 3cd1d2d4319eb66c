"""The stream is a cache of the outbox: what it lost is found here and marked to be published again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.js.api import StreamInfo

from shared import telemetry

if TYPE_CHECKING:
    import asyncpg

    Leader = asyncpg.Connection[asyncpg.Record]

log = telemetry.log

_MARK_MISSING = """
with again as (
    update outbox set published_at = null, stream_seq = null
    where published_at is not null and (stream_seq > $1 or stream_seq < $2) returning 1
) select count(*) from again
"""
_REMEMBER = "insert into stream_identity values ($1, $2) on conflict (stream) do update set identity = excluded.identity"
_BACKLOG = """
select count(*) filter (where parked_at is null) as unpublished, count(*) filter (where parked_at is not null) as parked,
       coalesce(extract(epoch from clock_timestamp() - min(created_at) filter (where parked_at is null)), 0)::float8 as oldest
from outbox where published_at is null
"""


def first_kept(info: StreamInfo) -> int:
    """Lowest sequence that the stream still has; one past its last when it is empty."""
    return info.state.first_seq if info.state.messages else info.state.last_seq + 1


async def mark_missing(leader: Leader, stream: str, info: StreamInfo) -> int:
    """Mark as unpublished what the stream no longer has, and say how many: all when it was recreated, else its lost tail or head."""
    created = str(info.created)
    async with leader.transaction():  # the new identity and the marks together, or a crash between them would hide the loss
        known = await leader.fetchval("select identity from stream_identity where stream = $1", stream)
        another = known is not None and known != created
        after, before = (0, 0) if another else (info.state.last_seq, first_kept(info))
        again = int(await leader.fetchval(_MARK_MISSING, after, before))
        if known != created:
            await leader.execute(_REMEMBER, stream, created)
    if again:
        log.error("stream_refilled", stream=stream, events=again, last_seq=info.state.last_seq, first_seq=info.state.first_seq)
        telemetry.STREAM_REFILLS.inc()
    return again


async def report(leader: Leader) -> None:
    """Size, age and parked rows of the outbox, for the dashboards."""
    (backlog,) = await leader.fetch(_BACKLOG)
    telemetry.OUTBOX_UNPUBLISHED.set(backlog["unpublished"])
    telemetry.OUTBOX_PARKED.set(backlog["parked"])
    telemetry.OUTBOX_OLDEST_SECONDS.set(backlog["oldest"])

"""Events are rows first: written in the transaction of the state they tell of, published afterwards by the relay (`relay.py`)."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import telemetry
from shared.contracts.messages import Envelope, Event
from shared.database import fetch


@dataclass(frozen=True, slots=True)
class Cause:
    """Who and what made an event happen; travels in its envelope."""

    actor: str | None = None
    correlationid: str | None = None
    causationid: str | None = None
    traceparent: str | None = None


class Causing(Protocol):
    """A `Caller` or a `Received` event."""

    @property
    def cause(self) -> Cause: ...


def uuid7() -> UUID:
    """A UUID of version 7 (RFC 9562): sorts by real time, to the quarter of a microsecond."""
    nanoseconds = time.time_ns()
    milliseconds, rest = divmod(nanoseconds, 1_000_000)
    fraction = (rest << 12) // 1_000_000
    random = int.from_bytes(os.urandom(8)) & ((1 << 62) - 1)
    return UUID(int=(milliseconds << 80) | (7 << 76) | (fraction << 64) | (2 << 62) | random)


_INSERT = """
    insert into outbox (event_id, aggregate_type, aggregate_id, aggregate_version, subject, headers, payload, occurred_at)
    select event_id, aggregate_type, aggregate_id, aggregate_version, subject, cast(headers as jsonb), convert_to(payload, 'UTF8'), $8
    from unnest($1::uuid[], $2::text[], $3::uuid[], $4::int[], $5::text[], $6::text[], $7::text[])
         with ordinality as fact(event_id, aggregate_type, aggregate_id, aggregate_version, subject, headers, payload, place)
    order by place
"""


# What the relay does with the rows: take up the next ones and whom each waits for, mark what is acknowledged, park what is refused.
READ = """
select o.id, o.subject, cast(o.headers as text) as headers, o.payload,
       (select before.id from outbox before
        where o.aggregate_version > 1 and before.aggregate_type = o.aggregate_type and before.aggregate_id = o.aggregate_id
          and before.aggregate_version = o.aggregate_version - 1 and before.published_at is null) as waits_for
from outbox o
where o.published_at is null and o.parked_at is null and o.id > $1
order by o.id limit $2
"""
MARK = """
update outbox set published_at = clock_timestamp(), stream_seq = done.seq, last_error = null
from unnest($1::bigint[], $2::bigint[]) as done(id, seq) where outbox.id = done.id
"""
PARK = "update outbox set parked_at = clock_timestamp(), last_error = $2, attempts = attempts + 1 where id = $1 and parked_at is null"


async def record(tx: AsyncConnection, *events: Event, cause: Causing | None = None) -> None:
    """Write events of one cause, in this order, into the transaction of their state. The relay wakes when it commits.

    Lock the aggregate's row before: the order of ids is then the order of versions. A version written twice breaks the unique
    constraint `outbox_aggregate_type_aggregate_id_aggregate_version_key`, and with it the transaction.
    """
    await record_each(tx, [(event, cause) for event in events])


async def record_each(tx: AsyncConnection, facts: Sequence[tuple[Event, Causing | None]]) -> None:
    """`record` for a batch whose events have different causes: one statement, whatever their number."""
    if not facts:
        return
    now = datetime.now(UTC)
    here = telemetry.traceparent()
    rows = [_row(event, causing.cause if causing else Cause(), here, now) for event, causing in facts]
    await fetch(tx, _INSERT, *map(list, zip(*rows, strict=True)), now)


def _row(event: Event, cause: Cause, here: str | None, now: datetime) -> tuple[UUID, str, UUID, int, str, str, str]:
    envelope = Envelope.of(
        event,
        event_id=uuid7(),
        time=now,
        actor=cause.actor,
        correlationid=cause.correlationid,
        causationid=cause.causationid,
        traceparent=cause.traceparent or here,
    )
    return (
        envelope.id,
        event.aggregate,
        event.aggregate_id,
        event.version,
        event.address,
        json.dumps(envelope.headers()),
        event.model_dump_json(),
    )

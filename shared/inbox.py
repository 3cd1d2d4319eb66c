"""What a consumer has seen: inbox (effects), cursor (projections), failures and dead letters. All in the transaction of the effect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import fetch


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as the stream handed it over."""

    stream: str
    stream_seq: int
    subject: str
    headers: Mapping[str, str]
    payload: bytes


_UNSEEN = """
    insert into inbox (consumer, event_id) select $1, event_id from unnest($2::uuid[]) as received(event_id)
    on conflict do nothing returning event_id
"""

# In the order of ids, so that two batches that share aggregates queue up instead of embracing.
_ADVANCE = """
    insert into projection_cursor as known (consumer, aggregate_id, version)
    select $1, aggregate_id, version from unnest($2::uuid[], $3::int[]) as heard(aggregate_id, version) order by aggregate_id
    on conflict (consumer, aggregate_id) do update set version = excluded.version where known.version < excluded.version
    returning aggregate_id
"""

_FAILED = text(
    """
    insert into delivery_failure as known (consumer, event_id, last_error) values (:consumer, :event_id, :error)
    on conflict (consumer, event_id) do update set attempts = known.attempts + 1, last_error = excluded.last_error
    returning first_failed_at, attempts, extract(epoch from clock_timestamp() - first_failed_at) as failing_for
    """
)

_PARK = text(
    """
    insert into dead_letter (consumer, event_id, stream, stream_seq, subject, headers, payload, error_code, error, attempts,
                             first_failed_at)
    values (:consumer, :event_id, :stream, :stream_seq, :subject, cast(:headers as jsonb), :payload, :error_code, :error, :attempts,
            coalesce(cast(:first_failed_at as timestamptz), clock_timestamp()))
    on conflict (consumer, event_id) do nothing
    returning id
    """
)


async def unseen(tx: AsyncConnection, consumer: str, event_ids: Sequence[UUID]) -> set[UUID]:
    """Insert first, ask never: the ids that this consumer had not seen, now marked as seen."""
    return {row["event_id"] for row in await fetch(tx, _UNSEEN, consumer, list(event_ids))}


async def advance(tx: AsyncConnection, consumer: str, versions: Mapping[UUID, int]) -> set[UUID]:
    """Move the cursors of aggregates; those that moved. The others had this version, or a newer one, applied already (E4)."""
    return {row["aggregate_id"] for row in await fetch(tx, _ADVANCE, consumer, list(versions), list(versions.values()))}


async def failed(tx: AsyncConnection, consumer: str, event_id: UUID, error: str) -> tuple[datetime, int, float]:
    """Count a failure: when the first one was, how many there were, and the seconds between the first and now."""
    row = (await tx.execute(_FAILED, {"consumer": consumer, "event_id": event_id, "error": error[:2000]})).one()
    return row.first_failed_at, row.attempts, float(row.failing_for)


async def succeeded(tx: AsyncConnection, consumer: str, event_ids: Sequence[UUID]) -> None:
    """Forget earlier failures of events that went through."""
    await tx.execute(
        text("delete from delivery_failure where consumer = :consumer and event_id = any(:event_ids)"),
        {"consumer": consumer, "event_ids": list(event_ids)},
    )


async def park(
    tx: AsyncConnection,
    consumer: str,
    event_id: UUID,
    delivery: Delivery,
    *,
    error_code: str,
    error: str,
    attempts: int = 1,
    first_failed_at: datetime | None = None,
) -> UUID | None:
    """Put a message where a human sees it, and its id into the inbox: it is not taken again. None when it was parked already."""
    await unseen(tx, consumer, [event_id])
    parked = await tx.scalar(
        _PARK,
        {
            "consumer": consumer,
            "event_id": event_id,
            "stream": delivery.stream,
            "stream_seq": delivery.stream_seq,
            "subject": delivery.subject,
            "headers": json.dumps(dict(delivery.headers)),
            "payload": delivery.payload,
            "error_code": error_code,
            "error": error[:4000],
            "attempts": attempts,
            "first_failed_at": first_failed_at,
        },
    )
    await succeeded(tx, consumer, [event_id])
    return parked


async def reopen(tx: AsyncConnection, dead_letter_id: UUID) -> Row[Any] | None:
    """Lock an unresolved dead letter for a replay and take its id out of the inbox. None when there is no such, or it is resolved."""
    letter = (
        await tx.execute(text("select * from dead_letter where id = :id and resolved_at is null for update"), {"id": dead_letter_id})
    ).one_or_none()
    if letter is not None:
        await tx.execute(
            text("delete from inbox where consumer = :consumer and event_id = :event_id"),
            {"consumer": letter.consumer, "event_id": letter.event_id},
        )
    return letter


async def resolve(tx: AsyncConnection, dead_letter_id: UUID, resolution: str, by: str) -> bool:
    """Close a dead letter as `replayed` or `discarded`; False when there was no open one."""
    closed = await tx.execute(
        text(
            "update dead_letter set resolved_at = clock_timestamp(), resolution = :resolution, resolved_by = :by"
            " where id = :id and resolved_at is null"
        ),
        {"id": dead_letter_id, "resolution": resolution, "by": by},
    )
    return closed.rowcount == 1

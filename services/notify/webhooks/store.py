"""The tables of webhooks, and the only SQL that writes them: subscriptions here, what becomes of a delivery in `claims.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import fetch

_ADD = text(
    """
    insert into webhook (webhook_id, url, event_types, secret) values (:webhook_id, :url, :event_types, :secret)
    on conflict (webhook_id) do nothing
    """
)


async def add(tx: AsyncConnection, webhook_id: UUID, url: str, event_types: Sequence[str], secret: str) -> bool:
    """False when it is there already."""
    values = {"webhook_id": webhook_id, "url": url, "event_types": sorted(set(event_types)), "secret": secret}
    return (await tx.execute(_ADD, values)).rowcount == 1


_DISABLE = text(
    """
    update webhook set disabled_at = coalesce(disabled_at, clock_timestamp()), disabled_reason = :reason where webhook_id = :webhook_id
    """
)
_ENABLE = text(
    """
    update webhook set disabled_at = null, disabled_reason = null, failures = 0, failing_since = null, resting_until = null
    where webhook_id = :webhook_id
    """
)


async def disable(tx: AsyncConnection, webhook_id: UUID, reason: str) -> bool:
    return (await tx.execute(_DISABLE, {"webhook_id": webhook_id, "reason": reason})).rowcount == 1


async def enable(tx: AsyncConnection, webhook_id: UUID) -> bool:
    return (await tx.execute(_ENABLE, {"webhook_id": webhook_id})).rowcount == 1


_ROTATE = text(
    """
    update webhook
    set previous_secret = secret, previous_until = clock_timestamp() + cast(:lasts as interval), secret = :secret
    where webhook_id = :webhook_id
    returning previous_until
    """
)


async def rotate(tx: AsyncConnection, webhook_id: UUID, secret: str, lasts: timedelta) -> datetime | None:
    """Until when the former secret signs too; None when there is no such webhook."""
    return await tx.scalar(_ROTATE, {"webhook_id": webhook_id, "secret": secret, "lasts": lasts})


@dataclass(frozen=True, slots=True)
class News:
    """An event as other systems are sent it."""

    event_id: UUID
    event_type: str
    document: str
    traceparent: str | None = None
    session_id: UUID | None = None
    """Of counters, which say nothing of it: they are told of a session that is known, and known as public."""


# In the order of webhooks and events, so that two batches queue up instead of embracing.
_OWE = """
    insert into webhook_delivery (webhook_id, event_id, event_type, document, traceparent)
    select webhook_id, event_id, event_type, document, traceparent
    from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::uuid[]) as news(event_id, event_type, document, traceparent, about)
    join webhook on event_type = any(event_types) and disabled_at is null
    where about is null or exists (
        select from session where session.session_id = about and not coalesce(cast(state ->> 'private' as boolean), false)
    )
    order by webhook_id, event_id
    on conflict (webhook_id, event_id) do nothing
"""


async def owe(tx: AsyncConnection, news: Sequence[News]) -> None:
    """One delivery for each webhook that wants an event, with the inbox of the same transaction: none lost, none twice."""
    rows = [(each.event_id, each.event_type, each.document, each.traceparent, each.session_id) for each in news]
    if rows:
        await fetch(tx, _OWE, *map(list, zip(*rows, strict=True)))


_OWE_ONE = text(
    """
    insert into webhook_delivery (webhook_id, event_id, event_type, document)
    values (:webhook_id, :event_id, :event_type, :document) returning delivery_id
    """
)


async def owe_one(tx: AsyncConnection, webhook_id: UUID, news: News) -> UUID:
    values = {"webhook_id": webhook_id, "event_id": news.event_id, "event_type": news.event_type, "document": news.document}
    return (await tx.execute(_OWE_ONE, values)).scalar_one()


# One that is on its way at this moment is left alone.
_REPLAY = text(
    """
    update webhook_delivery
    set state = 'waiting', tried_since = clock_timestamp(), next_attempt_at = clock_timestamp(), attempts = 0, delivered_at = null
    where webhook_id = :webhook_id and (leased_until is null or leased_until < clock_timestamp())
      and case when cast(:delivery_id as uuid) is null then state = 'failed' else delivery_id = :delivery_id end
    """
)


async def replay(tx: AsyncConnection, webhook_id: UUID, delivery_id: UUID | None) -> int:
    return (await tx.execute(_REPLAY, {"webhook_id": webhook_id, "delivery_id": delivery_id})).rowcount


async def forget(tx: AsyncConnection, older_than: timedelta) -> int:
    """Take what is too old out of the log (P1)."""
    old = await tx.execute(
        text("delete from webhook_delivery where created_at < clock_timestamp() - cast(:age as interval)"), {"age": older_than}
    )
    return old.rowcount

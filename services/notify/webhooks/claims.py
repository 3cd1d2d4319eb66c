"""Deliveries on their way out: leased to one process, settled when the answer came.

A process that dies in between leaves a lease that runs out, and the delivery is made again under the same `webhook-id`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.webhooks.domain import GONE, Answer

LEASE = timedelta(seconds=60)  # longer than the longest attempt
AT_ONCE = 4
"""Deliveries under way to one receiver; one, while it fails."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery that this process may make, and what it needs for it."""

    delivery_id: UUID
    lease: UUID
    webhook_id: UUID
    url: str
    secrets: tuple[str, ...]
    event_id: UUID
    event_type: str
    document: str
    attempts: int
    failures: int
    """Of this receiver, in a row."""
    tried_since: datetime
    traceparent: str | None


# Room is counted for each receiver on its own: however many deliveries wait for one that is slow or dead, the others have theirs.
_CLAIM = text(
    """
    with ready as (
        select webhook.*, case when failures = 0 then cast(:at_once as int) else 1 end - (
            select count(*) from webhook_delivery busy
            where busy.webhook_id = webhook.webhook_id and busy.state = 'waiting' and busy.leased_until >= clock_timestamp()
        ) as room
        from webhook where disabled_at is null and (resting_until is null or resting_until <= clock_timestamp())
    ), due as (
        select ready.webhook_id, waiting.delivery_id
        from ready cross join lateral (
            select delivery_id from webhook_delivery
            where webhook_delivery.webhook_id = ready.webhook_id and state = 'waiting' and next_attempt_at <= clock_timestamp()
              and (leased_until is null or leased_until < clock_timestamp())
            order by next_attempt_at, delivery_id limit greatest(ready.room, 0)
            for update skip locked
        ) as waiting
    )
    update webhook_delivery as delivery
    set lease = uuidv7(), leased_until = clock_timestamp() + cast(:lease as interval), instance = :instance
    from due join ready using (webhook_id)
    where delivery.delivery_id = due.delivery_id
    returning delivery.delivery_id, lease, delivery.webhook_id, url, secret,
              case when previous_until > clock_timestamp() then previous_secret end as previous_secret,
              event_id, event_type, document, attempts, failures, tried_since, traceparent
    """
)


async def claim(tx: AsyncConnection, *, instance: str) -> list[Parcel]:
    rows = (await tx.execute(_CLAIM, {"at_once": AT_ONCE, "lease": LEASE, "instance": instance})).mappings()
    parcels: list[Parcel] = []
    for row in rows:
        told = dict(row)
        secrets = tuple(each for each in (told.pop("secret"), told.pop("previous_secret")) if each)
        parcels.append(Parcel(secrets=secrets, **told))
    return parcels


async def take_stock(tx: AsyncConnection, instance: str) -> None:
    """At start: what a former process of this name had claimed is free again."""
    await tx.execute(text("update webhook_delivery set leased_until = null where instance = :instance"), {"instance": instance})


_DELIVERED = text(
    """
    with settled as (
        update webhook_delivery
        set state = 'delivered', delivered_at = clock_timestamp(), attempts = attempts + 1, status = :status, last_error = null,
            leased_until = null
        where delivery_id = :delivery_id and lease = :lease
        returning webhook_id
    )
    update webhook set failures = 0, failing_since = null, resting_until = null
    from settled where webhook.webhook_id = settled.webhook_id and failures > 0
    """
)

_NOT_DELIVERED = text(
    """
    with settled as (
        update webhook_delivery
        set state = case when cast(:pause as interval) is null then 'failed' else 'waiting' end, attempts = attempts + 1,
            next_attempt_at = clock_timestamp() + coalesce(cast(:pause as interval), interval '0'), status = :status, last_error = :error,
            leased_until = null
        where delivery_id = :delivery_id and lease = :lease
        returning webhook_id
    )
    update webhook
    set failures = failures + 1, failing_since = coalesce(failing_since, clock_timestamp()),
        resting_until = clock_timestamp() + cast(:rest as interval)
    from settled where webhook.webhook_id = settled.webhook_id
    """
)

_CLOSE = text(
    "update webhook set disabled_at = clock_timestamp(), disabled_reason = :reason where webhook_id = :webhook_id and disabled_at is null"
)


async def delivered(tx: AsyncConnection, parcel: Parcel, answer: Answer) -> None:
    await tx.execute(_DELIVERED, {"delivery_id": parcel.delivery_id, "lease": parcel.lease, "status": answer.status})


async def not_delivered(tx: AsyncConnection, parcel: Parcel, answer: Answer, *, pause: timedelta | None, rest: timedelta) -> None:
    """Again after a pause, or failed when there is none; the receiver rests meanwhile."""
    values = {"delivery_id": parcel.delivery_id, "lease": parcel.lease, "status": answer.status, "error": answer.error}
    await tx.execute(_NOT_DELIVERED, values | {"pause": pause, "rest": rest})


async def gone(tx: AsyncConnection, parcel: Parcel, answer: Answer) -> None:
    """The receiver wants no more: this delivery failed, and its webhook is disabled until an operator says otherwise."""
    await not_delivered(tx, parcel, answer, pause=None, rest=timedelta(0))
    await tx.execute(_CLOSE, {"webhook_id": parcel.webhook_id, "reason": GONE})


_COUNT = text(
    """
    select count(*) filter (where disabled_at is null and failing_since is null) as working,
           count(*) filter (where disabled_at is null and failing_since is not null) as failing,
           count(*) filter (where disabled_reason = :gone) as gone,
           count(*) filter (where disabled_at is not null and disabled_reason <> :gone) as disabled
    from webhook
    """
)


async def count(tx: AsyncConnection) -> dict[str, int]:
    """Webhooks by how they are."""
    return dict((await tx.execute(_COUNT, {"gone": GONE})).mappings().one())

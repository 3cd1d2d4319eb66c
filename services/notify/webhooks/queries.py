from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookDeliveryList, WebhookList

_WEBHOOK = """
    select webhook_id, url, event_types, created_at, disabled_at, disabled_reason, failing_since,
           (select count(*) from webhook_delivery due where due.webhook_id = webhook.webhook_id and due.state = 'waiting') as waiting,
           (select count(*) from webhook_delivery lost where lost.webhook_id = webhook.webhook_id and lost.state = 'failed') as failed
    from webhook
"""
_ALL = text(f"{_WEBHOOK} order by created_at, webhook_id")
_ONE = text(f"{_WEBHOOK} where webhook_id = :webhook_id")
_DELIVERY = """
    select delivery_id, webhook_id, event_id, event_type, state, attempts, created_at,
           case when state = 'waiting' then next_attempt_at end as next_attempt_at, delivered_at, status, last_error
    from webhook_delivery
"""
_DELIVERIES = text(
    f"""
    {_DELIVERY}
    where webhook_id = :webhook_id and (cast(:state as text) is null or state = :state) order by delivery_id desc limit :limit
    """
)
_ONE_DELIVERY = text(f"{_DELIVERY} where delivery_id = :delivery_id")


async def webhooks(connection: AsyncConnection) -> WebhookList:
    rows = (await connection.execute(_ALL)).mappings()
    return WebhookList(webhooks=tuple(Webhook.model_validate(dict(row)) for row in rows))


async def webhook(connection: AsyncConnection, webhook_id: UUID) -> Webhook | None:
    row = (await connection.execute(_ONE, {"webhook_id": webhook_id})).mappings().one_or_none()
    return Webhook.model_validate(dict(row)) if row else None


async def deliveries(connection: AsyncConnection, webhook_id: UUID, state: DeliveryState | None, limit: int) -> WebhookDeliveryList:
    rows = (await connection.execute(_DELIVERIES, {"webhook_id": webhook_id, "state": state, "limit": limit})).mappings()
    return WebhookDeliveryList(deliveries=tuple(WebhookDelivery.model_validate(dict(row)) for row in rows))


async def delivery(connection: AsyncConnection, delivery_id: UUID) -> WebhookDelivery:
    return WebhookDelivery.model_validate(dict((await connection.execute(_ONE_DELIVERY, {"delivery_id": delivery_id})).mappings().one()))

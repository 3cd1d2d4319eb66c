"""What other systems are sent, and how operators decide who they are."""

from __future__ import annotations

import secrets
from base64 import b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.settings import NotifySettings
from services.notify.webhooks import queries, store
from services.notify.webhooks.courier import Courier
from services.notify.webhooks.domain import (
    BOOKING_EVENTS,
    BOTH_SECRETS_FOR,
    CATALOG_EVENTS,
    PING_TYPE,
    WebhookDisabled,
    WebhookExists,
    WebhookUnknown,
    document,
    may_be_told,
    must_be_public,
    ping_document,
)
from services.notify.webhooks.store import News
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.messages import Event
from shared.contracts.webhooks import (
    AddWebhook,
    DisableWebhook,
    EnableWebhook,
    ListWebhookDeliveries,
    ListWebhooks,
    PingWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    Webhook,
    WebhookDelivery,
    WebhookDeliveryList,
    WebhookList,
    WebhookReplay,
    WebhookSecret,
)
from shared.database import Database
from shared.errors import NotAllowed
from shared.outbox import uuid7
from shared.requests import Requests

LOOKUP_SECONDS = 3.0  # of a request; an attempt at a delivery has its own

requests = Requests()
events = Consumers()


@events.batch("notify-webhooks-catalog", *CATALOG_EVENTS)
async def owe_catalog_events(batch: Sequence[Received[Event]], tx: AsyncConnection) -> None:
    await store.owe(tx, [_news(received) for received in batch if may_be_told(received.event)])


@events.batch("notify-webhooks-booking", *BOOKING_EVENTS)
async def owe_booking_events(batch: Sequence[Received[SessionAvailabilityChanged]], tx: AsyncConnection) -> None:
    await store.owe(tx, [_news(received, received.event.session_id) for received in batch])


def _news(received: Received[Event], session_id: UUID | None = None) -> News:
    envelope = received.envelope
    return News(envelope.id, envelope.type, document(envelope, received.event), envelope.traceparent, session_id)


# Two queries to the kernel, although they write: the reply of a command is stored beside its idempotency key, and these are secrets.


@requests.query(AddWebhook)
async def add_webhook(request: AddWebhook, caller: Caller, database: Database) -> WebhookSecret:
    _operator(caller)
    must_be_public(request.event_types)
    await _check(request.url)
    secret = _new_secret()
    async with database.begin() as tx:
        if not await store.add(tx, request.webhook_id, request.url, request.event_types, secret):
            raise WebhookExists(f"webhook {request.webhook_id}")
    return WebhookSecret(webhook_id=request.webhook_id, secret=secret)


@requests.query(RotateWebhookSecret)
async def rotate_secret(request: RotateWebhookSecret, caller: Caller, database: Database) -> WebhookSecret:
    _operator(caller)
    secret = _new_secret()
    async with database.begin() as tx:
        until = await store.rotate(tx, request.webhook_id, secret, BOTH_SECRETS_FOR)
    if until is None:
        raise WebhookUnknown(f"webhook {request.webhook_id}")
    return WebhookSecret(webhook_id=request.webhook_id, secret=secret, previous_valid_until=until)


@requests.query(ListWebhooks)
async def list_webhooks(_: ListWebhooks, caller: Caller, database: Database) -> WebhookList:
    _operator(caller)
    async with database.connect() as connection:
        return await queries.webhooks(connection)


@requests.command(DisableWebhook)
async def disable_webhook(request: DisableWebhook, caller: Caller, tx: AsyncConnection) -> Webhook:
    _operator(caller)
    await store.disable(tx, request.webhook_id, request.reason)
    return await _known(request.webhook_id, caller, tx)


@requests.command(EnableWebhook)
async def enable_webhook(request: EnableWebhook, caller: Caller, tx: AsyncConnection) -> Webhook:
    _operator(caller)
    await store.enable(tx, request.webhook_id)
    return await _known(request.webhook_id, caller, tx)


@requests.query(ListWebhookDeliveries)
async def list_deliveries(request: ListWebhookDeliveries, caller: Caller, database: Database) -> WebhookDeliveryList:
    async with database.connect() as connection:
        await _known(request.webhook_id, caller, connection)
        return await queries.deliveries(connection, request.webhook_id, request.state, request.limit)


@requests.command(ReplayWebhook)
async def replay_webhook(request: ReplayWebhook, caller: Caller, tx: AsyncConnection) -> WebhookReplay:
    await _enabled(request.webhook_id, caller, tx)
    return WebhookReplay(replayed=await store.replay(tx, request.webhook_id, request.delivery_id))


@requests.command(PingWebhook)
async def ping_webhook(request: PingWebhook, caller: Caller, tx: AsyncConnection) -> WebhookDelivery:
    await _enabled(request.webhook_id, caller, tx)
    event_id, now = uuid7(), datetime.now(UTC).isoformat().replace("+00:00", "Z")
    news = News(event_id, PING_TYPE, ping_document(event_id, request.webhook_id, now))
    return await queries.delivery(tx, await store.owe_one(tx, request.webhook_id, news))


def _operator(caller: Caller) -> None:
    if not caller.has("operator"):
        raise NotAllowed(f"{caller.actor} decides about no webhook")


async def _known(webhook_id: UUID, caller: Caller, connection: AsyncConnection) -> Webhook:
    _operator(caller)
    if (found := await queries.webhook(connection, webhook_id)) is None:
        raise WebhookUnknown(f"webhook {webhook_id}")
    return found


async def _enabled(webhook_id: UUID, caller: Caller, connection: AsyncConnection) -> None:
    if (await _known(webhook_id, caller, connection)).disabled_at is not None:
        raise WebhookDisabled(f"webhook {webhook_id}")


async def _check(url: str) -> None:
    courier = Courier(timeout=LOOKUP_SECONDS, loopback=NotifySettings().webhooks_to_loopback)
    try:
        await courier.check(url)
    finally:
        await courier.close()


def _new_secret() -> str:
    return "whsec_" + b64encode(secrets.token_bytes(32)).decode()

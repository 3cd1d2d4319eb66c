"""Operators and other systems, around notify."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from services.notify.mail.store import follow_session
from services.notify.webhooks import handlers
from services.notify.webhooks.courier import Courier
from services.notify.webhooks.sender import Sender
from shared.bus import Caller
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import SessionCancelled, SessionScheduled, SessionState
from shared.contracts.messages import Event, Message, Request
from shared.contracts.webhooks import (
    AddWebhook,
    ListWebhookDeliveries,
    ListWebhooks,
    Webhook,
    WebhookDelivery,
    WebhookDeliveryList,
    WebhookList,
    WebhookSecret,
)
from shared.errors import Refused
from tests.conftest import eventually
from tests.notify.conftest import Office, cancelled
from tests.notify.given import a_session, scheduled
from tests.notify.receiver import Receiver

OPERATOR = Caller("operator", frozenset({"operator"}))
SCHEDULED, CANCELLED, AVAILABILITY = (event.type_name() for event in (SessionScheduled, SessionCancelled, SessionAvailabilityChanged))


class Desk:
    """Operators and other systems, around notify."""

    def __init__(self, office: Office, receiver: Receiver) -> None:
        self.office, self.receiver = office, receiver

    async def ask(self, request: Request[Any], caller: Caller = OPERATOR) -> Message:
        kind = type(request)
        if kind in handlers.requests.queries:
            return await handlers.requests.queries[kind](request, caller, self.office.database)
        async with self.office.database.begin() as tx:
            return await handlers.requests.commands[kind](request, caller, tx)

    async def add(self, receiver: Receiver | None = None, *types: str) -> WebhookSecret:
        order = AddWebhook(webhook_id=uuid4(), url=(receiver or self.receiver).url, event_types=types or (SCHEDULED,))
        added = await self.ask(order)
        assert isinstance(added, WebhookSecret)
        return added

    async def code(self, request: Request[Any], caller: Caller = OPERATOR) -> str:
        try:
            await self.ask(request, caller)
        except Refused as refusal:
            return refusal.code
        return "ok"

    async def webhook(self, webhook_id: UUID) -> Webhook:
        found = await self.ask(ListWebhooks())
        assert isinstance(found, WebhookList)
        return next(each for each in found.webhooks if each.webhook_id == webhook_id)

    async def log(self, webhook_id: UUID) -> Sequence[WebhookDelivery]:
        found = await self.ask(ListWebhookDeliveries(webhook_id=webhook_id))
        assert isinstance(found, WebhookDeliveryList)
        return found.deliveries

    async def newest(self, webhook_id: UUID) -> WebhookDelivery:
        found = await self.log(webhook_id)
        assert found
        return found[0]

    async def states(self, webhook_id: UUID) -> list[str]:
        return [each.state for each in await self.log(webhook_id)]

    async def settled(self, webhook_id: UUID, *states: str) -> Sequence[WebhookDelivery]:
        async def check() -> bool:
            return sorted(await self.states(webhook_id)) == sorted(states)

        await eventually(check, within=20)
        return await self.log(webhook_id)

    async def happens(self, *events: Event) -> None:
        self.office.listen(handlers.events.all)
        await self.office.publish(*(events or (scheduled(a_session()),)))

    def send(self, courier: Courier | None = None, **settings: Any) -> asyncio.Task[None]:
        told = self.office.settings.model_copy(update=settings)
        sender = Sender(told, self.office.database, courier or Courier(timeout=told.webhook_timeout, loopback=True))
        task = asyncio.create_task(sender.run())
        self.office.stack.push_async_callback(cancelled, task)
        return task

    async def knows(self, session: SessionState) -> None:
        async with self.office.database.begin() as tx:
            await follow_session(tx, session, datetime.now(UTC))

    async def sql(self, statement: str) -> None:
        async with self.office.database.begin() as tx:
            await tx.execute(text(statement))


def counters_of(session_id: UUID) -> SessionAvailabilityChanged:
    return SessionAvailabilityChanged(version=1, session_id=session_id, session_sequence=1, capacity=12, held=0, waiting=0)

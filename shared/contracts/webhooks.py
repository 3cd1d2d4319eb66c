"""What notify answers about webhooks: who is sent which public events, and what became of each. Operators only."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Message, Request

DeliveryState = Literal["waiting", "delivered", "failed"]
Address = Annotated[str, Field(min_length=8, max_length=2000)]
EventTypes = Annotated[tuple[str, ...], Field(min_length=1, max_length=20)]


class Webhook(Message):
    """A subscription of another system, without its secret."""

    webhook_id: UUID
    url: str
    event_types: tuple[str, ...]
    """CloudEvents types, such as `fr.labo.catalog.session_scheduled.v1`."""
    created_at: AwareDatetime
    disabled_at: AwareDatetime | None = None
    disabled_reason: str | None = None
    """What the operator said, or `gone`: the receiver answered 410."""
    failing_since: AwareDatetime | None = None
    """Since when no delivery went through, if the last one did not."""
    waiting: int = 0
    """Deliveries that are due or will be tried again."""
    failed: int = 0
    """Deliveries given up, until somebody replays them or they are 30 days old."""


class WebhookList(Message):
    webhooks: tuple[Webhook, ...]


class WebhookSecret(Message):
    """Shown here and nowhere else."""

    webhook_id: UUID
    secret: str
    """`whsec_…`, as Standard Webhooks writes it."""
    previous_valid_until: AwareDatetime | None = None
    """Until when deliveries are signed with the former secret too."""


class WebhookDelivery(Message):
    """One event for one webhook. `event_id` is the `webhook-id` header and the `id` of the document."""

    delivery_id: UUID
    webhook_id: UUID
    event_id: UUID
    event_type: str
    state: DeliveryState
    attempts: int
    created_at: AwareDatetime
    next_attempt_at: AwareDatetime | None = None
    delivered_at: AwareDatetime | None = None
    status: int | None = None
    """HTTP status of the last answer, if one came."""
    last_error: str | None = None
    """Why the last attempt failed, with the first words of the answer."""


class WebhookDeliveryList(Message):
    deliveries: tuple[WebhookDelivery, ...]


class WebhookReplay(Message):
    replayed: int


class AddWebhook(Request[WebhookSecret]):
    """Send public events to an address from now on. Needs the role `operator`, as all requests here. Asking twice adds once.

    Refuses `not_allowed`, `webhook_exists`, `webhook_event_not_public`, `webhook_address_refused`.
    """

    subject: ClassVar[str] = "rpc.notify.add_webhook.v1"
    webhook_id: UUID
    url: Address
    event_types: EventTypes


class ListWebhooks(Request[WebhookList]):
    """All of them, oldest first. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.notify.list_webhooks.v1"


class DisableWebhook(Request[Webhook]):
    """Send nothing any more; what waits, waits. Refuses `not_allowed`, `webhook_unknown`."""

    subject: ClassVar[str] = "rpc.notify.disable_webhook.v1"
    webhook_id: UUID
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class EnableWebhook(Request[Webhook]):
    """Send again, what waited included. What happened while it was disabled is not sent.

    Refuses `not_allowed`, `webhook_unknown`.
    """

    subject: ClassVar[str] = "rpc.notify.enable_webhook.v1"
    webhook_id: UUID


class RotateWebhookSecret(Request[WebhookSecret]):
    """A new secret. For a day deliveries carry the signatures of both. Refuses `not_allowed`, `webhook_unknown`."""

    subject: ClassVar[str] = "rpc.notify.rotate_webhook_secret.v1"
    webhook_id: UUID


class ListWebhookDeliveries(Request[WebhookDeliveryList]):
    """The log of one webhook, newest first, 30 days back. Refuses `not_allowed`, `webhook_unknown`."""

    subject: ClassVar[str] = "rpc.notify.list_webhook_deliveries.v1"
    webhook_id: UUID
    state: DeliveryState | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class ReplayWebhook(Request[WebhookReplay]):
    """Try again what failed, for three more days; or send one delivery again, whatever became of it, with the same `webhook-id`.

    Refuses `not_allowed`, `webhook_unknown`, `webhook_disabled`.
    """

    subject: ClassVar[str] = "rpc.notify.replay_webhook.v1"
    webhook_id: UUID
    delivery_id: UUID | None = None


class PingWebhook(Request[WebhookDelivery]):
    """Send an event of type `fr.labo.notify.webhook_ping.v1`; the log tells what became of it.

    Refuses `not_allowed`, `webhook_unknown`, `webhook_disabled`.
    """

    subject: ClassVar[str] = "rpc.notify.ping_webhook.v1"
    webhook_id: UUID

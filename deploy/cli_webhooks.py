"""`labo webhooks`: other systems that are sent public events."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Annotated
from uuid import UUID, uuid4

import typer
from rich.markup import escape
from rich.table import Column, Table

from deploy.asking import OPERATOR, AsJson, console, on_bus, print_json
from shared.bus import Bus
from shared.contracts.messages import Request
from shared.contracts.webhooks import (
    AddWebhook,
    DeliveryState,
    DisableWebhook,
    EnableWebhook,
    ListWebhookDeliveries,
    ListWebhooks,
    PingWebhook,
    ReplayWebhook,
    RotateWebhookSecret,
    Webhook,
    WebhookDelivery,
)

webhooks_app = typer.Typer(no_args_is_help=True, help="Other systems that are sent public events (docs/integrate/webhooks.md).")

PATIENCE_SECONDS = 15.0
LOOK_SECONDS = 0.2
WebhookId = Annotated[UUID, typer.Argument(help="as `labo webhooks list` shows it")]


def _ordered(order: Request[Webhook]) -> Webhook:
    return on_bus(lambda bus: bus.ask(order, replace(OPERATOR, idempotency_key=str(uuid4()))))


@webhooks_app.command("add")
def add_webhook(url: str, event_types: Annotated[list[str], typer.Argument(help="such as fr.labo.catalog.session_scheduled.v1")]) -> None:
    """Send these events to this address from now on. The secret is printed here and never again."""
    order = AddWebhook(webhook_id=uuid4(), url=url, event_types=tuple(event_types))
    added = on_bus(lambda bus: bus.ask(order, OPERATOR))
    print(f"webhook {added.webhook_id}\nsecret  {added.secret}\nIt is shown this once. Try it: labo webhooks test {added.webhook_id}")


@webhooks_app.command("list")
def list_webhooks(*, as_json: AsJson = False) -> None:
    """All of them, and how they are."""
    found = on_bus(lambda bus: bus.ask(ListWebhooks(), OPERATOR)).webhooks
    if as_json:
        print_json([webhook.model_dump(mode="json") for webhook in found])
        return
    table = Table(Column("id", no_wrap=True), "address", "events", "state", "waiting", "failed", box=None, header_style="bold")
    for webhook in found:
        types = "\n".join(each.removeprefix("fr.labo.") for each in webhook.event_types)
        table.add_row(str(webhook.webhook_id), escape(webhook.url), types, _state(webhook), str(webhook.waiting), str(webhook.failed))
    console.print(table if found else "no webhooks")


def _state(webhook: Webhook) -> str:
    if webhook.disabled_at:
        return f"disabled {webhook.disabled_at:%Y-%m-%d %H:%M}: {escape(webhook.disabled_reason or '')}"
    return f"failing since {webhook.failing_since:%Y-%m-%d %H:%M}" if webhook.failing_since else "working"


@webhooks_app.command("disable")
def disable_webhook(webhook_id: WebhookId, reason: str) -> None:
    """Send nothing any more. What waits, waits; what happens meanwhile is not sent."""
    print(_state(_ordered(DisableWebhook(webhook_id=webhook_id, reason=reason))))


@webhooks_app.command("enable")
def enable_webhook(webhook_id: WebhookId) -> None:
    """Send again."""
    print(_state(_ordered(EnableWebhook(webhook_id=webhook_id))))


@webhooks_app.command("rotate")
def rotate_secret(webhook_id: WebhookId) -> None:
    """A new secret, printed here and never again. For a day deliveries are signed with both."""
    rotated = on_bus(lambda bus: bus.ask(RotateWebhookSecret(webhook_id=webhook_id), OPERATOR))
    print(f"secret  {rotated.secret}\nThe former one is good until {rotated.previous_valid_until:%Y-%m-%d %H:%M} UTC.")


@webhooks_app.command("deliveries")
def list_deliveries(webhook_id: WebhookId, *, failed: bool = False, limit: int = 50, as_json: AsJson = False) -> None:
    """The log, newest first, 30 days back."""
    state: DeliveryState | None = "failed" if failed else None
    order = ListWebhookDeliveries(webhook_id=webhook_id, state=state, limit=limit)
    found = on_bus(lambda bus: bus.ask(order, OPERATOR)).deliveries
    if as_json:
        print_json([delivery.model_dump(mode="json") for delivery in found])
        return
    for delivery in found:
        print(_line(delivery))
    if not found:
        print("no deliveries")


def _line(delivery: WebhookDelivery) -> str:
    told = f"{delivery.delivery_id}  {delivery.created_at:%Y-%m-%d %H:%M:%S}  {delivery.state}  {delivery.attempts} tries"
    return "  ".join(filter(None, (told, delivery.event_type.removeprefix("fr.labo."), delivery.last_error or str(delivery.status or ""))))


@webhooks_app.command("replay")
def replay_webhook(
    webhook_id: WebhookId, delivery_id: Annotated[UUID | None, typer.Argument(help="all that failed when left out")] = None
) -> None:
    """Try again, for three more days, under the same webhook-id."""
    order = ReplayWebhook(webhook_id=webhook_id, delivery_id=delivery_id)
    done = on_bus(lambda bus: bus.ask(order, replace(OPERATOR, idempotency_key=str(uuid4()))))
    print(f"{done.replayed} deliveries will be made again")


@webhooks_app.command("test")
def test_webhook(webhook_id: WebhookId) -> None:
    """Send an event of type fr.labo.notify.webhook_ping.v1 and tell what came back. Exit code 1 when it did not arrive."""

    async def ping(bus: Bus) -> WebhookDelivery:
        pinged = await bus.ask(PingWebhook(webhook_id=webhook_id), replace(OPERATOR, idempotency_key=str(uuid4())))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while pinged.attempts == 0 and time.monotonic() < deadline:
            await asyncio.sleep(LOOK_SECONDS)
            log = await bus.ask(ListWebhookDeliveries(webhook_id=webhook_id, limit=200), OPERATOR)
            pinged = next((each for each in log.deliveries if each.delivery_id == pinged.delivery_id), pinged)
        return pinged

    pinged = on_bus(ping)
    print(_line(pinged))
    raise typer.Exit(0 if pinged.state == "delivered" else 1)

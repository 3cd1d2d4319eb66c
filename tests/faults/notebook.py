"""notify as a process, with four more consumers that write down each effect: a repeated one shows, where notify's own tables hide it.

`python -m tests.faults.launch notify` runs it. Real kernel, real notify; only these tables are the tests' own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail import handlers, sender
from services.notify.settings import NotifySettings
from services.notify.tchap import handlers as tchap
from services.notify.webhooks import handlers as webhooks
from services.notify.webhooks.sender import send_webhooks
from shared.consumers import Consumers, Inlet, Received
from shared.contracts.booking import BookingCancelled, BookingConfirmed, BookingEvent, WaitlistJoined, WaitlistLeft, WaitlistPromoted
from shared.errors import Refused
from shared.service import Service, run

FACTS = (BookingConfirmed, BookingCancelled, WaitlistJoined, WaitlistLeft, WaitlistPromoted)
EFFECT, BATCH, PROJECTION, NEWEST = "notify-ledger", "notify-tally", "notify-latest", "notify-newest"
DURABLES = (EFFECT, BATCH, PROJECTION, NEWEST)

TABLES = (
    """
    create table ledger (id bigint generated always as identity, consumer text, event_id uuid, booking_id uuid, version int,
                         at timestamptz default clock_timestamp())
    """,
    "create table latest (booking_id uuid primary key, version int, state text)",
)

# F12: agents that nobody is, for whom a handler fails until the fix is deployed.
BUG, REFUSAL = "b0b0", "f0f0"
POISONED = "LABO_TESTS_POISONED"

events = Consumers()
_WRITE = text("insert into ledger (consumer, event_id, booking_id, version) values (:consumer, :event_id, :booking_id, :version)")


class NotForThem(Refused):
    code = "not_for_them"


async def _write(consumer: str, received: Received[BookingEvent], tx: AsyncConnection) -> None:
    event = received.event
    row = {"consumer": consumer, "event_id": received.envelope.id, "booking_id": event.booking_id, "version": event.version}
    await tx.execute(_WRITE, row)


@events.effect(EFFECT, *FACTS)
async def write_in_ledger(received: Received[BookingEvent], tx: AsyncConnection) -> None:
    if os.environ.get(POISONED):
        mark = received.event.agent_id.hex[:4]
        if mark == BUG:
            raise ZeroDivisionError("a bug of this handler")
        if mark == REFUSAL:
            raise NotForThem
    await _write(EFFECT, received, tx)


@events.batch(BATCH, *FACTS, largest=200)
async def write_tally(batch: Sequence[Received[BookingEvent]], tx: AsyncConnection) -> None:
    for received in batch:
        await _write(BATCH, received, tx)


@events.projection(PROJECTION, *FACTS)
async def follow_latest(received: Received[BookingEvent], tx: AsyncConnection) -> None:
    await _write(PROJECTION, received, tx)  # the gate is proved by what passed it, not by the last row alone
    event = received.event
    await tx.execute(
        text(
            "insert into latest values (:booking_id, :version, :state)"
            " on conflict (booking_id) do update set version = excluded.version, state = excluded.state"
        ),
        {"booking_id": event.booking_id, "version": event.version, "state": event.state.value},
    )


@events.newest(NEWEST, *FACTS, largest=200)
async def follow_newest(batch: Sequence[Received[BookingEvent]], tx: AsyncConnection) -> None:
    for received in batch:
        await _write(NEWEST, received, tx)


def main() -> None:
    if patience := os.environ.get("LABO_TESTS_PATIENCE"):  # 15 minutes otherwise
        defaults = Inlet.__init__.__kwdefaults__
        assert defaults is not None
        defaults["patience"] = float(patience)
    service = Service(
        "notify",
        requests=[handlers.requests],
        events=[handlers.events, webhooks.events, tchap.events, events],
        background=[sender.send_mails, send_webhooks],
    )
    run(service, NotifySettings())

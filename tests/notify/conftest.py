"""notify as it runs: its consumers on a real stream, its sender on a real database, speaking real SMTP to a sink."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from sqlalchemy import text

from services.notify.attendance import handlers as attendance
from services.notify.mail import handlers
from services.notify.mail.sender import Sender
from services.notify.news import handlers as news
from services.notify.reminders import handlers as reminders
from services.notify.settings import NotifySettings
from shared.bus import Bus, Caller
from shared.consumers import Consumer, Inlet
from shared.contracts.gateway import Contact, GetContact
from shared.contracts.messages import Event
from shared.database import Database
from shared.errors import Refused
from shared.listening import Listener
from shared.relay import Relay
from shared.requests import Requests, Responder
from shared.settings import Settings
from shared.timers import TimerPoller
from tests.conftest import eventually
from tests.notify.given import Seat, a_contact, a_session, on_the_wire, scheduled
from tests.notify.receiver import Receiver
from tests.notify.sink import Sink

if TYPE_CHECKING:
    from tests.notify.webhook_desk import Desk

MAILS: Sequence[Consumer] = (*handlers.events.all, *attendance.events.all)
"""Everything that makes mails."""


class AgentUnknown(Refused):
    code, status = "agent_unknown", 404


@dataclass
class Office:
    """The post office: publish facts, look at what leaves."""

    settings: NotifySettings
    database: Database
    bus: Bus
    connect: Callable[[str], Awaitable[Client]]
    sink: Sink
    stack: AsyncExitStack
    contacts: dict[UUID, Contact] = field(default_factory=dict[UUID, Contact])
    publishers: dict[str, Client] = field(default_factory=dict[str, Client])
    unknown: set[UUID] = field(default_factory=set[UUID])
    heard: Sequence[Consumer] = MAILS
    asked_in: list[str | None] = field(default_factory=list[str | None])
    """Traces in which the directory was asked."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, the directory takes questions and answers none."""

    def an_agent(self, **others: str) -> UUID:
        contact = a_contact(None, **others)
        self.contacts[contact.agent_id] = contact
        return contact.agent_id

    async def publish(self, *events: Event, event_id: UUID | None = None, traceparent: str | None = None) -> None:
        for event in events:
            if event.service() not in self.publishers:
                self.publishers[event.service()] = await self.connect(event.service())
            subject, payload, headers = on_the_wire(event, event_id=event_id, traceparent=traceparent)
            await self.publishers[event.service()].jetstream().publish(subject, payload, headers=headers, stream=event.stream())

    def listen(self, heard: Sequence[Consumer] = MAILS) -> None:
        self.heard = heard
        inlets = [Inlet(consumer, self.database) for consumer in heard]
        listener = Listener(self.settings, self.bus, inlets)
        task = asyncio.create_task(listener.run())

        async def stop() -> None:
            await listener.stop()
            await cancelled(task)

        self.stack.push_async_callback(stop)

    def send(self, **settings: Any) -> asyncio.Task[None]:
        """Start a sender, with other settings if need be."""
        sender = Sender(self.settings.model_copy(update=settings), self.database, self.bus)
        task = asyncio.create_task(sender.run())
        self.stack.push_async_callback(cancelled, task)
        return task

    async def fire_timers(self) -> None:
        """Whatever is due by the clock."""
        poller = TimerPoller(self.database, [reminders.timers, news.timers])
        while await poller.fire_next():
            pass

    def relay(self) -> None:
        task = asyncio.create_task(Relay(self.database, self.bus, "EVT_NOTIFY").run())
        self.stack.push_async_callback(cancelled, task)

    # --- what can be seen ----------------------------------------------------------------------------------------------------------

    async def rows(self, query: str = "select * from mail order by created_at, id", **values: Any) -> list[Any]:
        async with self.database.connect() as connection:
            return list((await connection.execute(text(query), values)).all())

    async def mails(self, number: int) -> list[EmailMessage]:
        """Exactly so many, and no more a moment later."""
        await eventually(lambda: len(self.sink.messages) >= number)
        await self.quiet()
        assert len(self.sink.messages) == number, [message["subject"] for message in self.sink.messages]
        return self.sink.messages

    async def quiet(self) -> None:
        """Nothing waits to be sent, and everything published was consumed."""

        async def all_settled() -> bool:
            return not await self.rows("select 1 from mail where state in ('new', 'sending')")

        await self.consumed()
        await eventually(all_settled)

    async def quiet_but_for(self, digests: int) -> None:
        """Nothing waits to be sent but so many digests, and everything published was consumed."""

        async def all_settled() -> bool:
            return [row.kind for row in await self.rows("select kind from mail where state in ('new', 'sending')")] == ["digest"] * digests

        await self.consumed()
        await eventually(all_settled)

    async def consumed(self) -> None:
        async def nothing_pending() -> bool:
            for consumer in self.heard:
                info = await self.bus.client.jetstream().consumer_info(consumer.stream, consumer.durable)
                if info.num_pending or info.num_ack_pending:
                    return False
            return True

        await eventually(nothing_pending)

    async def states(self) -> list[tuple[str, str]]:
        return [(row.kind, row.state) for row in await self.rows()]


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def a_confirmation(office: Office, agent: UUID | None = None) -> None:
    session = a_session()
    await office.publish(scheduled(session), Seat(session, agent or office.an_agent()).confirmed())


async def state_is(office: Office, *states: str) -> None:
    async def check() -> bool:
        return sorted(state for _, state in await office.states()) == sorted(states)

    await eventually(check, within=30)  # a process may have to start first, on a crowded machine


def directory(office: Office) -> Requests:
    """What gateway answers about people."""
    requests = Requests()

    @requests.query(GetContact)
    async def get_contact(request: GetContact, caller: Caller, database: Database) -> Contact:
        assert caller.actor == "notify"
        office.asked_in.append(caller.traceparent)
        await office.answering.wait()
        if request.agent_id in office.unknown:
            raise AgentUnknown
        return office.contacts.setdefault(request.agent_id, a_contact(request.agent_id))

    return requests


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    sink = Sink()
    async with sink.listening():
        yield sink


@pytest.fixture
def notify_settings(settings_for: Callable[..., Settings], sink: Sink) -> NotifySettings:
    told: dict[str, Any] = settings_for("notify").model_dump() | {
        "smtp_port": sink.port,
        "smtp_timeout": 5,
        "confirmation_delay": 0,
        "move_delay": 0,
        "deferral_base": 0.2,
        "portal_url": "https://lab-o.exemple.invalid",
        "link_secret": "what notify and the gateway share",
    }
    return NotifySettings(**told)


@pytest.fixture
async def office(
    notify_settings: NotifySettings, settings_for: Callable[..., Settings], nats_as: Callable[..., Any], sink: Sink
) -> AsyncIterator[Office]:
    """notify hears and sends nothing until `listen()` and `send()`."""
    async with AsyncExitStack() as stack:
        database = Database.of(notify_settings)
        stack.push_async_callback(database.dispose)
        bus = await Bus.connect(notify_settings)
        stack.push_async_callback(bus.close)
        office = Office(notify_settings, database, bus, nats_as, sink, stack)
        office.answering.set()
        gateway = await Bus.connect(settings_for("gateway"))
        stack.push_async_callback(gateway.close)
        responder = Responder(gateway, Database.of(settings_for("gateway")), [directory(office)])
        await responder.start()
        stack.push_async_callback(responder.drain)
        yield office


@pytest.fixture
async def post(office: Office) -> Office:
    """notify at work, without delays."""
    office.listen()
    office.send()
    return office


@pytest.fixture
async def desk(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    """Webhooks may go to the loopback, and are tried again at once."""
    from tests.notify.webhook_desk import Desk

    monkeypatch.setenv("LABO_ENVIRONMENT", "embedded")
    monkeypatch.setenv("LABO_WEBHOOKS_TO_LOOPBACK", "true")
    office.settings = office.settings.model_copy(update={"webhook_retry_base": 0.05, "webhooks_to_loopback": True})
    async with Receiver().listening() as receiver:
        yield Desk(office, receiver)

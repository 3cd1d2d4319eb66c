"""A mail server to fail on purpose: the one true edge of notify."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session
from icalendar import Calendar, Event

HOST = "127.0.0.1"


@dataclass
class Sink:
    """Takes every mail, unless `refuse`, `at_data` or `then` say otherwise."""

    port: int = 0
    messages: list[EmailMessage] = field(default_factory=list[EmailMessage])
    recipients: list[str] = field(default_factory=list[str])
    refuse: dict[str, str] = field(default_factory=dict[str, str])
    """Answer to RCPT, by recipient; `*` for everybody."""
    answers: list[str] = field(default_factory=list[str])
    """Answers to the next messages, first come first served; then 250."""
    on_message: Callable[[SMTP], Any] | None = None
    """Called when a message has come in, before the answer: to drop the connection, or to hang."""
    connections: int = 0

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: ARG002
        if answer := self.refuse.get(address) or self.refuse.get("*"):
            return answer
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002
        answer = self.answers.pop(0) if self.answers else "250 taken"
        if answer.startswith("250"):
            parsed = message_from_bytes(cast("bytes", envelope.content), policy=SMTP_POLICY)
            self.messages.append(parsed)
            self.recipients += envelope.rcpt_tos
        if self.on_message is not None:
            waiting = self.on_message(server)
            if asyncio.iscoroutine(waiting):
                await waiting
        return answer

    def protocol(self) -> SMTP:
        self.connections += 1
        return SMTP(self, hostname="sink.invalid", loop=asyncio.get_running_loop())

    @asynccontextmanager
    async def listening(self) -> AsyncGenerator[None]:
        """On the same port each time."""
        server = await asyncio.get_running_loop().create_server(self.protocol, HOST, self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            with suppress(TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 1)


def drop(server: SMTP) -> None:
    transport = server.transport
    assert isinstance(transport, asyncio.Transport)
    transport.abort()


def calendars(message: EmailMessage, content_type: str = "text/calendar") -> list[Calendar]:
    parts = [part for part in message.walk() if part.get_content_type() == content_type]
    return [Calendar.from_ical(cast("bytes", part.get_payload(decode=True))) for part in parts]


def entries(message: EmailMessage) -> list[Event]:
    """The VEVENTs of its calendar parts."""
    return [event for calendar in calendars(message) for event in calendar.events]


def body(message: EmailMessage, kind: str = "plain") -> str:
    part = message.get_body((kind,))
    assert part is not None
    return " ".join(cast("str", part.get_content()).split())

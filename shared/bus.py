"""One service's connection to NATS, and how it asks the others."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from nats.aio.client import DEFAULT_FLUSH_TIMEOUT, Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import OutboundBufferLimitError
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from pydantic_core import from_json

from shared import telemetry
from shared.contracts.messages import Message, Request
from shared.errors import DeadlineExceeded, Problem, Refused, Unavailable
from shared.outbox import Cause
from shared.settings import Settings

log = telemetry.log

ReplyT = TypeVar("ReplyT", bound=Message)

# Header names of a request.
ACTOR, ROLES, KEY, DEADLINE, CORRELATION = "labo-actor", "labo-roles", "idempotency-key", "labo-deadline", "labo-correlationid"

PING_SECONDS = 5  # with two outstanding at most, a silent broker is noticed in about 10 s, not in minutes
ROUND_TRIP_SECONDS = 1.0
CLOSE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. The gateway vouches for agents; only users that the server lets publish `rpc.…` can say who they are."""

    actor: str
    """Opaque: an agent's id as text, or the name of a system such as `operator`."""
    roles: frozenset[str] = frozenset()
    idempotency_key: str | None = None
    correlationid: str | None = None
    traceparent: str | None = None

    def has(self, *roles: str) -> bool:
        """True when the caller has at least one of these roles."""
        return not self.roles.isdisjoint(roles)

    def is_agent(self, agent_id: UUID) -> bool:
        return self.actor == str(agent_id)

    @property
    def cause(self) -> Cause:
        return Cause(actor=self.actor, correlationid=self.correlationid, traceparent=self.traceparent)

    def headers(self, deadline: float) -> dict[str, str]:
        optional = {
            KEY: self.idempotency_key,
            CORRELATION: self.correlationid,
            "traceparent": telemetry.traceparent() or self.traceparent,
        }
        headers = {ACTOR: self.actor, ROLES: " ".join(sorted(self.roles)), DEADLINE: f"{deadline:.3f}"}
        return headers | {name: value for name, value in optional.items() if value}


class OrderedClient(Client):
    """A client whose `flush` means what it says.

    That of nats-py 2.16 writes its PING before what still waits to be written, so the PONG proves nothing: a subscription that drained
    stopped listening while the server went on sending, and requests were lost.
    """

    async def flush(self, timeout: float = DEFAULT_FLUSH_TIMEOUT) -> None:
        async with asyncio.timeout(timeout):
            await self._flush_pending(force_flush=True)
            await super().flush(timeout)  # pyright: ignore[reportArgumentType] - seconds, floats included


@dataclass
class Bus:
    """A NATS connection that reconnects for ever, never buffers what it cannot send, and ends the process when it is closed for good."""

    client: OrderedClient
    service: str
    on_reconnect: list[Callable[[], Awaitable[None] | None]] = field(default_factory=list[Callable[[], Awaitable[None] | None]])
    _inbox: str = ""
    """Where answers come; each waits under a number. The client's own inboxes took an eighth of the gateway's time to name."""
    _waiting: dict[str, asyncio.Future[Msg]] = field(default_factory=dict[str, "asyncio.Future[Msg]"])
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    async def connect(cls, settings: Settings, *, user: str | None = None, on_closed: Callable[[], None] | None = None) -> Bus:
        """Connect as the service's user. Raises what nats-py raises when the server is away or refuses the password."""
        bus = cls(client=OrderedClient(), service=user or settings.service)

        async def reconnected() -> None:
            log.info("nats_reconnected")
            for call in bus.on_reconnect:
                if waiting := call():
                    await waiting

        async def closed() -> None:
            if on_closed is not None:
                on_closed()

        await bus.client.connect(**connection_options(settings, bus.service), reconnected_cb=reconnected, closed_cb=closed)
        return bus

    async def ask(self, request: Request[ReplyT], caller: Caller, *, timeout: float = 5.0) -> ReplyT:
        """Ask the owning service and wait at most `timeout` seconds.

        Raises the `Refused` that the service answered; `Unavailable` at once when nobody listens or the broker is away;
        `DeadlineExceeded` when no answer came (ask again with the same idempotency key).
        """
        names = request.service(), request.operation()
        started = time.perf_counter()
        code = "ok"
        try:
            with telemetry.tracer.start_as_current_span(f"ask {request.subject}", kind=SpanKind.CLIENT):
                return await self._ask(request, caller, timeout)
        except Refused as refusal:
            code = refusal.code
            raise
        finally:
            telemetry.ASKED.labels(*names, code).inc()
            telemetry.ASKED_SECONDS.labels(*names).observe(time.perf_counter() - started)

    async def _ask(self, request: Request[ReplyT], caller: Caller, timeout: float) -> ReplyT:
        if not self.client.is_connected:
            raise Unavailable("the broker is away")
        body = request.model_dump_json().encode()
        try:
            answer = await self._answer_to(request.subject, body, caller.headers(time.time() + timeout), timeout)
        except TimeoutError as error:
            if not self.client.is_connected:
                raise Unavailable("the broker went away") from error
            raise DeadlineExceeded(f"{request.subject} did not answer in {timeout} s") from error
        except NatsError as error:
            raise Unavailable(f"the broker is away: {type(error).__name__}") from error
        if not answer.data and (answer.headers or {}).get("Status") == "503":
            raise Unavailable(f"nobody answers {request.subject}")
        return read_reply(request.reply_type(), answer.data)

    async def _answer_to(self, subject: str, body: bytes, headers: dict[str, str], timeout: float) -> Msg:
        """The message that answers; `TimeoutError` when none came."""
        if not self._inbox:
            inbox = self.client.new_inbox()
            await self.client.subscribe(f"{inbox}.*", cb=self._answered)
            self._inbox = inbox  # two who ask first at the same time leave a second inbox, which harms nobody
        loop, number = asyncio.get_running_loop(), str(next(self._numbers))
        answer = self._waiting[number] = loop.create_future()
        expiry = loop.call_later(timeout, _give_up, answer)
        try:
            await self.client.publish(subject, body, reply=f"{self._inbox}.{number}", headers=headers)
            return await answer
        finally:
            expiry.cancel()
            del self._waiting[number]

    async def _answered(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def send_frames(self, frames: Sequence[bytes]) -> None:
        """Write messages that `frame` made, all at once. Raises like `publish` when the broker is away; then none was sent."""
        if not self.client.is_connected:
            raise OutboundBufferLimitError
        await self.client._send_command(b"".join(frames))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        await self.client._flush_pending()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    async def round_trip(self) -> bool:
        """True when the server answered a ping just now. Connected flags alone still said yes with NATS paused or cut off."""
        try:
            await self.client.flush(timeout=ROUND_TRIP_SECONDS)
        except (TimeoutError, NatsError):
            return False
        return self.client.is_connected

    async def close(self) -> None:
        """At once, or soon: a server that does not read any more would be waited for without end."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.client.close()


def frame(subject: str, reply: str, headers: Mapping[str, str], payload: bytes) -> bytes:
    """A message as the protocol has it. One call of the client's `publish` each held the relay at half of what it does now."""
    lines = [f"{name}: {value}" for name, value in headers.items()]
    block = "\r\n".join(lines)
    if block.count("\n") != len(lines) - 1:  # no value may begin a header of its own
        block = "\r\n".join(" ".join(line.splitlines()) for line in lines)
    head = f"NATS/1.0\r\n{block}\r\n\r\n".encode()
    return b"HPUB %b %d %d\r\n%b%b\r\n" % (f"{subject} {reply}".encode(), len(head), len(head) + len(payload), head, payload)


def _give_up(answer: asyncio.Future[Msg]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())


def connection_options(settings: Settings, user: str) -> dict[str, Any]:
    """Options of every NATS connection of a service, FastStream's included."""

    async def error(problem: Exception) -> None:
        log.warning("nats_error", error=f"{type(problem).__name__}: {problem}")

    async def disconnected() -> None:
        log.warning("nats_disconnected")

    return {
        "servers": [settings.nats_url],
        "user": user,
        "password": settings.nats_password.get_secret_value(),
        "name": f"labo.{user}",
        "inbox_prefix": f"_INBOX_{user}".encode(),
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.2,
        "connect_timeout": 2,
        "ping_interval": PING_SECONDS,
        "max_outstanding_pings": 2,
        "pending_size": 0,  # a request given up by its caller must not run later
        "error_cb": error,
        "disconnected_cb": disconnected,
    }


def read_reply(reply_type: type[ReplyT], data: bytes) -> ReplyT:
    """`{"ok": …}` as the reply, `{"problem": …}` as the `Refused` it is."""
    try:
        document = from_json(data)
        if "ok" in document:
            return reply_type.model_validate(document["ok"], strict=False)
        problem = Problem.model_validate(document["problem"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise Unavailable("the answer cannot be read") from error
    raise Refused.of(problem)


__all__ = ["Bus", "Caller", "connection_options", "frame", "read_reply"]

"""Requests that a service answers, over `nats.micro`: a task per request, a limit, and never silence."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.micro.request import Request as MicroRequest
from nats.micro.service import Endpoint, EndpointConfig, Service, ServiceConfig
from opentelemetry.trace import SpanKind
from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import idempotency, telemetry
from shared.bus import ACTOR, CORRELATION, DEADLINE, KEY, ROLES, Bus, Caller
from shared.commits import Command, Group, GroupedCommand, Order, Query, RequestT, run_command, stored_reply
from shared.contracts.messages import Message, Request
from shared.database import Database, constraint_of, is_infrastructure, is_lock_timeout
from shared.errors import Busy, Contended, DeadlineExceeded, InternalError, InvalidRequest, KeyInUse, KeyReused, Refused, Unavailable
from shared.idempotency import Claim

log = telemetry.log

ReplyT = TypeVar("ReplyT", bound=Message)

AT_ONCE = 256  # requests in work per process; more are answered `busy` at once instead of queueing past their deadline
LONGEST_KEY = 200
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # JSON allows it, Postgres does not: a wrong request, not a failure of ours


@dataclass
class Requests:
    """The requests of one handlers module. Each kind of decorator says what the kernel does around the function."""

    queries: dict[type[Request[Any]], Query[Any]] = field(default_factory=dict[type[Request[Any]], Query[Any]])
    commands: dict[type[Request[Any]], Command[Any]] = field(default_factory=dict[type[Request[Any]], Command[Any]])
    grouped: dict[type[Request[Any]], tuple[GroupedCommand[Any], int]] = field(
        default_factory=dict[type[Request[Any]], tuple[GroupedCommand[Any], int]]
    )

    def query(
        self, request: type[Request[ReplyT]]
    ) -> Callable[[Callable[[RequestT, Caller, Database], Awaitable[ReplyT]]], Callable[[RequestT, Caller, Database], Awaitable[ReplyT]]]:
        """The function reads: `(request, caller, database) -> reply`."""

        def register(function: Callable[[RequestT, Caller, Database], Awaitable[ReplyT]]) -> Any:
            self.queries[request] = function
            return function

        return register

    def command(
        self, request: type[Request[ReplyT]]
    ) -> Callable[
        [Callable[[RequestT, Caller, AsyncConnection], Awaitable[ReplyT]]], Callable[[RequestT, Caller, AsyncConnection], Awaitable[ReplyT]]
    ]:
        """The function changes something: `(request, caller, tx) -> reply`, in a transaction that the kernel opens and commits.

        An idempotency key is checked and stored in that same transaction. A `Refused` rolls it back and is the answer.
        """

        def register(function: Callable[[RequestT, Caller, AsyncConnection], Awaitable[ReplyT]]) -> Any:
            self.commands[request] = function
            return function

        return register

    def grouped_command(
        self, request: type[Request[ReplyT]], *, largest: int = 256
    ) -> Callable[
        [Callable[[Sequence[Order[RequestT]], AsyncConnection], Awaitable[Sequence[ReplyT | Refused]]]],
        Callable[[Sequence[Order[RequestT]], AsyncConnection], Awaitable[Sequence[ReplyT | Refused]]],
    ]:
        """Like `command`, for as many requests as arrived while the last commit was under way, at most `largest`.

        `(orders, tx) -> one answer per order, in the same order`; a `Refused` in the list is that caller's answer and no more. An
        exception fails the whole group, which is then carried out one by one.
        """

        def register(function: Callable[[Sequence[Order[RequestT]], AsyncConnection], Awaitable[Sequence[ReplyT | Refused]]]) -> Any:
            self.grouped[request] = (function, largest)
            return function

        return register


class Responder:
    """Serves `Requests` on the bus until it is drained."""

    def __init__(self, bus: Bus, database: Database, served: Sequence[Requests], *, at_once: int = AT_ONCE) -> None:
        self._bus, self._database, self._at_once = bus, database, at_once
        self._tasks: set[asyncio.Task[None]] = set()
        self._micro: Service | None = None
        self._runners: dict[type[Request[Any]], Callable[[Order[Any]], Awaitable[str]]] = {}
        for requests in served:
            self._add(requests, database)

    def _add(self, requests: Requests, database: Database) -> None:
        for kind, query in requests.queries.items():

            async def read(order: Order[Any], query: Query[Any] = query) -> str:
                return (await query(order.request, order.caller, database)).model_dump_json()

            self._runners[kind] = read
        for kind, command in requests.commands.items():

            async def change(order: Order[Any], command: Command[Any] = command) -> str:
                try:
                    return await run_command(command, order, database)
                except Exception as error:
                    if constraint_of(error) != idempotency.CONSTRAINT:
                        raise
                    return await run_command(command, order, database)  # the twin has committed: its reply is there now

            self._runners[kind] = change
        for kind, (handler, largest) in requests.grouped.items():
            self._runners[kind] = Group(handler, largest, database, kind.operation()).submit

    async def start(self) -> None:
        self._micro = Service(self._bus.client, ServiceConfig(name=f"labo-{self._bus.service}", version="1.0.0"))
        await self._micro.start()
        for kind in self._runners:
            name = kind.operation().replace("_", "-")
            await self._micro.add_endpoint(EndpointConfig(name=name, subject=kind.subject, handler=self._accept(kind)))
        await self._bus.client.flush()

    async def drain(self) -> None:
        """Leave the subscriptions, then finish what is in work. No request that was taken goes unanswered."""
        if self._micro is not None:
            micro, self._micro = self._micro, None
            # `micro.stop` forgets its subscriptions before the server knows: what was on its way then was lost without a word.
            endpoints = cast("list[Endpoint]", micro._endpoints)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            micro._endpoints = []  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            try:
                for endpoint in endpoints:
                    if endpoint._subscription is not None:  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                        await endpoint._subscription.drain()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                await micro.stop()
                await self._bus.client.flush()
            except (NatsError, TimeoutError):
                log.warning("drain_without_broker")
            await asyncio.sleep(0)  # what the last read brought in becomes tasks
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _accept(self, kind: type[Request[Any]]) -> Callable[[MicroRequest], Awaitable[None]]:
        async def accept(incoming: MicroRequest) -> None:
            if not incoming._msg.reply.startswith("_INBOX_"):  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
                # An answer sent to `evt.…` would be stored as our own event. Nobody who waits is harmed: our askers have inboxes.
                log.error("forged_reply_subject", operation=kind.subject)
                return
            if len(self._tasks) >= self._at_once:
                await self._reply(incoming, kind, Busy(f"{len(self._tasks)} requests in work"))
                return
            task = asyncio.create_task(self._answer(kind, incoming))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        return accept

    async def _answer(self, kind: type[Request[Any]], incoming: MicroRequest) -> None:
        started = time.perf_counter()
        headers = incoming.headers or {}
        names = kind.service(), kind.operation()
        context = telemetry.context_from(headers.get("traceparent"))
        with (
            telemetry.tracer.start_as_current_span(kind.subject, context=context, kind=SpanKind.SERVER),
            telemetry.REQUESTS_IN_FLIGHT.labels(*names).track_inprogress(),
        ):
            outcome = await self._outcome(kind, headers, incoming.data)
        await self._reply(incoming, kind, outcome)
        telemetry.REQUEST_SECONDS.labels(*names).observe(time.perf_counter() - started)

    async def _outcome(self, kind: type[Request[Any]], headers: dict[str, str], body: bytes) -> str | Refused:
        """The reply, or the refusal, whatever happens inside."""
        try:
            order = read_order(kind, headers, body)
            try:
                return await self._runners[kind](order)
            except Refused as refusal:
                if order.claim is None or isinstance(refusal, KeyInUse | KeyReused):
                    raise
                # A twin that committed between our look at the key and our lock is what refuses us: its reply is ours.
                return await stored_reply(order.claim, self._database) or refusal
        except Refused as refusal:
            return refusal
        except Exception as error:
            if is_lock_timeout(error):
                return Contended(kind.subject)
            if is_infrastructure(error):
                log.warning("request_without_database", operation=kind.subject, error=type(error).__name__)
                return Unavailable(kind.subject)
            log.exception("request_failed", operation=kind.subject)
            return InternalError()

    async def _reply(self, incoming: MicroRequest, kind: type[Request[Any]], outcome: str | Refused) -> None:
        if isinstance(outcome, Refused):
            code, body = outcome.code, f'{{"problem":{outcome.problem.model_dump_json()}}}'
        else:
            code, body = "ok", f'{{"ok":{outcome}}}'
        telemetry.REQUESTS.labels(kind.service(), kind.operation(), code).inc()
        try:
            await incoming.respond(body.encode())
        except MaxPayloadError:
            log.exception("reply_too_large", operation=kind.subject, bytes=len(body))
            await self._reply(incoming, kind, InternalError("the reply is larger than a message may be"))
        except NatsError as error:
            log.warning("reply_lost", operation=kind.subject, error=type(error).__name__)  # its caller asks again with the same key


def read_order(kind: type[RequestT], headers: dict[str, str], body: bytes) -> Order[RequestT]:
    """The request and its caller; `InvalidRequest` says which member is wrong, `DeadlineExceeded` that nobody waits any more."""
    actor = headers.get(ACTOR)
    if not actor:
        raise InvalidRequest(f"the header {ACTOR} is missing")
    key = headers.get(KEY)
    if key and len(key) > LONGEST_KEY:
        raise InvalidRequest(f"an idempotency key has at most {LONGEST_KEY} characters")
    if NUL.search(body):
        raise InvalidRequest("a text holds the character U+0000")
    try:
        if (deadline := headers.get(DEADLINE)) and float(deadline) < time.time():
            raise DeadlineExceeded("the deadline had passed before work began")
        request = kind.model_validate_json(body)
    except ValidationError as error:
        faults = [
            {"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidRequest(f"{error.error_count()} members of {kind.__name__} are wrong", errors=faults) from error
    except ValueError as error:
        raise InvalidRequest(f"the header {DEADLINE} is not a number") from error
    caller = Caller(
        actor=actor,
        roles=frozenset(headers.get(ROLES, "").split()),
        idempotency_key=key,
        correlationid=headers.get(CORRELATION),
        traceparent=telemetry.traceparent() or headers.get("traceparent"),
    )
    claim = Claim(actor, key, kind.subject, idempotency.fingerprint(kind.subject, body)) if key else None
    return Order(request, caller, claim)

"""Events that a service hears. Effects happen once per event (inbox), projections keep the newest version (cursor), batches share a commit.

One failing event is retried on its own; what cannot succeed is parked where a human sees it. Nothing is dropped.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import faults, inbox, telemetry
from shared.contracts.messages import Envelope, Event, MalformedMessage, read_event
from shared.database import Database, is_infrastructure
from shared.errors import Refused
from shared.inbox import Delivery
from shared.outbox import Cause

log = telemetry.log

EventT_co = TypeVar("EventT_co", bound=Event, covariant=True)
FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])

PATIENCE_SECONDS = 15 * 60.0  # counted from this consumer's first failure on that event
FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.2, 60.0  # a bare nak came back 5,864 times in three seconds
LONGEST_WAIT_FOR_INFRASTRUCTURE = 5.0

Kind = Literal["effect", "projection", "batch", "newest"]


@dataclass(frozen=True, slots=True)
class Received(Generic[EventT_co]):
    """An event with its envelope, and where in its stream it stood."""

    event: EventT_co
    envelope: Envelope
    delivery: Delivery

    @property
    def cause(self) -> Cause:
        """What follows from this event says so."""
        return Cause(
            actor=self.envelope.actor,
            correlationid=self.envelope.correlationid,
            causationid=str(self.envelope.id),
            traceparent=self.envelope.traceparent,
        )


@dataclass(frozen=True)
class Consumer:
    """One durable: which events, and the function that takes them."""

    durable: str
    events: tuple[type[Event], ...]
    kind: Kind
    handler: Callable[[Any, AsyncConnection], Awaitable[None]]
    largest: int = 1

    @property
    def batched(self) -> bool:
        return self.kind in {"batch", "newest"}

    @property
    def stream(self) -> str:
        return self.events[0].stream()

    @property
    def subjects(self) -> tuple[str, ...]:
        return tuple(event.heard() for event in self.events)


@dataclass
class Consumers:
    """The events of one handlers module."""

    all: list[Consumer] = field(default_factory=list[Consumer])

    def effect(self, durable: str, *events: type[Event]) -> Callable[[FunctionT], FunctionT]:
        """`(received, tx)`, once per event: its id stands in the inbox of the same transaction. Order is not promised."""
        return self._add(durable, events, "effect", 1)

    def projection(self, durable: str, *events: type[Event]) -> Callable[[FunctionT], FunctionT]:
        """`(received, tx)`, only when the event is newer than what this durable applied to the same aggregate (E4, P6).

        Sends nothing and records nothing: a rebuild calls it again for every event.
        """
        return self._add(durable, events, "projection", 1)

    def batch(self, durable: str, *events: type[Event], largest: int = 500) -> Callable[[FunctionT], FunctionT]:
        """`(sequence of received, tx)`: the unseen ones of what is there now, in stream order, one transaction, inbox included."""
        return self._add(durable, events, "batch", largest)

    def newest(self, durable: str, *events: type[Event], largest: int = 500) -> Callable[[FunctionT], FunctionT]:
        """A projection in batches, `(sequence of received, tx)`: of what is there now, the newest of each aggregate that is news."""
        return self._add(durable, events, "newest", largest)

    def _add(self, durable: str, events: Sequence[type[Event]], kind: Kind, largest: int) -> Callable[[FunctionT], FunctionT]:
        if len({event.stream() for event in events}) != 1:
            raise ValueError(f"{durable}: a durable hears the events of one stream")

        def register(function: FunctionT) -> FunctionT:
            self.all.append(Consumer(durable, tuple(events), kind, function, largest))
            return function

        return register


class Inlet:
    """Applies the messages of one durable to the database and settles them with the stream: ack, nak with delay, or park and ack."""

    def __init__(self, consumer: Consumer, database: Database, *, patience: float = PATIENCE_SECONDS) -> None:
        self.consumer, self._database, self._patience = consumer, database, patience
        self.last_loop = 0.0
        """Monotonic seconds of the last fetch that worked, messages or none."""

    def beat(self) -> None:
        self.last_loop = time.monotonic()
        telemetry.CONSUMER_LOOP.labels(self.consumer.durable).set_to_current_time()

    async def take(self, message: Msg) -> None:
        """One message, from delivery to settlement. Raises nothing but cancellation."""
        try:
            received = self._read(message)
            context = telemetry.context_from(received.envelope.traceparent)
            with telemetry.tracer.start_as_current_span(self.consumer.durable, context=context, kind=SpanKind.CONSUMER):
                async with self._database.begin() as tx:
                    result = await apply(self.consumer, received, tx)
                    await self._forget_failures(tx, [message])
                    faults.point("consumer.before_commit")
            faults.point("consumer.after_commit")
            self._count(received.event, result)
            await message.ack()
        except NatsError:
            log.warning("settlement_lost", consumer=self.consumer.durable)  # delivered again; the inbox knows it
        except Exception as error:
            await self._fail(message, error)

    async def take_batch(self, messages: Sequence[Msg]) -> None:
        """Many messages, one transaction; when it fails, each on its own."""
        readable: list[tuple[Msg, Received[Event]]] = []
        for message in messages:
            try:
                readable.append((message, self._read(message)))
            except MalformedMessage as error:
                await self._fail(message, error)
        try:
            await self._apply_batch(readable)
        except Exception as error:
            await self._split(readable, error)
            return
        try:
            for message, _ in readable:
                await message.ack()
        except NatsError:
            log.warning("settlement_lost", consumer=self.consumer.durable)

    async def _split(self, readable: Sequence[tuple[Msg, Received[Event]]], error: Exception) -> None:
        """After a failed batch: wait when the weather failed it, else find the one that did."""
        if len(readable) == 1 or is_infrastructure(error):
            for message, _ in readable:
                await self._fail(message, error)
            return
        log.warning("batch_split", consumer=self.consumer.durable, size=len(readable), error=type(error).__name__)
        for message, _ in readable:
            await self.take(message)

    async def _apply_batch(self, readable: Sequence[tuple[Msg, Received[Event]]]) -> None:
        if not readable:
            return
        received = [each for _, each in readable]
        traced = received if telemetry.tracer.exporting else received[:1]
        first, *others = (telemetry.context_from(each.envelope.traceparent) for each in traced)
        links = [Link(trace.get_current_span(context).get_span_context()) for context in others]
        with telemetry.tracer.start_as_current_span(self.consumer.durable, context=first, links=links, kind=SpanKind.CONSUMER):
            async with self._database.begin() as tx:
                fresh = await (_newest if self.consumer.kind == "newest" else _unseen)(self.consumer.durable, received, tx)
                if fresh:
                    await self.consumer.handler(list(fresh.values()), tx)
                await self._forget_failures(tx, [message for message, _ in readable])
                faults.point("consumer.before_commit")
            faults.point("consumer.after_commit")
        passed_over = "stale" if self.consumer.kind == "newest" else "duplicate"
        for each in received:
            self._count(each.event, "applied" if each.envelope.id in fresh else passed_over)

    def _read(self, message: Msg) -> Received[Event]:
        delivery = delivery_of(message)
        envelope, event = read_event(delivery.headers, delivery.payload)
        if not isinstance(event, self.consumer.events):
            raise MalformedMessage(f"{envelope.type} is not for {self.consumer.durable}")
        if message.subject not in {event.address, f"{event.subject}.{event.aggregate_id}"}:  # private ones of before have no token more
            raise MalformedMessage(f"{envelope.type} came on {message.subject}")
        return Received(event, envelope, delivery)

    async def _forget_failures(self, tx: AsyncConnection, messages: Sequence[Msg]) -> None:
        again = [id_of(message) for message in messages if message.metadata.num_delivered > 1]
        if again:
            await inbox.succeeded(tx, self.consumer.durable, again)

    def _count(self, event: Event, result: str) -> None:
        telemetry.CONSUMED.labels(self.consumer.durable, event.type_name(), result).inc()

    # --- when it does not work -----------------------------------------------------------------------------------------------------

    async def _fail(self, message: Msg, error: Exception) -> None:
        try:
            await self._settle_failure(message, error)
        except Exception as second:  # database or broker away: redelivered after ack_wait
            log.warning("settlement_failed", consumer=self.consumer.durable, error=type(second).__name__)

    async def _settle_failure(self, message: Msg, error: Exception) -> None:
        tries = message.metadata.num_delivered
        event_id = place_of(message) if isinstance(error, MalformedMessage) else id_of(message)
        if is_infrastructure(error) or isinstance(error, NatsError):
            await message.nak(delay=min(retry_delay(tries), LONGEST_WAIT_FOR_INFRASTRUCTURE))
            return
        permanent = isinstance(error, MalformedMessage) or (isinstance(error, Refused) and not error.retryable)
        said = f"{type(error).__name__}: {error}"
        log.warning(
            "event_failed", consumer=self.consumer.durable, event_id=str(event_id), tries=tries, error=type(error).__name__, exc_info=error
        )
        async with self._database.begin() as tx:
            first_failed_at, attempts, failing_for = await inbox.failed(tx, self.consumer.durable, event_id, said)
            parked = permanent or failing_for >= self._patience
            if parked:
                await inbox.park(
                    tx, self.consumer.durable, event_id, delivery_of(message),
                    error_code=getattr(error, "code", "handler_failed"), error=said, attempts=attempts, first_failed_at=first_failed_at,
                )  # fmt: skip
        telemetry.CONSUMED.labels(
            self.consumer.durable,
            message.headers.get("ce-type", "unknown") if message.headers else "unknown",
            "parked" if parked else "retried",
        ).inc()
        if parked:
            log.error("event_parked", consumer=self.consumer.durable, event_id=str(event_id))
            await message.ack()
        else:
            await message.nak(delay=retry_delay(attempts))


async def apply(consumer: Consumer, received: Received[Event], tx: AsyncConnection) -> Literal["applied", "duplicate", "stale"]:
    """One event into one transaction, unless this durable has seen it or something newer."""
    if consumer.kind in {"projection", "newest"}:
        if not await inbox.advance(tx, consumer.durable, {received.event.aggregate_id: received.event.version}):
            return "stale"
    elif not await inbox.unseen(tx, consumer.durable, [received.envelope.id]):
        return "duplicate"
    await consumer.handler([received] if consumer.batched else received, tx)
    return "applied"


async def _unseen(durable: str, received: Sequence[Received[Event]], tx: AsyncConnection) -> dict[UUID, Received[Event]]:
    """Those that this durable has not seen, by id, in their order."""
    unseen = await inbox.unseen(tx, durable, [each.envelope.id for each in received])
    return {each.envelope.id: each for each in received if each.envelope.id in unseen}


async def _newest(durable: str, received: Sequence[Received[Event]], tx: AsyncConnection) -> dict[UUID, Received[Event]]:
    """The newest of each aggregate, where it is newer than what this durable applied, by id."""
    newest: dict[UUID, Received[Event]] = {}
    for each in received:
        known = newest.get(each.event.aggregate_id)
        if known is None or known.event.version < each.event.version:
            newest[each.event.aggregate_id] = each
    moved = await inbox.advance(tx, durable, {aggregate_id: each.event.version for aggregate_id, each in newest.items()})
    return {each.envelope.id: each for aggregate_id, each in newest.items() if aggregate_id in moved}


async def replay(consumers: Sequence[Consumer], dead_letter_id: UUID, tx: AsyncConnection) -> None:
    """Give a parked message to its consumer once more, in this transaction, and close the dead letter. Does nothing if it is closed."""
    letter = await inbox.reopen(tx, dead_letter_id)
    if letter is None:
        return
    consumer = next(each for each in consumers if each.durable == letter.consumer)
    delivery = Delivery(letter.stream, letter.stream_seq, letter.subject, letter.headers, bytes(letter.payload))
    envelope, event = read_event(delivery.headers, delivery.payload)
    await apply(consumer, Received(event, envelope, delivery), tx)
    await inbox.resolve(tx, dead_letter_id, "replayed", "operator")


def delivery_of(message: Msg) -> Delivery:
    metadata = message.metadata
    return Delivery(metadata.stream, metadata.sequence.stream, message.subject, message.headers or {}, message.data)


def id_of(message: Msg) -> UUID:
    return UUID((message.headers or {})["ce-id"])


def place_of(message: Msg) -> UUID:
    """An id made from the place in the stream. A malformed message does not get its own: it may be a forgery of a good event's."""
    return uuid5(NAMESPACE_OID, f"{message.metadata.stream}:{message.metadata.sequence.stream}")


def retry_delay(tries: int) -> float:
    """Seconds before the next try: 0.2 × 2ⁿ, at most 60, ± 20 %."""
    delay = min(FIRST_RETRY_SECONDS * 2 ** min(tries - 1, 20), LONGEST_RETRY_SECONDS)
    return delay * random.uniform(0.8, 1.2)  # noqa: S311 - spread, not secrecy


__all__ = ["Consumer", "Consumers", "Inlet", "Received", "apply", "replay"]

"""The loops that fetch events: FastStream for ordinary durables, the kernel's own batch loop where volume needs it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, NatsMessage, PullSub
from faststream.security import SASLPlaintext
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig
from nats.js.errors import Error as JetStreamError

from shared import telemetry
from shared.bus import Bus, connection_options
from shared.consumers import Inlet
from shared.settings import Settings

log = telemetry.log

FETCH_SECONDS = 1.0  # after a broker restart consumption resumes when the pending fetch times out
AT_ONCE = 20  # messages per fetch of an ordinary durable; the next fetch waits for the slowest
PAUSE_SECONDS = 0.5  # FastStream's own loop spins at 55 % of a core on a deleted durable
FRESH_SECONDS = 10.0


class Listener:
    """Runs the inlets of one service until it is stopped. A durable that is missing is waited for, before and during."""

    def __init__(self, settings: Settings, bus: Bus, inlets: Sequence[Inlet]) -> None:
        self._settings, self._bus, self._inlets = settings, bus, inlets
        self._stopping = False
        self._broker: NatsBroker | None = None
        self._batches: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Until `stop` is called: wait for the durables, listen."""
        self._batches = [asyncio.create_task(self._batch_loop(inlet)) for inlet in self._inlets if inlet.consumer.batched]
        single = [inlet for inlet in self._inlets if not inlet.consumer.batched]
        if single:
            await self._listen(single)
        await asyncio.gather(*self._batches)

    async def stop(self) -> None:
        """Fetch no more; what was fetched is finished and acknowledged."""
        self._stopping = True
        if self._broker is not None:
            await self._broker.stop()
        for loop in self._batches:
            with suppress(asyncio.CancelledError):
                await loop

    def stale(self) -> list[str]:
        """Durables without a working fetch in the last 10 s."""
        oldest = time.monotonic() - FRESH_SECONDS
        return [inlet.consumer.durable for inlet in self._inlets if inlet.last_loop < oldest]

    async def _listen(self, inlets: Sequence[Inlet]) -> None:
        while not self._stopping:
            if await self._all_there(inlets):
                broker, subscribers = self._build(inlets)
                try:
                    await broker.start()
                except (NatsError, JetStreamError, OSError, TimeoutError) as error:
                    log.warning("listening_failed", error=type(error).__name__)
                    await broker.stop()
                else:
                    self._broker = broker
                    self._guard(subscribers)
                    return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _all_there(self, inlets: Sequence[Inlet]) -> bool:
        stream = self._bus.client.jetstream(timeout=1)
        try:
            for inlet in inlets:
                await stream.consumer_info(inlet.consumer.stream, inlet.consumer.durable)
        except (NatsError, JetStreamError, TimeoutError) as error:
            log.warning("durable_missing", error=type(error).__name__)
            return False
        return True

    def _build(self, inlets: Sequence[Inlet]) -> tuple[NatsBroker, list[tuple[Any, Inlet]]]:
        """The broker, and its subscribers with their inlets: `broker.subscribers` comes out of a set, in no order."""
        options = connection_options(self._settings, self._bus.service)
        inbox_prefix: bytes = options.pop("inbox_prefix")
        security = SASLPlaintext(options.pop("user"), options.pop("password"))
        broker = NatsBroker(
            **options,
            inbox_prefix=inbox_prefix,
            security=security,
            graceful_timeout=10.0,
            logger=logging.getLogger("labo.faststream"),
            log_level=logging.DEBUG,
        )
        subscribers: list[tuple[Any, Inlet]] = []
        for inlet in inlets:
            subscriber: Any = broker.subscriber(
                config=ConsumerConfig(filter_subjects=list(inlet.consumer.subjects)),  # topology declares it; FastStream wants a name
                ack_policy=AckPolicy.MANUAL,  # the default terminates a message after one error; on the broker it is not heeded
                durable=inlet.consumer.durable,
                stream=JStream(inlet.consumer.stream, declare=False),
                pull_sub=PullSub(batch_size=AT_ONCE, timeout=FETCH_SECONDS),
                inbox_prefix=inbox_prefix + b".",  # on the broker alone it gave no message
                decoder=_undecoded,
            )
            subscriber(_into(inlet))
            subscribers.append((subscriber, inlet))
        return broker, subscribers

    def _guard(self, subscribers: Sequence[tuple[Any, Inlet]]) -> None:
        for subscriber, inlet in subscribers:
            subscription: Any = subscriber.subscription
            subscription.fetch = guarded(subscription.fetch, inlet, self._bus)

    async def _batch_loop(self, inlet: Inlet) -> None:
        stream = self._bus.client.jetstream(timeout=2)
        subscription: JetStreamContext.PullSubscription | None = None
        while not self._stopping:
            try:
                if subscription is None:
                    subscription = await stream.pull_subscribe_bind(durable=inlet.consumer.durable, stream=inlet.consumer.stream)
                fetch = guarded(subscription.fetch, inlet, self._bus)
                messages = await fetch(batch=inlet.consumer.largest, timeout=FETCH_SECONDS)
            except NatsTimeout:
                continue
            except NatsError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            await inlet.take_batch(messages)


def _into(inlet: Inlet) -> Callable[[NatsMessage], Awaitable[None]]:
    async def take(message: NatsMessage) -> None:
        await inlet.take(message.raw_message)  # a list only with `batch=True`

    return take


def guarded(fetch: Any, inlet: Inlet, bus: Bus) -> Any:
    """A fetch that beats when it worked, and that pauses and says «nothing there» when it did not: no spin, no loop that dies."""

    async def careful(*, batch: int, timeout: float) -> Any:
        try:
            messages = await fetch(batch=batch, timeout=timeout)
        except TimeoutError as nothing:  # nats-py raises asyncio's as well as its own; FastStream expects its own only
            if bus.client.is_connected:
                inlet.beat()
            raise NatsTimeout from nothing
        except (NatsError, JetStreamError) as error:
            log.warning("fetch_failed", consumer=inlet.consumer.durable, error=type(error).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
            raise NatsTimeout from error
        inlet.beat()
        return messages

    return careful


async def _undecoded(message: Any) -> bytes:
    """The body as it came: FastStream's guess would turn `b"0"` into a number, and bad JSON into an error before we see it."""
    return message.body

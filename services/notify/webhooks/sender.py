"""The loop that lets deliveries leave. A receiver that is slow or dead holds its own few places and nobody else's."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Gauge, Histogram

from services.notify import rounds
from services.notify.mail.patience import pause_before_retry
from services.notify.settings import NotifySettings
from services.notify.webhooks import claims, store
from services.notify.webhooks.claims import Parcel
from services.notify.webhooks.courier import Courier
from services.notify.webhooks.domain import KEPT_FOR, LONGEST_PAUSE, LONGEST_REST, Answer, Verdict
from shared import telemetry
from shared.database import Database
from shared.service import Context
from shared.timers import beat

log = telemetry.log

COUNT_SECONDS = 5.0
SWEEP_SECONDS = 24 * 3600.0
SWEEP = "webhooks_sweep"
DRAIN_SECONDS = 5.0

WEBHOOKS = Gauge("labo_webhooks", "Webhooks by how they are: working, failing, gone (the receiver said 410), disabled", ["state"])
ATTEMPTS = Counter("labo_webhook_attempts", "Attempts at deliveries, by what came of them: delivered, again, failed, gone", ["outcome"])
ATTEMPT_SECONDS = Histogram(
    "labo_webhook_seconds", "One attempt, from the look-up to the answer", buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
)


async def send_webhooks(context: Context) -> None:
    if not isinstance(context.settings, NotifySettings):
        raise TypeError("notify runs with NotifySettings")
    settings = context.settings
    await Sender(settings, context.database, Courier(timeout=settings.webhook_timeout, loopback=settings.webhooks_to_loopback)).run()


class Sender:
    """One per process."""

    def __init__(self, settings: NotifySettings, database: Database, courier: Courier) -> None:
        self._settings, self._database, self._courier = settings, database, courier
        self._woken = asyncio.Event()
        self._out: set[asyncio.Task[None]] = set()
        self._stock_taken = False
        self._counted = self._swept = float("-inf")

    async def run(self) -> None:
        try:
            await rounds.keep_looking(self._database, self._round, self._woken, "webhooks")
        finally:
            await rounds.drain(self._out, DRAIN_SECONDS)
            await self._courier.close()

    async def _round(self) -> None:
        await self._keep_house()
        async with self._database.engine.begin() as tx:
            parcels = await claims.claim(tx, instance=self._settings.instance)
        for parcel in parcels:
            task = asyncio.create_task(self._deliver(parcel), name=f"webhook delivery {parcel.delivery_id}")
            self._out.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._out.discard(task)
        self._woken.set()  # its place is free

    async def _keep_house(self) -> None:
        """Take stock once, count every few seconds, forget every day (P1)."""
        if not self._stock_taken:
            async with self._database.engine.begin() as tx:
                await claims.take_stock(tx, self._settings.instance)
            self._stock_taken = True
        now = time.monotonic()
        if now - self._counted > COUNT_SECONDS:
            async with self._database.engine.begin() as tx:
                counted = await claims.count(tx)
            for state, number in counted.items():
                WEBHOOKS.labels(state).set(number)
            self._counted = now
        if now - self._swept > SWEEP_SECONDS:
            async with self._database.engine.begin() as tx:
                await store.forget(tx, KEPT_FOR)
            await beat(self._database, SWEEP)
            self._swept = now

    async def _deliver(self, parcel: Parcel) -> None:
        context = telemetry.context_from(parcel.traceparent)
        span = telemetry.tracer.start_as_current_span("webhook", context=context, kind=SpanKind.PRODUCER)
        ids = {"webhook_id": str(parcel.webhook_id), "delivery_id": str(parcel.delivery_id)}
        try:
            with span, telemetry.bound(**ids), ATTEMPT_SECONDS.time():
                answer = await self._courier.deliver(parcel)
            with telemetry.bound(**ids):
                await self._settle(parcel, answer)
        except Exception:
            log.exception("webhook_left_unsettled", **ids)  # its lease runs out, and it is tried again

    async def _settle(self, parcel: Parcel, answer: Answer) -> None:
        begin = self._database.engine.begin
        match answer.verdict:
            case Verdict.DELIVERED:
                await rounds.commit(begin, lambda tx: claims.delivered(tx, parcel, answer))
                outcome = "delivered"
            case Verdict.GONE:
                await rounds.commit(begin, lambda tx: claims.gone(tx, parcel, answer))
                outcome = "gone"
                log.warning("webhook_gone")
            case Verdict.AGAIN:
                pause = self._pause(parcel)
                rest = pause_before_retry(parcel.failures + 1, self._base, LONGEST_REST)
                await rounds.commit(begin, lambda tx: claims.not_delivered(tx, parcel, answer, pause=pause, rest=rest))
                outcome = "failed" if pause is None else "again"
                log.info("webhook_not_delivered", status=answer.status, outcome=outcome, failures=parcel.failures + 1)
        ATTEMPTS.labels(outcome).inc()

    @property
    def _base(self) -> timedelta:
        return timedelta(seconds=self._settings.webhook_retry_base)

    def _pause(self, parcel: Parcel) -> timedelta | None:
        """Ever longer, for three days; then None, and it failed."""
        if (datetime.now(UTC) - parcel.tried_since).total_seconds() > self._settings.webhook_give_up_after:
            return None
        return pause_before_retry(parcel.attempts + 1, self._base, LONGEST_PAUSE)

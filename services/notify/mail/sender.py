"""The loop that lets mails leave: woken by every commit of this process, and by the clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from opentelemetry.trace import SpanKind

from services.notify import rounds
from services.notify.mail import claims
from services.notify.mail.claims import Mail
from services.notify.mail.delivery import Delivery
from services.notify.mail.smtp import Line
from services.notify.settings import NotifySettings
from shared import telemetry
from shared.bus import Bus
from shared.contracts.notify import MailState
from shared.database import Database
from shared.service import Context

log = telemetry.log

SWEEP_SECONDS = 5.0
BATCH = 32
UNCERTAIN_AFTER = timedelta(minutes=5)  # longer than the longest conversation; a process that is alive settles its mails much sooner
DRAIN_SECONDS = 5.0
TO_BE_SEEN: tuple[MailState, ...] = ("new", "sending", "deferred", "uncertain", "failed", "bounced")


async def send_mails(context: Context) -> None:
    if not isinstance(context.settings, NotifySettings):
        raise TypeError("notify runs with NotifySettings")
    await Sender(context.settings, context.database, context.bus).run()


class Sender:
    """One per process: a few conversations with the mail server, one mail at a time on each."""

    def __init__(self, settings: NotifySettings, database: Database, bus: Bus) -> None:
        self._settings, self._database = settings, database
        self._delivery = Delivery(settings, database, bus)
        self._woken = asyncio.Event()
        self._lines: asyncio.Queue[Line] = asyncio.Queue()
        for _ in range(settings.smtp_connections):
            self._lines.put_nowait(Line(settings))
        self._out: set[asyncio.Task[None]] = set()
        self._stock_taken = False
        self._swept = 0.0

    async def run(self) -> None:
        try:
            await rounds.keep_looking(self._database, self._round, self._woken, "mail")
        finally:
            await self._finish()

    async def _round(self) -> None:
        """Everything that is due now."""
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            await self._sweep()
        while not self._delivery.closed and (mails := await self._claim()):
            for mail in mails:
                await self._start(mail)

    # With the engine's own begin(): what this loop commits must not wake it.

    async def _claim(self) -> Sequence[Mail]:
        settings = self._settings
        async with self._database.engine.begin() as tx:
            return await claims.claim(
                tx,
                limit=BATCH,
                instance=settings.instance,
                confirmation_delay=settings.confirmation_delay,
                move_delay=settings.move_delay,
            )

    async def _sweep(self) -> None:
        """Find mails whose process died while it sent them, its own former self first; count what a human should see."""
        async with self._database.engine.begin() as tx:
            doubted: list[UUID] = []
            if not self._stock_taken:
                doubted += await claims.take_stock(tx, self._settings.instance)
            doubted += await claims.sweep(tx, UNCERTAIN_AFTER)
            counted = await claims.count(tx)
        self._stock_taken = True
        self._swept = time.monotonic()
        for mail_id in doubted:
            log.error("mail_uncertain", mail_id=str(mail_id))
        for state in TO_BE_SEEN:
            telemetry.MAILS.labels(state).set(counted.get(state, 0))

    async def _start(self, mail: Mail) -> None:
        line = await self._lines.get()
        task = asyncio.create_task(self._deliver(mail, line), name=f"mail {mail.id}")
        self._out.add(task)
        task.add_done_callback(self._out.discard)

    async def _deliver(self, mail: Mail, line: Line) -> None:
        span = telemetry.tracer.start_as_current_span(
            f"mail {mail.kind}", context=telemetry.context_from(mail.traceparent), kind=SpanKind.PRODUCER
        )
        try:
            with span, telemetry.bound(mail_id=str(mail.id), kind=mail.kind.value):
                await self._delivery.deliver(mail, line)
        except Exception:
            log.exception("mail_left_unsettled", mail_id=str(mail.id))
        finally:
            self._lines.put_nowait(line)

    async def _finish(self) -> None:
        """Let what is on its way end; what does not end in time stays `sending` and is found uncertain."""
        await rounds.drain(self._out, DRAIN_SECONDS)
        while not self._lines.empty():
            await self._lines.get_nowait().close()

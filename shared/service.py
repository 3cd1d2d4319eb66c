"""One service as a process: what every `app.py` hands its parts to. Starts without the broker, heals, stops without loss."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import uvloop
from nats.errors import Error as NatsError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from shared import clock, consumers, idempotency, telemetry
from shared.bus import Bus
from shared.consumers import Consumers, Inlet
from shared.database import Database
from shared.listening import Listener
from shared.relay import Relay
from shared.requests import Requests, Responder
from shared.settings import Settings
from shared.timers import Timer, TimerPoller, Timers, beat
from shared.web import start_web

log = telemetry.log

RETRY_SECONDS = 0.5
SWEEP_SECONDS = 3600.0
LETTERS_SECONDS = 15.0
READY_WITHIN_SECONDS = 1.5
CANCEL_AGAIN_SECONDS = 10.0  # longer than a loop takes to put its work away (notify: 5 s)
CLOCK_SECONDS = 30.0  # a shift that this process did not hear of is found after this
REPLAY = "replay_dead_letter"


@dataclass(frozen=True)
class Context:
    """What a service's own loops and web application work with."""

    settings: Settings
    database: Database
    bus: Bus


@dataclass(frozen=True)
class Service:
    """The parts of a service. `background` loops run until the process stops; `web` is a public web application (gateway)."""

    name: str
    requests: Sequence[Requests] = ()
    events: Sequence[Consumers] = ()
    timers: Sequence[Timers] = ()
    background: Sequence[Callable[[Context], Awaitable[None]]] = ()
    web: Callable[[Context], ASGIApp] | None = None


def run(service: Service, settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Exits with 1 when the broker closed the connection for good (a wrong password, for instance)."""
    telemetry.configure_logging(service.name, settings.log_level)
    telemetry.configure_tracing(service.name, settings.otlp_endpoint)
    # What the imports made lives for ever, and little of what a request makes is cyclic: looking through it all took 5-10 % of the time.
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        failed = uvloop.run(Process(service, settings).run())
    finally:
        telemetry.flush_telemetry()
    raise SystemExit(1 if failed else 0)


class Process:
    """The life of one service process: connect, serve, drain."""

    def __init__(self, service: Service, settings: Settings) -> None:
        self._service, self._settings = service, settings
        self._stop = asyncio.Event()
        self._failed = False
        self._serving = False
        self._listener: Listener | None = None
        self._bus: Bus | None = None
        self._poller: TimerPoller | None = None
        self.database = Database.of(settings)

    async def run(self) -> bool:
        """True when it ended because something is wrong rather than because it was asked to."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        health = start_web(self._health_application(), self._settings.http_host, self._settings.http_port)
        try:
            bus = await self._until_stopped(self._connect())
            if bus is not None:
                await self._serve(bus)
        finally:
            health.should_exit = True
            await self.database.dispose()
        log.info("stopped")
        return self._failed

    async def _serve(self, bus: Bus) -> None:
        service, settings = self._service, self._settings
        context = Context(settings, self.database, bus)
        heard = [consumer for each in service.events for consumer in each.all]
        self._listener = Listener(settings, bus, [Inlet(consumer, self.database) for consumer in heard])
        relay = Relay(self.database, bus, f"EVT_{service.name.upper()}")
        self._poller = TimerPoller(self.database, [*service.timers, replays(heard)])
        responder = Responder(bus, self.database, service.requests)

        await self._follow_clock(bus)
        tasks = [
            self._supervise(relay.run, "relay"),
            self._supervise(self._poller.run, "timers"),
            self._supervise(self._sweep, "sweep"),
            self._supervise(self._count_letters, "dead letters"),
            self._supervise(self._watch_clock, "clock"),
        ]
        tasks += [self._supervise(lambda loop=loop: loop(context), loop.__name__) for loop in service.background]
        listening = self._supervise(self._listener.run, "listener")
        await responder.start()
        public = start_web(service.web(context), settings.web_host, settings.web_port) if service.web else None
        self._serving = True
        log.info("started", version=os.environ.get("LABO_VERSION", "dev"))
        await self._stop.wait()

        self._serving = False
        log.info("stopping")
        if public is not None:
            public.should_exit = True
            await public.finished.wait()
        await responder.drain()
        await self._listener.stop()
        await self._cancel([*tasks[1:], listening])
        await relay.finish(within=2.0)
        await self._cancel(tasks[:1])
        await bus.close()

    # --- starting ------------------------------------------------------------------------------------------------------------------

    async def _connect(self) -> Bus:
        while True:
            try:
                bus = await Bus.connect(self._settings, on_closed=self._closed)
                self._bus = bus
                return bus
            except (NatsError, OSError, TimeoutError) as error:
                log.warning("broker_away", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RETRY_SECONDS)

    def _closed(self) -> None:
        """The client gave up: only a new process helps."""
        if self._serving:
            log.critical("broker_closed_the_connection")
            self._failed = True
            self._stop.set()

    async def _until_stopped(self, work: Any) -> Any:
        """The result of `work`, or None when the process is asked to stop before."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if task.done():
            return task.result()
        await self._cancel([task])
        return None

    def _supervise(self, loop: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        """A loop that ends with an error is logged and started again, ever more slowly."""

        async def keep() -> None:
            pause = RETRY_SECONDS
            while True:
                began = time.monotonic()
                try:
                    await loop()
                    return
                except Exception:
                    log.exception("loop_failed", loop=name)
                pause = RETRY_SECONDS if time.monotonic() - began > 30 else min(pause * 2, 10.0)
                await asyncio.sleep(pause)

        return asyncio.create_task(keep(), name=name)

    @staticmethod
    async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Until they have ended: a library's `wait_for` may swallow a cancellation (Python < 3.12), and a stop would wait for ever."""
        waiting = set(tasks)
        while waiting:
            for task in waiting:
                task.cancel()
            _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_SECONDS)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()):
                raise error

    # --- clock, sweeps ---------------------------------------------------------------------------------------------------------------

    async def _follow_clock(self, bus: Bus) -> None:
        async def shifted(_: Any) -> None:
            await self._read_clock()

        await bus.client.subscribe(clock.SHIFTED_SUBJECT, cb=shifted)
        bus.on_reconnect.append(self._read_clock)
        with suppress(Exception):  # the database may still be away: the watch below reads it
            await self._read_clock()

    async def _watch_clock(self) -> None:
        while True:
            await self._read_clock()
            await asyncio.sleep(CLOCK_SECONDS)

    async def _read_clock(self) -> None:
        async with self.database.connect() as connection:
            offset = await clock.read_offset(connection)
        if offset != clock.offset():
            clock.shift(offset, self._settings.environment)
            telemetry.CLOCK_OFFSET.set(offset.total_seconds())
            log.info("clock_shifted", now=clock.now().isoformat())
            if self._poller is not None:
                self._poller.wake()

    async def _sweep(self) -> None:
        while True:
            await idempotency.sweep(self.database)
            await beat(self.database, "sweep")
            await asyncio.sleep(SWEEP_SECONDS)

    async def _count_letters(self) -> None:
        """Every durable has its number, so that one whose last letter was closed goes back to 0."""
        heard = [consumer.durable for each in self._service.events for consumer in each.all]
        while True:
            async with self.database.connect() as connection:
                rows = await connection.execute(
                    text("select consumer, count(*) from dead_letter where resolved_at is null group by consumer")
                )
                found: dict[str, int] = {row[0]: row[1] for row in rows}
            for name in {*heard, *found}:
                telemetry.DEAD_LETTERS.labels(name).set(found.get(name, 0))
            await asyncio.sleep(LETTERS_SECONDS)

    # --- health ----------------------------------------------------------------------------------------------------------------------

    def _health_application(self) -> Starlette:
        async def livez(_: HttpRequest) -> Response:
            return PlainTextResponse("ok")

        async def readyz(_: HttpRequest) -> Response:
            problems = await self.problems()
            body = {
                "service": self._service.name,
                "version": os.environ.get("LABO_VERSION", "dev"),
                "ready": not problems,
                "problems": problems,
            }
            return JSONResponse(body, status_code=503 if problems else 200)

        telemetry.BUILD.labels(os.environ.get("LABO_VERSION", "dev")).set(1)

        async def metrics(_: HttpRequest) -> Response:
            telemetry.READY.set(not await self.problems())
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

        return Starlette(routes=[Route("/livez", livez), Route("/readyz", readyz), Route("/metrics", metrics)])

    async def problems(self) -> list[str]:
        """Why this process should get no traffic now; empty when it works: database, broker, and a recent fetch of every durable."""
        if not self._serving or self._bus is None or self._listener is None:
            return ["stopping" if self._stop.is_set() else "starting"]
        problems = [f"consumer {durable}" for durable in self._listener.stale()]
        try:
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                if not await self._bus.round_trip():
                    problems.append("broker")
        except TimeoutError:
            problems.append("broker")
        try:
            async with asyncio.timeout(READY_WITHIN_SECONDS):
                await self.database.ping()
        except Exception:
            problems.append("database")
        return problems


def replays(heard: Sequence[consumers.Consumer]) -> Timers:
    """`labo dead-letters replay` sets a timer of this kind: the letter goes to its consumer again, in the timer's transaction."""
    timers = Timers()

    @timers.on(REPLAY)
    async def replay_dead_letter(timer: Timer, tx: AsyncConnection) -> None:
        await consumers.replay(heard, UUID(timer.payload["dead_letter_id"]), tx)

    return timers

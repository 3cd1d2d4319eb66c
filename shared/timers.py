"""Things to do later: rows set in the transaction of the decision that needs them, fired in a transaction of their own."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import clock, telemetry
from shared.database import Database, is_infrastructure
from shared.errors import Refused
from shared.outbox import Cause
from shared.telemetry import log

POLL_SECONDS = 1.0
BEAT_SECONDS = 60.0
HANDLER_SECONDS = 8.0  # below idle_in_transaction_session_timeout
PATIENCE = timedelta(minutes=15)
ACTOR = "labo"


@dataclass(frozen=True, slots=True)
class Timer:
    """A timer whose time has come. Check that it still makes sense: the world went on since it was set."""

    key: str
    kind: str
    due_at: datetime
    payload: Mapping[str, Any]

    @property
    def cause(self) -> Cause:
        return Cause(actor=ACTOR)


Handler = Callable[[Timer, AsyncConnection], Awaitable[None]]


class Timers:
    """The timers that one handlers module takes, by kind."""

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}

    def on(self, kind: str) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            if kind in self.handlers:
                raise ValueError(f"two handlers for timers of kind {kind}")
            self.handlers[kind] = handler
            return handler

        return register


# The poller looks every second anyway: it is woken only for what is due before that. Same task, hence a context variable.
_set_for_now: ContextVar[bool] = ContextVar("timer_set_for_now", default=False)

_SET = text(
    """
    insert into timer as old (key, kind, due_at, payload, traceparent) values (:key, :kind, :due_at, cast(:payload as jsonb), :traceparent)
    on conflict (key) do update set kind = excluded.kind, due_at = excluded.due_at, payload = excluded.payload,
        traceparent = excluded.traceparent, attempts = 0, retry_at = null, first_failed_at = null, last_error = null, parked_at = null
    """
)

# Deleted before the handler runs, so that a handler may set the same key again; a rollback brings the row back.
_CLAIM = text(
    """
    delete from timer where key = (
        select key from timer
        where due_at <= :now and parked_at is null and (retry_at is null or retry_at <= clock_timestamp())
        order by due_at, key limit 1 for update skip locked)
    returning key, kind, due_at, cast(payload as text) as payload, traceparent
    """
)

_FAILED = text(
    """
    update timer set attempts = attempts + :counts, last_error = :error,
        first_failed_at = case when :counts = 1 then coalesce(first_failed_at, clock_timestamp()) else first_failed_at end,
        retry_at = clock_timestamp() + make_interval(secs => least(60, 0.2 * power(2, least(attempts, 20)))),
        parked_at = case when :hopeless or (:counts = 1 and first_failed_at < clock_timestamp() - cast(:patience as interval))
                         then clock_timestamp() end
    where key = :key and due_at = :due_at
    returning attempts, parked_at
    """
)

_RELEASE = text(
    """
    update timer set parked_at = null, retry_at = null, first_failed_at = null, attempts = 0
    where key = :key and parked_at is not null
    """
)

_BEAT = text(
    """
    insert into heartbeat (name, beat_at) values (:name, clock_timestamp())
    on conflict (name) do update set beat_at = excluded.beat_at
    """
)

_STATES = text(
    """
    select count(*) filter (where parked_at is null and due_at > :now) as waiting,
           count(*) filter (where parked_at is null and due_at <= :late) as overdue,
           count(*) filter (where parked_at is not null) as parked
    from timer
    """
)


async def set_timer(tx: AsyncConnection, key: str, due_at: datetime, kind: str, payload: Mapping[str, Any] | None = None) -> None:
    """Set a timer, or move the one that has this key, with the decision that needs it. `due_at` is domain time."""
    if due_at.tzinfo is None:
        raise ValueError(f"timer {key}: due_at needs a zone")
    values = {"key": key, "kind": kind, "due_at": due_at, "payload": json.dumps(payload or {}, default=str)}
    await tx.execute(_SET, values | {"traceparent": telemetry.traceparent()})
    if due_at <= clock.now() + timedelta(seconds=POLL_SECONDS):
        _set_for_now.set(True)


async def cancel_timer(tx: AsyncConnection, key: str) -> None:
    """Forget a timer; nothing happens when there is none."""
    await tx.execute(text("delete from timer where key = :key"), {"key": key})


async def release_timer(tx: AsyncConnection, key: str) -> bool:
    """Try a parked timer again, with a new 15 minutes of patience. False when none is parked under this key."""
    released = await tx.execute(_RELEASE, {"key": key})
    return released.rowcount == 1


async def beat(database: Database, name: str) -> None:
    """Say that a loop lives. The alarm is raised after 3 min of silence, for daily sweeps after 26 h (C7)."""
    async with database.begin() as tx:
        await tx.execute(_BEAT, {"name": name})
    telemetry.HEARTBEAT.labels(name).set(time.time())


class TimerPoller:
    """Fires the due timers of one service, one at a time. Any number of replicas may run: each row is taken by one of them."""

    def __init__(self, database: Database, registries: Sequence[Timers], *, patience: timedelta = PATIENCE) -> None:
        self._database = database
        self._patience = patience
        self._handlers: dict[str, Handler] = {}
        for kind, handler in (item for registry in registries for item in registry.handlers.items()):
            if kind in self._handlers:
                raise ValueError(f"two handlers for timers of kind {kind}")
            self._handlers[kind] = handler
        self._woken = asyncio.Event()
        self._beaten = self._measured = float("-inf")

    def wake(self) -> None:
        """Look now: the clock was shifted, or a timer is due at once."""
        self._woken.set()

    async def run(self) -> None:
        """Fire timers until cancelled; a cancelled handler is rolled back, and its timer stays."""
        self._database.after_commit.append(self._committed)
        failures = 0
        try:
            while True:
                self._woken.clear()
                try:
                    pause, failures = await self._round(), 0
                except Exception as error:
                    failures += 1
                    pause = min(POLL_SECONDS * 2 ** min(failures - 1, 5), 30.0)
                    log.warning("timers_round_failed", failures=failures, error=type(error).__name__, exc_info=not is_infrastructure(error))
                await self._sleep(pause)
        finally:
            self._database.after_commit.remove(self._committed)

    def _committed(self) -> None:
        if _set_for_now.get():
            _set_for_now.set(False)
            self.wake()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _round(self) -> float:
        """Fire whatever is due; the seconds until it is worth looking again."""
        while await self.fire_next():
            await self._report()
        await self._report()
        async with self._database.connect() as connection:
            now = clock.now()
            next_due = await connection.scalar(
                text("select due_at from timer where parked_at is null and due_at > :now order by due_at limit 1"), {"now": now}
            )
        return POLL_SECONDS if next_due is None else min(max((next_due - now).total_seconds(), 0.001), POLL_SECONDS)

    async def fire_next(self) -> bool:
        """Run the oldest due timer that nobody else has; False when there is none."""
        timer: Timer | None = None
        try:
            async with self._database.begin() as tx:
                # A handler locks what a request may hold while it changes this timer: give up before Postgres calls it a deadlock (1 s).
                await tx.execute(text("set local lock_timeout = '700ms'"))
                row = (await tx.execute(_CLAIM, {"now": clock.now()})).one_or_none()
                if row is None:
                    return False
                timer = Timer(row.key, row.kind, row.due_at, json.loads(row.payload))
                await self._handle(timer, row.traceparent, tx)
        except Exception as error:
            if timer is None:
                raise
            await self._failed(timer, error)
        else:
            telemetry.TIMERS_FIRED.labels(timer.kind, "done").inc()
        return True

    async def _handle(self, timer: Timer, parent: str | None, tx: AsyncConnection) -> None:
        handler = self._handlers.get(timer.kind)
        if handler is None:
            raise UnknownTimerKind(timer.kind)
        with (
            telemetry.bound(timer=timer.key),
            telemetry.tracer.start_as_current_span(f"timer {timer.kind}", context=telemetry.context_from(parent)),
        ):
            limit = asyncio.timeout(HANDLER_SECONDS)
            try:
                async with limit:
                    await handler(timer, tx)
            except TimeoutError as late:
                if limit.expired():
                    raise HandlerTooSlow(f"timer {timer.kind}: over {HANDLER_SECONDS:g} s") from late
                raise

    async def _failed(self, timer: Timer, error: Exception) -> None:
        ours = isinstance(error, (HandlerTooSlow, UnknownTimerKind))
        away = not ours and (is_infrastructure(error) or (isinstance(error, Refused) and error.retryable))
        hopeless = isinstance(error, UnknownTimerKind)
        text_of_error = telemetry.hide_private(f"{getattr(error, 'code', type(error).__name__)}: {error}")[:2000]
        values = {"key": timer.key, "due_at": timer.due_at, "error": text_of_error, "patience": self._patience}
        async with self._database.begin() as tx:
            row = (await tx.execute(_FAILED, values | {"counts": 0 if away else 1, "hopeless": hopeless})).one_or_none()
        parked = row is not None and row.parked_at is not None
        telemetry.TIMERS_FIRED.labels(timer.kind, "parked" if parked else "retried").inc()
        say = log.error if parked else log.warning
        say("timer_parked" if parked else "timer_failed", timer=timer.key, kind=timer.kind, attempts=row and row.attempts, exc_info=error)

    async def _report(self) -> None:
        """Beat every minute, count timers every quarter of one."""
        now = time.monotonic()
        if now - self._beaten >= BEAT_SECONDS:
            await beat(self._database, "timers")
            self._beaten = now
        if now - self._measured >= BEAT_SECONDS / 4:
            async with self._database.connect() as connection:
                states = (await connection.execute(_STATES, {"now": clock.now(), "late": clock.now() - timedelta(minutes=1)})).one()
            for state in ("waiting", "overdue", "parked"):
                telemetry.TIMERS.labels(state).set(getattr(states, state))
            self._measured = now


class UnknownTimerKind(LookupError):
    """A timer that no handler of this release takes; it is parked at once, and released once a handler is there."""

    code = "unknown_timer_kind"


class HandlerTooSlow(RuntimeError):
    """A handler held the timers of its service for longer than it may."""

    code = "handler_too_slow"

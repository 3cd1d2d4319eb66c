"""Publishes the outbox: one leader per service, order kept per aggregate, thousands in flight, nothing given up without a broker.

A row is unpublished, in flight, acknowledged, then marked. A lost mark is a duplicate that its id removes. The stream is a cache of the
outbox: when it was recreated, lost its tail or was purged, what it lacks is published again with the same ids.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.errors import Error as JetStreamError
from pydantic_core import from_json

from shared import faults, outbox, refill, telemetry
from shared.bus import Bus, frame
from shared.database import Database, is_infrastructure

log = telemetry.log

PAGE = 1000  # rows read at a time
AT_ONCE = 4000  # rows in flight at most
POLL_SECONDS = 1.0  # also the ping that keeps the leader's session alive
LEASE = "3s"  # a leader whose process is frozen loses its lock after this: measured, a successor publishes after 2.6 s
ACK_SECONDS = 5.0  # then it is published again, with the same id
CHECK_SECONDS = 5.0
BACKOFF_SECONDS = 0.5

if TYPE_CHECKING:
    Leader = asyncpg.Connection[asyncpg.Record]


@dataclass(slots=True)
class Row:
    id: int
    frame: bytes
    sent_at: float | None = None
    """Monotonic seconds of the last try; None while it waits for the version before it."""
    follower: Row | None = None
    """The next version of the same aggregate."""


class NotLeading(Exception):
    """Another process publishes for this service, or our session is gone."""


class Relay:
    """Publishes one service's outbox to its stream while it holds the service's relay lock; otherwise waits for it."""

    def __init__(self, database: Database, bus: Bus, stream: str) -> None:
        self._database, self._bus, self._stream = database, bus, stream
        self._wake = asyncio.Event()
        self._unread = True
        self._leading = False
        self._inbox = ""
        self._forget()
        database.after_commit.append(self.wake)
        bus.on_reconnect.append(self._after_reconnect)

    @property
    def leading(self) -> bool:
        return self._leading

    def wake(self) -> None:
        """Something was committed."""
        self._unread = True
        self._wake.set()

    async def run(self) -> None:
        """For ever: take the lead when it is free, publish while it lasts."""
        while True:
            try:
                await self._lead()
            except NotLeading:
                pass
            except Exception as error:
                if not (is_infrastructure(error) or isinstance(error, (NatsError, JetStreamError))):
                    log.exception("relay_failed", stream=self._stream)
            finally:
                self._leading = False
                telemetry.RELAY_LEADER.set(0)
            await asyncio.sleep(BACKOFF_SECONDS)

    async def finish(self, within: float) -> None:
        """Publish what is committed, for at most `within` seconds; what is left, the next leader publishes."""
        until = time.monotonic() + within
        self.wake()
        while self._leading and time.monotonic() < until:
            self.wake()
            await asyncio.sleep(0.02)
            if not self._rows and not self._acked and await self._unpublished() == 0:
                return

    async def _unpublished(self) -> int:
        async with self._database.connect() as connection:
            return (
                await connection.exec_driver_sql("select count(*) from outbox where published_at is null and parked_at is null")
            ).scalar_one()

    # --- leading -----------------------------------------------------------------------------------------------------------------

    async def _lead(self) -> None:
        connections: list[Leader] = []
        subscriptions: list[Subscription] = []
        try:
            connections.append(leader := await self._database.raw_connection(idle_session_timeout=LEASE, statement_timeout="60s"))
            if not await leader.fetchval("select pg_try_advisory_lock(hashtext('labo.relay'), hashtext(current_schema()))"):
                if self._wake.is_set():  # this replica committed something: tell the leader, at most once per round
                    self._wake.clear()
                    await self._bus.client.publish(f"relay.{self._bus.service}.wake")
                raise NotLeading
            # Marks have a connection of their own, since reading and marking take Postgres as long as publishing takes us. They need
            # no fsync: a lost mark is a duplicate that its id removes.
            connections.append(marker := await self._database.raw_connection(statement_timeout="60s", synchronous_commit="off"))
            self._forget()
            self._inbox = self._bus.client.new_inbox()
            subscriptions.append(await self._bus.client.subscribe(f"{self._inbox}.*", cb=self._acknowledged))
            subscriptions.append(await self._bus.client.subscribe(f"relay.{self._bus.service}.wake", cb=self._woken))
            self._leading = True
            telemetry.RELAY_LEADER.set(1)
            log.info("relay_leads", stream=self._stream)
            faults.point("relay.leads")
            await self._publish_for_ever(leader, marker)
        finally:
            for connection in connections:
                connection.terminate()
            if self._marking is not None:
                self._marking.cancel()
                await asyncio.gather(self._marking, return_exceptions=True)
            for subscription in subscriptions:
                with suppress(NatsError):
                    await subscription.unsubscribe()

    def _forget(self) -> None:
        """Start from the database's word: nothing is in flight, nothing read."""
        self._rows: dict[int, Row] = {}  # in flight, or behind one that is
        self._acked: dict[int, int] = {}  # id → stream sequence, not yet marked
        self._marked: set[int] = set()  # since the last read began, which may still show them unpublished
        self._marking: asyncio.Task[None] | None = None
        self._cursor = 0
        self._read_at = 0.0
        self._checked_at = 0.0
        self._highest = 0
        self._first = 1
        self._doubtful = False
        self._stalled_until = 0.0
        self._swept_at = 0.0
        self._refused: dict[int, str] = {}

    async def _publish_for_ever(self, leader: Leader, marker: Leader) -> None:
        while True:
            if self._doubtful or time.monotonic() - self._checked_at > CHECK_SECONDS:
                await self._check_stream(leader, marker)
            if time.monotonic() - self._read_at > POLL_SECONDS:
                self._unread = True
            if self._unread and self._ready():
                await self._read_page(leader)
            await self._settle_behind(marker)
            await self._send_late_ones()
            if not (self._unread and self._ready()):
                await self._pause()

    def _ready(self) -> bool:
        return (
            time.monotonic() >= self._stalled_until and len(self._rows) < AT_ONCE and self._bus.client.is_connected and not self._doubtful
        )

    async def _pause(self) -> None:
        faults.point("relay.waits")
        if self._marking is not None or not self._acked:
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):  # wait_for swallows a cancellation that comes with the wake (Python < 3.12)
                    await self._wake.wait()
        self._wake.clear()

    async def _read_page(self, leader: Leader) -> None:
        """Take up the next rows. At the end it starts again from the lowest, once there is news: ids commit out of order."""
        self._marked.clear()
        self._unread, self._read_at = False, time.monotonic()
        found = await leader.fetch(outbox.READ, self._cursor, PAGE)
        if len(found) == PAGE:
            self._unread, self._cursor = True, found[-1]["id"]
        else:
            self._cursor = 0
        await self._send([row for record in found if (row := self._taken_up(record))])

    def _taken_up(self, record: asyncpg.Record) -> Row | None:
        """The row if it may go now; None when it is under way, or must wait for the version before it."""
        row_id, before = record["id"], record["waits_for"]
        if row_id in self._rows or row_id in self._acked or row_id in self._marked:
            return None
        if before is not None and before not in self._rows and before not in self._acked and before not in self._marked:
            return None  # the version before is parked, or not read yet; the next round meets this row again
        headers: dict[str, str] = from_json(record["headers"])
        headers["Nats-Expected-Stream"] = self._stream
        row = self._rows[row_id] = Row(row_id, frame(record["subject"], f"{self._inbox}.{row_id}", headers, record["payload"]))
        if before in self._rows:
            self._rows[before].follower = row
            return None
        return row

    async def _send(self, rows: Sequence[Row]) -> None:
        if not rows:
            return
        now = time.monotonic()
        for row in rows:
            faults.point("relay.before_publish")
            row.sent_at = now
        try:
            await self._bus.send_frames([row.frame for row in rows])
        except NatsError:  # disconnected: sent again after the reconnection
            self._stalled_until = time.monotonic() + BACKOFF_SECONDS

    async def _send_late_ones(self) -> None:
        """What was sent and never acknowledged goes again."""
        now = time.monotonic()
        if not self._bus.client.is_connected or now < max(self._stalled_until, self._swept_at + 0.2):
            return
        self._swept_at = now
        await self._send([row for row in self._rows.values() if row.sent_at is not None and now - row.sent_at > ACK_SECONDS])

    async def _after_reconnect(self) -> None:
        for row in self._rows.values():
            if row.sent_at is not None:
                row.sent_at = 0.0
        self._doubtful = True
        self.wake()

    async def _woken(self, _: Msg) -> None:
        self.wake()

    # --- answers of the stream -----------------------------------------------------------------------------------------------------

    async def _acknowledged(self, answer: Msg) -> None:
        faults.point("relay.after_publish")
        row = self._rows.get(int(answer.subject.rpartition(".")[2]))
        if row is None:
            return
        if not answer.data:  # 503, no responder: JetStream or the stream is away
            self._retry_later(row, doubtful=True)
            return
        said: dict[str, Any] = from_json(answer.data)
        if problem := said.get("error"):
            self._refuse(row, problem)
            return
        sequence = int(said["seq"])
        if said.get("duplicate"):
            if sequence < self._first:  # a purged stream still knows the id: it stores it again once its window has passed
                self._retry_later(row, seconds=30.0)
                return
        elif sequence <= self._highest:
            self._doubtful = True  # the stream counts from a lower number than before: it was recreated, or lost its tail
        else:
            self._highest = sequence
        await self._done(row, sequence)

    async def _done(self, row: Row, sequence: int) -> None:
        del self._rows[row.id]
        self._acked[row.id] = sequence
        if row.follower is not None:
            await self._send([row.follower])
        self._wake.set()

    def _retry_later(self, row: Row, *, seconds: float = BACKOFF_SECONDS, doubtful: bool = False) -> None:
        row.sent_at = time.monotonic() - ACK_SECONDS + seconds
        if doubtful:
            self._stalled_until = time.monotonic() + BACKOFF_SECONDS
            self._checked_at = 0.0

    def _refuse(self, row: Row, problem: dict[str, Any]) -> None:
        """A full stream or an overloaded server is weather; only a refusal of the message itself parks its aggregate."""
        code = int(problem.get("code", 500))
        if code == 400:
            self._refused[row.id] = f"{problem.get('err_code')}: {problem.get('description')}"
        else:
            log.warning("stream_says_later", stream=self._stream, code=code, reason=problem.get("description"))
            self._retry_later(row, seconds=1.0)

    async def _settle_behind(self, marker: Leader) -> None:
        """Have the acknowledgements written while the next rows are read."""
        if self._marking is not None and self._marking.done():
            marking, self._marking = self._marking, None
            await marking  # raises what it raised
        if self._marking is None and (self._acked or self._refused):
            self._marking = asyncio.create_task(self._settle(marker))
            self._marking.add_done_callback(lambda _: self._wake.set())

    async def _settle(self, marker: Leader) -> None:
        """Write behind the acknowledgements: marks, and parked rows."""
        if self._acked:
            acked = dict(self._acked)
            faults.point("relay.before_mark")
            await marker.execute(outbox.MARK, list(acked), list(acked.values()))
            telemetry.PUBLISHED.inc(len(acked))
            faults.point("relay.after_mark")
            self._marked.update(acked)
            for row_id in acked:
                del self._acked[row_id]
        for row_id, reason in list(self._refused.items()):
            await marker.execute(outbox.PARK, row_id, reason)
            log.error("event_parked", stream=self._stream, outbox_id=row_id, reason=reason)
            del self._refused[row_id]
            waiting = self._rows.pop(row_id, None)
            while waiting is not None and (waiting := waiting.follower) is not None:
                self._rows.pop(waiting.id, None)

    # --- the stream is a cache -----------------------------------------------------------------------------------------------------

    async def _check_stream(self, leader: Leader, marker: Leader) -> None:
        """Compare the stream with the outbox and publish again what it lacks."""
        self._checked_at = time.monotonic()
        await refill.report(leader)
        if self._marking is not None:
            marking, self._marking = self._marking, None
            await marking
        await self._settle(marker)  # before the stream speaks: what is marked is then at or below its last sequence
        try:
            info = await self._bus.client.jetstream(timeout=2).stream_info(self._stream)
        except (NatsError, JetStreamError, TimeoutError):
            self._stalled_until = time.monotonic() + BACKOFF_SECONDS
            self._checked_at = 0.0
            await leader.fetchval("select 1")
            await asyncio.sleep(BACKOFF_SECONDS)
            return
        self._first = refill.first_kept(info)
        again = await refill.mark_missing(leader, self._stream, info)
        if again or self._doubtful or not self._highest:
            self._forget_flight()
            self._highest = info.state.last_seq
        self._doubtful = False

    def _forget_flight(self) -> None:
        """Answers to what was sent before no longer count."""
        self._rows.clear()
        self._acked.clear()
        self._marked.clear()
        self._cursor = 0
        self._unread = True

"""How fast the relay empties an outbox of 50,000 events, beside publishing the same events raw, in turn and in one process.

    python -m tests.bench.drain 50000 3     prints one JSON object per repeat

Raw: frames joined by hundreds, several batches in flight, acknowledgements counted and not looked at, no database. The relay is the
services' own, with its lock, its order per aggregate, its headers and its marks.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import nats as nats_client
import uvloop
from nats.aio.client import Client
from pydantic import SecretStr

from deploy import topology
from deploy.accounts import NATS_USERS, SERVICES, configuration
from deploy.child import HOST
from deploy.embedded import ADMIN_ROLE, NatsServer, PostgresServer
from deploy.migrate import run
from shared.bus import Bus
from shared.contracts.booking import BookingConfirmed, BookingState
from shared.contracts.messages import Envelope
from shared.database import Database
from shared.outbox import uuid7
from shared.relay import Relay
from shared.settings import Settings
from tests.bench.house import empty_folder

PASSWORDS = {name: f"password-of-{name}" for name in (*NATS_USERS, ADMIN_ROLE)}
STREAM = "EVT_BOOKING"
FRAMES, IN_FLIGHT = 500, 4
INSERT = """
insert into booking.outbox (event_id, aggregate_type, aggregate_id, aggregate_version, subject, headers, payload, occurred_at)
select event_id, 'booking', aggregate_id, 1, subject, headers::jsonb, convert_to(payload, 'UTF8'), clock_timestamp()
from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[]) as new(event_id, aggregate_id, subject, headers, payload)
"""

Event = tuple[UUID, UUID, str, dict[str, str], str]


def events(number: int) -> list[Event]:
    """Bookings as the service records them: event id, aggregate, subject, headers, payload."""
    now = datetime.now(UTC)
    made: list[Event] = []
    for sequence in range(1, number + 1):
        fact = BookingConfirmed(
            version=1, booking_id=uuid7(), session_id=uuid7(), agent_id=uuid7(), state=BookingState.CONFIRMED,
            session_sequence=sequence, decided_at=now,
        )  # fmt: skip
        trace = f"00-{sequence:032x}-{sequence:016x}-00"
        envelope = Envelope.of(fact, event_id=uuid7(), time=now, actor=str(fact.agent_id), traceparent=trace)
        made.append((envelope.id, fact.booking_id, f"{fact.subject}.{fact.booking_id}", envelope.headers(), fact.model_dump_json()))
    return made


async def publish_raw(client: Client, made: list[Event]) -> float:
    """Seconds until the last acknowledgement."""
    inbox = client.new_inbox()
    acknowledged = 0
    arrived = asyncio.Event()

    async def answered(_: Any) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged % FRAMES == 0 or acknowledged == len(made):
            arrived.set()

    subscription = await client.subscribe(inbox, cb=answered)
    began = time.perf_counter()
    sent = 0
    for start in range(0, len(made), FRAMES):
        frames: list[bytes] = []
        for _, _, subject, headers, payload in made[start : start + FRAMES]:
            block = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
            head, body = f"NATS/1.0\r\n{block}\r\n".encode(), payload.encode()
            frames.append(
                b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject.encode(), inbox.encode(), len(head), len(head) + len(body), head, body)
            )
        await client._send_command(b"".join(frames))
        await client._flush_pending()
        sent += len(frames)
        while sent - acknowledged > FRAMES * IN_FLIGHT:
            arrived.clear()
            await arrived.wait()
    while acknowledged < len(made):
        arrived.clear()
        await arrived.wait()
    took = time.perf_counter() - began
    await subscription.unsubscribe()
    return took


class Site:
    """Servers of their own, with the project's tables, streams, users and rights."""

    def __init__(self, folder: Path) -> None:
        plan = topology.Topology.read("embedded")
        self.plan = plan
        self.postgres = PostgresServer(folder / "postgres", password=PASSWORDS[ADMIN_ROLE])
        self.nats = NatsServer(folder / "nats", accounts=configuration(plan, PASSWORDS))

    def settings(self, account: str) -> Settings:
        return Settings(
            service=account, environment="embedded", nats_url=self.nats.url, postgres_host=HOST, postgres_port=self.postgres.port,
            nats_password=SecretStr(PASSWORDS[account]), postgres_password=SecretStr(PASSWORDS[account]),
        )  # fmt: skip

    async def start(self) -> None:
        await asyncio.gather(asyncio.to_thread(self.postgres.start), asyncio.to_thread(self.nats.start))
        await run(self.settings(ADMIN_ROLE), {role: PASSWORDS[role] for role in SERVICES})
        self.admin_nats = await self._client("topology")
        await topology.apply(self.admin_nats, self.plan)
        self.client = await self._client("booking")
        self.admin = await asyncpg.connect(
            host=HOST, port=self.postgres.port, user=ADMIN_ROLE, password=PASSWORDS[ADMIN_ROLE], database="labo"
        )

    async def _client(self, user: str) -> Client:
        return await nats_client.connect(
            self.nats.url, user=user, password=PASSWORDS[user], inbox_prefix=f"_INBOX_{user}".encode(), flush_timeout=60
        )

    async def close(self) -> None:
        await self.client.close()
        await self.admin_nats.close()
        await self.admin.close()

    def stop(self) -> None:
        self.postgres.stop()
        self.nats.stop()

    async def empty(self) -> None:
        await self.admin.execute("truncate booking.outbox, booking.stream_identity")
        await self.admin_nats.jetstream().purge_stream(STREAM)
        await self.admin.execute("checkpoint")

    async def drain(self, made: list[Event]) -> float:
        """Seconds from the lead of the relay until the last mark."""
        for start in range(0, len(made), 5000):
            part = [
                (event_id, life, subject, json.dumps(headers), payload)
                for event_id, life, subject, headers, payload in made[start : start + 5000]
            ]
            await self.admin.execute(INSERT, *map(list, zip(*part, strict=True)))
        await self.admin.execute("vacuum analyze booking.outbox")
        await self.admin.execute("checkpoint")
        database, bus = Database.of(self.settings("booking")), await Bus.connect(self.settings("booking"))
        relay = Relay(database, bus, STREAM)
        began = time.perf_counter()
        running = asyncio.create_task(relay.run())
        while await self.admin.fetchval("select exists (select from booking.outbox where published_at is null)"):
            await asyncio.sleep(0.01)
        took = time.perf_counter() - began
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await bus.close()
        await database.dispose()
        info = await self.admin_nats.jetstream().stream_info(STREAM)
        assert info.state.messages == len(made), f"{info.state.messages} in the stream, {len(made)} recorded"
        return took


async def main(number: int, repeats: int) -> None:
    async with empty_folder() as folder:
        site = Site(folder)
        try:
            await site.start()
            for _ in range(repeats):
                made = events(number)
                await site.empty()
                raw = number / await publish_raw(site.client, made)
                await site.empty()
                made = events(number)
                relay = number / await site.drain(made)
                await site.empty()
                again = number / await publish_raw(site.client, events(number))
                print(json.dumps({"raw": (raw + again) / 2, "relay": relay}), flush=True)
            await site.close()
        finally:
            site.stop()


async def measure(number: int, repeats: int) -> list[dict[str, float]]:
    """From the benchmark: in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.drain", str(number), str(repeats), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, "draining failed"
    return [json.loads(line) for line in told.splitlines() if line.startswith(b"{")]


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), int(sys.argv[2])))

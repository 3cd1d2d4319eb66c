"""Light load: from the commit of a booking to the commit of its mail, beside an event published directly.

    python -m tests.bench.quiet_hour URL PASSWORD RATE SECONDS     publishes and consumes, prints one JSON object

The times of commits are PostgreSQL's own (`track_commit_timestamp`), taken before the flush to disk: the booking's flush counts, the
mail's does not. Directly published events go to the same consumer and end in a row of the same table, or end in a bare consumer.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nats as nats_client
import uvloop
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from sqlalchemy import text

from deploy.accounts import TOPOLOGY
from shared.contracts.booking import BookingConfirmed, BookingState
from shared.contracts.messages import Envelope
from shared.outbox import uuid7
from tests.bench.house import House

SINCE_COMMIT = """
select 1000 * extract(epoch from pg_xact_commit_timestamp(mail.xmin) - pg_xact_commit_timestamp(place.xmin))::float8
from booking.booking as place join notify.mail on mail.booking_id = place.booking_id
where place.booked_at > :since
"""
COMMITTED = """
select booking_id, extract(epoch from pg_xact_commit_timestamp(xmin))::float8 from notify.mail where booking_id = any(cast(:ids as uuid[]))
"""


@dataclass(frozen=True)
class Delays:
    """Milliseconds at the median, and in 99 of 100."""

    p50: float
    p99: float

    @classmethod
    def of(cls, values: list[float]) -> Delays:
        values = sorted(values)
        return cls(statistics.median(values), values[int(0.99 * len(values))])


async def from_commit(house: House, rate: float, seconds: float) -> Delays:
    """Bookings through the API at a steady rate; the mails are still there when the account is made."""
    await house.settled()
    since = await house.scalar("select max(booked_at) from booking.booking")
    await house.load(8, seconds=seconds, rate=rate)
    async with house.admin.connect() as connection:
        found = [float(each) for each in await connection.scalars(text(SINCE_COMMIT), {"since": since})]
    await house.take_mails_away()
    return Delays.of(found)


async def direct(house: House, rate: float, seconds: float) -> tuple[Delays, Delays]:
    """An acknowledged publication → its row at notify; and → a bare consumer in another process."""
    secrets, ports = house.stack.installation.secrets, house.stack.ports
    url = f"nats://127.0.0.1:{ports.nats}"
    told = [url, secrets.nats("booking"), secrets.nats(TOPOLOGY), str(rate), str(seconds)]
    listener = await _run("listen", *told)
    assert listener.stdout is not None
    await listener.stdout.readline()
    sent: dict[str, float] = json.loads((await (await _run("publish", *told)).communicate())[0])
    heard: dict[str, float] = json.loads((await listener.communicate())[0])
    house.filler -= len(sent)  # mails without a booking
    await House.until(lambda: _all_there(house, list(sent)), 30)
    async with house.admin.connect() as connection:
        rows = {str(row[0]): float(row[1]) for row in await connection.execute(text(COMMITTED), {"ids": list(sent)})}
    await house.take_mails_away()
    return Delays.of([1000 * (rows[each] - sent[each]) for each in rows]), Delays.of([1000 * (heard[each] - sent[each]) for each in heard])


async def _all_there(house: House, ids: list[str]) -> bool:
    return await house.scalar("select count(*) from notify.mail where booking_id = any(cast(:ids as uuid[]))", ids=ids) == len(ids)


async def _run(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.quiet_hour", *arguments, stdout=asyncio.subprocess.PIPE)


async def _connect(url: str, user: str, password: str) -> Any:
    return await nats_client.connect(url, user=user, password=password, inbox_prefix=f"_INBOX_{user}".encode())


async def publish(url: str, booking: str, topology: str, rate: str, seconds: str) -> None:
    client = await _connect(url, "booking", booking)
    stream = client.jetstream()
    sent: dict[str, float] = {}
    due = time.time()
    for _ in range(int(float(rate) * float(seconds))):
        due += 1 / float(rate)
        await asyncio.sleep(max(0.0, due - time.time()))
        fact = BookingConfirmed(
            version=1, booking_id=uuid7(), session_id=uuid7(), agent_id=uuid7(), state=BookingState.CONFIRMED, session_sequence=1,
            decided_at=datetime.now(UTC),
        )  # fmt: skip
        envelope = Envelope.of(fact, event_id=uuid7(), time=datetime.now(UTC), actor=str(fact.agent_id))
        body = fact.model_dump_json().encode()
        sent[str(fact.booking_id)] = time.time()
        await stream.publish(f"{fact.subject}.{fact.booking_id}", body, headers=envelope.headers())
    await client.close()
    print(json.dumps(sent))


async def listen(url: str, _: str, topology: str, rate: str, seconds: str) -> None:
    """A consumer of the kernel's kind that does nothing with what it fetches."""
    client = await _connect(url, TOPOLOGY, topology)
    stream = client.jetstream()
    wish = ConsumerConfig(deliver_policy=DeliverPolicy.NEW, ack_policy=AckPolicy.NONE, inactive_threshold=60.0)
    subscription = await stream.pull_subscribe(f"{BookingConfirmed.subject}.*", stream=BookingConfirmed.stream(), config=wish)
    print("ready", flush=True)
    heard: dict[str, float] = {}
    until, wanted = time.time() + float(seconds) + 10, int(float(rate) * float(seconds))
    while len(heard) < wanted and time.time() < until:
        try:
            messages = await subscription.fetch(500, timeout=1)
        except NatsTimeout:
            continue
        now = time.time()
        for message in messages:
            heard[message.subject.rpartition(".")[2]] = now
    await client.close()
    print(json.dumps(heard))


if __name__ == "__main__":
    uvloop.run({"publish": publish, "listen": listen}[sys.argv[1]](*sys.argv[2:]))

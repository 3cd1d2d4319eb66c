"""F3, F4, F6: nats-server and PostgreSQL killed without a goodbye, and the wires between them and the services cut."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from tests.faults import reading
from tests.faults.load import Load
from tests.faults.stage import Stage
from tests.faults.table import Report


async def test_F3_nats_killed_under_load_loses_nothing(stage: Stage, load: Load, report: Report) -> None:
    await stage.start("booking-1", "notify-1")
    back: list[float] = []
    async with load:
        for _ in range(5):
            stage.nats.kill()
            await asyncio.to_thread(stage.nats.start)
            back.append(time.time())
            await load.flows()
            await asyncio.sleep(load.dice.uniform(0.3, 1.2))

    found = await reading.violations(stage, load.history)
    published = await reading.resumed(stage.booking, "outbox", "published_at", back)
    consumed = await reading.resumed(stage.notify, "ledger", "at", back)
    found += reading.over("publishes again", published, 2.0) + reading.over("consumes again", consumed, 3.0)
    report.fault(
        "F3 nats-server kill -9", len(back), found, f"publishes {reading.worst(published)}, consumes {reading.worst(consumed)} after"
    )


async def test_F4_postgres_killed_under_load_loses_nothing(stage: Stage, load: Load, report: Report) -> None:
    await stage.start("booking-1", "notify-1")
    recovery: list[float] = []
    back: list[float] = []
    async with load:
        for _ in range(4):
            began = time.monotonic()
            stage.postgres.kill()
            await asyncio.to_thread(stage.postgres.start)
            recovery.append(time.monotonic() - began)
            back.append(time.time())
            await load.flows()
            await asyncio.sleep(load.dice.uniform(0.3, 1.2))

    found = await reading.violations(stage, load.history)
    healthy = await reading.resumed(stage.booking, "outbox", "created_at", back)
    consumed = await reading.resumed(stage.notify, "ledger", "at", back)
    found += reading.over("commits again", healthy, 5.0) + reading.over("consumes again", consumed, 5.0)
    report.fault(
        "F4 postmaster kill -9", len(back), found,
        f"recovery {reading.worst(recovery)}, commits {reading.worst(healthy)}, consumes {reading.worst(consumed)} after",
    )  # fmt: skip


async def test_F6_short_partitions_between_services_and_nats(stage: Stage, load: Load, report: Report) -> None:
    one, other, notify = await stage.start("booking-1", "booking-2", "notify-1", wired=True)
    ends: list[float] = []
    async with load:
        for wires, kind, seconds in (
            ([one.nats, other.nats], "cut", 1.0),
            ([one.nats, notify.nats], "stall", 1.0),
            ([notify.nats], "cut", 1.0),
            ([one.nats, other.nats, notify.nats], "reset", 0.0),
            ([one.nats, notify.nats], "stall", 10.0),
        ):
            for wire in wires:
                if (done := getattr(wire, kind)()) is not None:
                    await done
            await asyncio.sleep(seconds)
            for wire in wires:
                wire.heal()
            ends.append(time.time())
            await load.flows()

    found = await reading.violations(stage, load.history)
    published = await reading.resumed(stage.booking, "outbox", "published_at", ends)
    found += reading.over("publishes again", published, 5.0)
    report.fault(
        "F6 partition service - NATS, 1 and 10 s",
        len(ends),
        found,
        f"publishes again {reading.worst(published)} after; {dict(load.history.retries)}",
    )


async def _long_partition(stage: Stage, load: Load, seconds: float) -> tuple[list[str], str]:
    booking, notify = await stage.start("booking-1", "notify-1", wired=True)
    pids = booking.pid, notify.pid
    load.patience = seconds + 30
    async with load:
        await asyncio.gather(booking.nats.cut(), notify.nats.cut())
        await asyncio.sleep(seconds)
        for wire in (booking.nats, notify.nats):
            wire.heal()
        end = time.time()
        await load.flows()

    found = await reading.violations(stage, load.history)
    assert (booking.pid, notify.pid) == pids
    (published,) = await reading.resumed(stage.booking, "outbox", "published_at", [end])
    return found + reading.over("publishes again", [published], 5.0), f"publishes again {published:.1f} s after, same processes"


async def test_F6_a_partition_longer_than_the_clients_default_patience_heals(stage: Stage, load: Load, report: Report) -> None:
    """nats-py gives up for good after 60 attempts; ours come 0.2 s apart, so that 15 s hold more of them than 150 s did of its own."""
    report.fault("F6 partition of 60 attempts and more", 2, *await _long_partition(stage, load, 15.0))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(
    not os.environ.get("LABO_SLOW"), reason="three minutes; the test above makes as many attempts in 15 s (LABO_SLOW=1 runs it)"
)
async def test_F6_a_partition_of_150_seconds_heals(stage: Stage, load: Load, report: Report) -> None:
    load.rate = 10
    report.fault("F6 partition of 150 s", 2, *await _long_partition(stage, load, 150.0))

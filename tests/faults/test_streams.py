"""F17, F18, F19: what the stream loses, who no longer listens to it, and a leader that wakes up too late."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from nats.js.errors import Error as JetStreamError

from deploy import topology
from tests.conftest import eventually
from tests.faults import notebook, reading
from tests.faults.load import Load
from tests.faults.stage import Member, Stage, stage_topology
from tests.faults.table import Report

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(member: Member) -> float:
    user, system = Path(f"/proc/{member.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


async def test_F17_a_stream_deleted_and_recreated_empty_is_refilled_from_the_outbox(stage: Stage, load: Load, report: Report) -> None:
    """I7 as well: what notify knows afterwards was told to it by the refilled stream."""
    await stage.start("booking-1", "notify-1")
    stage.background(topology.watch(stage.admin, stage_topology()))
    healed: list[float] = []
    async with load:
        for _ in range(2):
            before = await reading.number(stage.booking, "outbox where published_at is not null")
            began = time.monotonic()
            await stage.admin.jetstream().delete_stream(reading.STREAM)

            async def refilled(before: int = before) -> bool:
                with suppress(JetStreamError):  # it is missing
                    return (await stage.admin.jetstream().stream_info(reading.STREAM)).state.messages >= before
                return False

            await eventually(refilled, 60)
            healed.append(time.monotonic() - began)
            await load.flows()

    found = await reading.violations(stage, load.history, refilled=True)
    found += reading.over("refilled", healed, 15.0)
    report.fault("F17 stream deleted, recreated empty", len(healed), found, f"noticed, recreated and refilled in {reading.worst(healed)}")


async def test_F18_durables_deleted_by_hand_are_noticed_recreated_and_nothing_spins(stage: Stage, load: Load, report: Report) -> None:
    _, notify = await stage.start("booking-1", "notify-1")
    gone = (notebook.EFFECT, notebook.BATCH, "notify-bookings")
    async with load:
        for durable in gone:
            await stage.admin.jetstream().delete_consumer(reading.STREAM, durable)
        began, used = time.monotonic(), processor_seconds(notify)

        async def told() -> bool:
            answer = await notify.get("/readyz")
            problems = answer.json()["problems"] if answer else []
            assert {f"consumer {durable}" for durable in gone} <= set(problems), f"it says {problems}"
            return True

        await eventually(told, 60)
        noticed = time.monotonic() - began
        idle = (processor_seconds(notify) - used) / noticed
        began = time.monotonic()
        stage.background(topology.watch(stage.admin, stage_topology()))
        await eventually(notify.ready, 60)
        back = time.monotonic() - began

    found = await reading.violations(stage, load.history)
    found += reading.over("noticed", [noticed], 15.0) + reading.over("consumes again", [back], 15.0)
    found += [f"the loops spin: {idle:.0%} of a core"] if idle > 0.4 else []
    figures = f"noticed {noticed:.1f} s, back {back:.1f} s after; {idle:.0%} of a core meanwhile"
    report.fault("F18 durables deleted", len(gone), found, figures)


async def test_F19_a_leader_frozen_for_ten_seconds_wakes_beside_its_successor(stage: Stage, load: Load, report: Report) -> None:
    await stage.start("booking-1", "booking-2", "notify-1")
    frozen: list[float] = []
    async with load:
        for _ in range(2):
            leader = await stage.leader()
            leader.signal(signal.SIGSTOP)
            frozen.append(time.time())
            await asyncio.sleep(10.0)
            leader.signal(signal.SIGCONT)
            await load.flows()
            await eventually(leader.ready, 60)

    found = await reading.violations(stage, load.history)
    # What the frozen one had sent was acknowledged just before or after; the successor marks what was committed later than that.
    late = [moment + 0.5 for moment in frozen]
    gaps = [gap + 0.5 for gap in await reading.resumed(stage.booking, "outbox", "published_at", late)]
    found += reading.over("a successor publishes", gaps, 5.0)
    report.fault("F19 leader frozen 10 s, then awake", len(frozen), found, f"successor publishes after {reading.worst(gaps)}")

"""F27: everything at once, by a seeded schedule. A quarter of the time nothing happens, since some bugs need peace.

`LABO_FAULT_SEED=1234 python -m pytest tests/faults/test_mix.py` replays a schedule, `LABO_FAULT_SEED=random` draws one, and
`LABO_FAULT_SLOTS=60` makes it long. Without a word it is always the same one: a change is judged by what it changes.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable

import pytest

from deploy import topology
from tests.conftest import eventually
from tests.faults import notebook, reading
from tests.faults.load import Load
from tests.faults.proxy import DOWN, UP
from tests.faults.stage import Member, Stage, stage_topology
from tests.faults.table import Report

SLOTS = int(os.environ.get("LABO_FAULT_SLOTS", "9"))
SECONDS = 3.0  # of one slot; what takes longer to heal runs into the next, as it would outside

Fault = Callable[[Stage, random.Random], Awaitable[None]]
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__] = function
    return function


def schedule(seed: int, slots: int = SLOTS) -> list[str]:
    """What happens in each slot; `idle` in a quarter of them."""
    dice = random.Random(seed)
    return ["idle" if dice.random() < 0.25 else dice.choice(sorted(FAULTS)) for _ in range(slots)]


def _one(stage: Stage, dice: random.Random, service: str | None = None) -> Member:
    return dice.choice([member for _, member in sorted(stage.members.items()) if service in (None, member.service)])


@fault
async def nats_killed(stage: Stage, _: random.Random) -> None:
    stage.nats.kill()
    await asyncio.to_thread(stage.nats.start)


@fault
async def postgres_killed(stage: Stage, _: random.Random) -> None:
    stage.postgres.kill()
    await asyncio.to_thread(stage.postgres.start)


@fault
async def service_killed(stage: Stage, dice: random.Random) -> None:
    member = _one(stage, dice)
    await member.stop(signal.SIGKILL)
    await asyncio.sleep(dice.uniform(0, 1))
    await member.start()


@fault
async def service_replaced(stage: Stage, dice: random.Random) -> None:
    member = _one(stage, dice)
    await member.stop()
    await member.start()


@fault
async def service_frozen(stage: Stage, dice: random.Random) -> None:
    member = _one(stage, dice)
    member.signal(signal.SIGSTOP)
    await asyncio.sleep(dice.uniform(1, 5))
    member.signal(signal.SIGCONT)


@fault
async def nats_wire_cut(stage: Stage, dice: random.Random) -> None:
    wire = _one(stage, dice).nats
    await wire.cut()
    await asyncio.sleep(dice.uniform(0.5, 2))
    wire.heal()


@fault
async def nats_wire_stalled(stage: Stage, dice: random.Random) -> None:
    wire = _one(stage, dice).nats
    wire.stall()
    await asyncio.sleep(dice.uniform(0.5, 3))
    wire.heal()


@fault
async def acknowledgements_lost(stage: Stage, dice: random.Random) -> None:
    """F8: publications arrive, their acks do not."""
    wire = _one(stage, dice, "booking").nats
    wire.half_open(DOWN)
    await asyncio.sleep(dice.uniform(0.5, 2))
    await wire.reset()
    wire.heal()


@fault
async def answers_lost(stage: Stage, dice: random.Random) -> None:
    wire = _one(stage, dice, "booking").nats
    wire.half_open(UP)
    await asyncio.sleep(dice.uniform(0.5, 2))
    await wire.reset()
    wire.heal()


@fault
async def postgres_wire_stalled(stage: Stage, dice: random.Random) -> None:
    wire = _one(stage, dice).postgres
    wire.stall()
    await asyncio.sleep(dice.uniform(0.5, 3))
    wire.heal()


@fault
async def postgres_wire_reset(stage: Stage, dice: random.Random) -> None:
    await _one(stage, dice).postgres.reset()


@fault
async def bytes_late_and_in_slices(stage: Stage, dice: random.Random) -> None:
    wire = _one(stage, dice).nats
    wire.slice(7)
    await asyncio.sleep(0.5)
    wire.delay(0.02)
    await asyncio.sleep(1)
    wire.heal()


@fault
async def stream_deleted(stage: Stage, _: random.Random) -> None:
    await stage.admin.jetstream().delete_stream(reading.STREAM)


@fault
async def durable_deleted(stage: Stage, dice: random.Random) -> None:
    await stage.admin.jetstream().delete_consumer(reading.STREAM, dice.choice([*notebook.DURABLES, "notify-bookings"]))


async def _strike(stage: Stage, name: str, dice: random.Random) -> None:
    try:
        await FAULTS[name](stage, dice)
    except Exception as missed:  # its victim was down already
        print(f"{name} missed: {type(missed).__name__}: {missed}")


def test_a_seed_replays_its_schedule_and_idles_a_quarter_of_the_time() -> None:
    assert schedule(7, 40) == schedule(7, 40) != schedule(8, 40)
    long = schedule(1, 2000)
    assert set(long) == {"idle", *FAULTS}
    assert 0.2 < long.count("idle") / len(long) < 0.3


@pytest.mark.timeout(300 + SLOTS * 6)
async def test_F27_a_seeded_mix_of_faults_breaks_no_promise(stage: Stage, load: Load, report: Report) -> None:
    asked = os.environ.get("LABO_FAULT_SEED", "65")
    seed = random.SystemRandom().randrange(1_000_000) if asked == "random" else int(asked)
    planned, dice = schedule(seed), random.Random(seed)
    print(f"LABO_FAULT_SEED={seed}: {', '.join(planned)}")
    await stage.start("booking-1", "booking-2", "notify-1", wired=True)
    stage.background(topology.watch(stage.admin, stage_topology()))
    load.seed = seed
    async with load:
        for name in planned:
            slot = asyncio.create_task(asyncio.sleep(SECONDS))
            if name != "idle":
                await _strike(stage, name, dice)
            await slot
        for member in stage.members.values():
            await eventually(member.ready, 60)
        await load.flows()

    found = await reading.violations(stage, load.history, 60, refilled="stream_deleted" in planned)
    struck = [name for name in planned if name != "idle"]
    retried = sum(load.history.retries.values())
    report.fault(
        f"F27 mix, seed {seed}", len(struck), found, f"{len(load.history.attempted)} orders, {retried} retries: {', '.join(struck)}"
    )

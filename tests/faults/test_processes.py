"""F1, F2, F20: service processes that die at the worst moments, and that are replaced while agents book."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shared import faults
from tests.conftest import eventually
from tests.faults import reading
from tests.faults.load import Load
from tests.faults.stage import ACK_WAIT, Member, Stage
from tests.faults.table import Report


@dataclass(frozen=True)
class Death:
    fault: str
    at: float
    others_ready: bool


async def die_in_turn(places: Sequence[Member], wanted: list[str]) -> list[Death]:
    """Each place takes the next fault when its process has died, until none is left; then it gets a process without."""
    deaths: list[Death] = []

    async def keep(member: Member) -> None:
        while wanted:
            fault = wanted.pop(0)
            await member.start(fault=fault)
            code = await member.wait(within=60)
            assert code == faults.KILLED, f"{member.name} was to die at {fault} and ended with {code}"
            at = time.time()
            others = [await other.ready() for other in places if other is not member and other.alive]
            deaths.append(Death(fault, at, any(others)))
        await member.start()
        await eventually(member.ready, 60)

    await asyncio.gather(*(keep(member) for member in places))
    return deaths


async def test_F1_services_killed_in_a_handler_before_and_after_their_commit(stage: Stage, load: Load, report: Report) -> None:
    commands = ["command.mid_handler:10", "command.before_commit:10", "command.after_commit:10"] * 3
    consumers = ["consumer.before_commit:40", "consumer.after_commit:40"] * 3
    places = {name: [await stage.member(name, number) for number in (1, 2)] for name in ("booking", "notify")}
    dying = [
        asyncio.create_task(die_in_turn(places["booking"], list(commands))),
        asyncio.create_task(die_in_turn(places["notify"], list(consumers))),
    ]
    async with load:
        deaths = [death for each in await asyncio.gather(*dying) for death in each]

    found = await reading.violations(stage, load.history)
    travelled = await reading.journeys(stage)
    # An event can be in the hands of several that die, one after the other: each of them may cost it one wait.
    waits = [(done - began) / max(1, sum(began < death.at < done for death in deaths)) for began, done in travelled]
    delay = max(done - began for began, done in travelled)
    found += reading.over("redelivery, for each death on the way", waits, ACK_WAIT + 5)
    doubt = await reading.uncertain(stage)
    report.fault(
        "F1 service killed around its commit", len(deaths), found,
        f"longest redelivery {delay:.1f} s (ack_wait {ACK_WAIT} s); {doubt} mails uncertain; {dict(load.history.retries)}",
    )  # fmt: skip


async def test_F2_the_relay_killed_at_each_of_its_points_is_succeeded(stage: Stage, load: Load, report: Report) -> None:
    patient = ["before_publish:90", "leads:1", "after_publish:90", "before_mark:60", "after_mark:60", "waits:60"]
    hasty = ["before_publish:7", "leads:1", "after_publish:7", "before_mark:3", "after_mark:3", "waits:5"]
    await stage.start("notify-1")
    places = [await stage.member("booking", number) for number in (1, 2)]
    dying = asyncio.create_task(die_in_turn(places, [f"relay.{point}" for point in patient + hasty]))
    async with load:
        deaths = await dying

    found = await reading.violations(stage, load.history)
    gaps = await reading.resumed(stage.booking, "outbox", "published_at", [death.at for death in deaths if death.others_ready])
    found += reading.over("a successor publishes", gaps, 5.0)
    report.fault(
        "F2 relay killed at 6 points",
        len(deaths),
        found,
        f"successor publishes after {reading.worst(gaps)} at worst ({len(gaps)} measured)",
    )


async def test_F20_a_rolling_restart_loses_no_request(stage: Stage, load: Load, report: Report) -> None:
    members = await stage.start("booking-1", "booking-2", "notify-1")
    codes: list[int] = []
    async with load:
        for member in [*members, *members[:2]]:
            codes.append(await member.stop())
            await member.start()
            await eventually(member.ready, 60)

    found = await reading.violations(stage, load.history)
    found += [f"a process ended with {code}" for code in codes if code]
    found += [f"I9 {times} answers {code} during a restart" for code, times in load.history.retries.items() if code == "deadline_exceeded"]
    report.fault(
        "F20 rolling restart under load", len(codes), found, f"{len(load.history.attempted)} orders, retries {dict(load.history.retries)}"
    )

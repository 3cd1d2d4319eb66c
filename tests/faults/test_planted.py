"""Test the tests: each planted bug is caught, by the check that is there for it, and the score is printed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
from nats.aio.client import Client
from sqlalchemy import text

from deploy import topology
from shared import faults
from shared.outbox import uuid7
from tests.conftest import eventually
from tests.faults import planted, reading
from tests.faults.load import Load
from tests.faults.proxy import UP
from tests.faults.stage import Stage, stage_topology
from tests.faults.table import Report
from tests.faults.test_delivery import Sent, effects, nothing_waits, projections, send
from tests.kernel.facts import confirmed

WITHIN = 12.0


@dataclass
class Plot:
    """What a fault needs to happen to a system with a bug in it."""

    stage: Stage
    load: Load
    bug: str
    """None is planted when it is empty."""
    producer: Client

    async def verdict(self) -> list[str]:
        return await reading.violations(self.stage, self.load.history, WITHIN)


async def delivered_twice_at_once(plot: Plot) -> list[str]:
    """F9."""
    await plot.stage.start("notify-1", "notify-2", bug=plot.bug)
    events = [Sent(confirmed(), uuid7()) for _ in range(150)]
    await send(plot.producer, [each for each in events for _ in range(4)], at_once=200)
    with suppress(AssertionError):
        await eventually(lambda: nothing_waits(plot.stage), WITHIN)
    return [*await effects(plot.stage, events), *await projections(plot.stage, events)]


async def consumer_killed(plot: Plot) -> list[str]:
    """F1."""
    notify = await plot.stage.member("notify")
    await plot.stage.start("booking-1")
    await notify.start(bug=plot.bug, fault="consumer.before_commit:25")
    async with plot.load:
        assert await notify.wait(60) == faults.KILLED
        await notify.start(bug=plot.bug)
        await eventually(notify.ready, 60)
    return await plot.verdict()


async def command_killed(plot: Plot, point: str) -> list[str]:
    """F1."""
    await plot.stage.start("notify-1")
    booking = await plot.stage.member("booking")
    await booking.start(bug=plot.bug, fault=f"{point}:20")
    plot.load.rate = 30
    async with plot.load:
        for following in (f"{point}:9", f"{point}:9", None):  # a commit that held only a key asked for again shows nothing
            assert await booking.wait(60) == faults.KILLED
            await booking.start(bug=plot.bug, fault=following)
        await eventually(booking.ready, 60)
    return await plot.verdict()


async def postgres_killed(plot: Plot) -> list[str]:
    """F4."""
    await plot.stage.start("booking-1")
    await plot.stage.start("notify-1", bug=plot.bug)
    plot.load.rate = 30
    async with plot.load:
        for _ in range(2):
            plot.stage.postgres.kill()
            await asyncio.sleep(0.5)
            await asyncio.to_thread(plot.stage.postgres.start)
            await plot.load.flows()
    return await plot.verdict()


async def publications_lost_on_the_way(plot: Plot) -> list[str]:
    """F6."""
    await plot.stage.start("notify-1")
    (booking,) = await plot.stage.start("booking-1", bug=plot.bug, wired=True)
    async with plot.load:
        booking.nats.half_open(UP)
        await asyncio.sleep(1.0)
        await booking.nats.reset()
        booking.nats.heal()
        await plot.load.flows()
    return await plot.verdict()


async def wires_cut(plot: Plot) -> list[str]:
    """F6."""
    await plot.stage.start("notify-1")
    (booking,) = await plot.stage.start("booking-1", bug=plot.bug, wired=True)
    plot.load.patience = 8
    async with plot.load:
        await booking.nats.cut()
        await asyncio.sleep(4.0)
        booking.nats.heal()
    return await plot.verdict()


async def stream_away(plot: Plot) -> list[str]:
    """F17."""
    await plot.stage.start("notify-1")
    await plot.stage.start("booking-1", bug=plot.bug)
    plot.load.rate = 30
    async with plot.load:
        await plot.stage.admin.jetstream().delete_stream(reading.STREAM)
        await asyncio.sleep(4.0)
        await topology.apply(plot.stage.admin, stage_topology())
        await plot.load.flows()
    return await plot.verdict()


async def backlog_of_a_vacant_lead(plot: Plot) -> list[str]:
    """F2: nobody publishes for a while, then somebody does."""
    await plot.stage.start("notify-1")
    async with plot.stage.booking.connect() as vacancy:
        await vacancy.execute(text("select pg_advisory_lock(hashtext('labo.relay'), hashtext(current_schema()))"))
        await vacancy.commit()  # the lock is the session's: a slow start outlasts what a transaction may be idle for
        await plot.stage.start("booking-1", bug=plot.bug)
        plot.load.rate = 30
        async with plot.load:
            await asyncio.sleep(3.0)
            await vacancy.execute(text("select pg_advisory_unlock(hashtext('labo.relay'), hashtext(current_schema()))"))
            await plot.load.flows()
    return await plot.verdict()


async def killed_between_data_and_answer(plot: Plot) -> list[str]:
    """F5."""
    await plot.stage.start("booking-1")
    (notify,) = await plot.stage.start("notify-1", bug=plot.bug)
    async with plot.load:
        hangs = asyncio.Event()
        plot.stage.sink.on_message = lambda _: hangs.wait()
        known = len(plot.stage.sink.messages)
        await eventually(lambda: len(plot.stage.sink.messages) > known + 3, 30)
        await notify.stop(signal.SIGKILL)
        plot.stage.sink.on_message = None
        hangs.set()
        await notify.start(bug=plot.bug)
        await eventually(notify.ready, 60)
    return await plot.verdict()


Trigger = Callable[[Plot], Awaitable[list[str]]]
CAUGHT_BY: dict[str, tuple[Trigger, str]] = {
    "check_then_insert_inbox": (delivered_twice_at_once, "duplicated"),
    "missing_unique_key": (delivered_twice_at_once, "duplicated"),
    "version_gate_lets_the_same_version_pass": (delivered_twice_at_once, "repeated a version"),
    "acknowledged_before_commit": (consumer_killed, "missing"),
    "default_ack_policy": (postgres_killed, "missing"),
    "published_before_commit": (lambda plot: command_killed(plot, "command.before_commit"), "I2 stream"),
    "marked_as_published_before_the_ack": (publications_lost_on_the_way, "I2 stream"),
    "relay_gives_up_after_some_tries": (stream_away, "parked"),
    "relay_workers_without_order": (backlog_of_a_vacant_lead, "out of order"),
    "key_stored_outside_the_transaction": (lambda plot: command_killed(plot, "command.after_commit"), "was refused"),
    "mail_sent_again_after_sending": (killed_between_data_and_answer, "left 2 times"),
    "client_gives_up_reconnecting": (wires_cut, "I8 not healed"),
}


@pytest.mark.parametrize("bug", CAUGHT_BY)
async def test_a_planted_bug_is_caught_by_the_check_that_is_there_for_it(
    bug: str, stage: Stage, load: Load, nats_as: Callable[[str], Awaitable[Client]], report: Report
) -> None:
    trigger, expected = CAUGHT_BY[bug]

    found = await trigger(Plot(stage, load, bug, await nats_as("booking")))

    report.planted(bug, [each for each in found if expected in each] or found)
    assert any(expected in each for each in found), f"caught, but not by «{expected}»: {found}"


async def test_F5_killed_between_data_and_answer_a_mail_is_uncertain_and_left_once(
    stage: Stage, load: Load, nats_as: Callable[[str], Awaitable[Client]], report: Report
) -> None:
    found = await killed_between_data_and_answer(Plot(stage, load, "", await nats_as("booking")))

    doubted = await reading.uncertain(stage)
    found += [] if doubted else ["I4 nobody is told of the mails in doubt"]
    report.fault("F5 notify killed between DATA and answer", 1, found, f"{doubted} mails uncertain, none twice")


async def test_F2_a_backlog_is_published_in_order_when_the_lead_was_vacant(
    stage: Stage, load: Load, nats_as: Callable[[str], Awaitable[Client]], report: Report
) -> None:
    found = await backlog_of_a_vacant_lead(Plot(stage, load, "", await nats_as("booking")))

    report.fault("F2 backlog of a vacant lead", 1, found, "3 s without a leader")


def test_every_bug_that_can_be_planted_is_looked_for() -> None:
    assert set(CAUGHT_BY) == set(planted.BUGS)

"""F9, F10, F12: events that come again, come at once, come in any order, or cannot be taken at all."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import text

from shared import clock, inbox, timers
from shared.contracts.booking import BookingConfirmed
from shared.outbox import uuid7
from shared.service import REPLAY
from tests.conftest import eventually
from tests.faults import notebook, reading
from tests.faults.checker import differences
from tests.faults.stage import Stage
from tests.faults.table import Report
from tests.kernel.facts import confirmed, on_the_wire


@dataclass(frozen=True)
class Sent:
    """One delivery; the same event may be sent many times, under no id that the stream would know it by."""

    event: BookingConfirmed
    event_id: UUID


@pytest.fixture
async def producer(nats_as: Callable[[str], Awaitable[Client]]) -> Client:
    return await nats_as("booking")


async def send(producer: Client, deliveries: Sequence[Sent], at_once: int = 50) -> None:
    js = producer.jetstream()
    for start in range(0, len(deliveries), at_once):
        wires = [on_the_wire(each.event, each.event_id) for each in deliveries[start : start + at_once]]
        await asyncio.gather(*(js.publish(subject, body, headers=headers, stream=reading.STREAM) for subject, body, headers in wires))


async def nothing_waits(stage: Stage) -> bool:
    found = [each for each in await reading.waiting(stage) if "mails" not in each]  # these agents and sessions are nobody's
    assert not found, "; ".join(found)
    return True


async def effects(stage: Stage, events: Sequence[Sent]) -> list[str]:
    expected = {each.event_id for each in events}
    wrong: list[str] = []
    for durable in (notebook.EFFECT, notebook.BATCH):
        done = await reading.rows(stage.notify, f"select event_id from ledger where consumer = '{durable}'")
        wrong += differences(f"I3 effects of {durable}", expected, [row.event_id for row in done])
    return wrong


async def projections(stage: Stage, events: Sequence[Sent]) -> list[str]:
    newest: Counter[UUID] = Counter()
    for each in events:
        newest[each.event.booking_id] = max(newest[each.event.booking_id], each.event.version)
    wrong: list[str] = []
    for table in ("latest", "booking"):
        known = await reading.rows(stage.notify, f"select booking_id, version from {table}")
        wrong += differences(f"I6 notify.{table}", set(newest.items()), [tuple(row) for row in known])
    return wrong + await reading.projection_history(stage)


async def test_F9_events_delivered_one_to_five_times_also_at_once_have_one_effect(stage: Stage, producer: Client, report: Report) -> None:
    await stage.start("notify-1", "notify-2")
    dice = random.Random(9)
    events = [Sent(confirmed(), uuid7()) for _ in range(400)]
    deliveries = [each for each in events for _ in range(dice.randint(1, 5))]
    dice.shuffle(deliveries)
    twins = [each for each in events[:100] for _ in range(2)]  # side by side, for two replicas

    await send(producer, deliveries)
    await send(producer, twins)
    await eventually(lambda: nothing_waits(stage), 90)

    found = [*await effects(stage, events), *await projections(stage, events)]
    total = len(deliveries) + len(twins)
    report.fault("F9 delivered 1-5 times, at once", total, found, f"{len(events)} events, {total} deliveries, 2 replicas")


async def test_F10_reordered_deliveries_end_in_the_same_projection_and_skip_no_effect(
    stage: Stage, producer: Client, report: Report
) -> None:
    await stage.start("notify-1")
    dice = random.Random(10)
    lives = [uuid4() for _ in range(60)]
    events = [Sent(confirmed(life, version), uuid7()) for version in range(1, 9) for life in lives]
    shuffled: list[Sent] = []
    ordered = sorted(events, key=lambda each: (lives.index(each.event.booking_id) // 3, each.event.version))
    for start in range(0, len(ordered), 20):
        window = ordered[start : start + 20]
        dice.shuffle(window)
        shuffled += window

    await send(producer, shuffled, at_once=1)
    await eventually(lambda: nothing_waits(stage), 90)

    found = [*await effects(stage, events), *await projections(stage, events)]
    report.fault("F10 reordered in windows of 20", len(events), found, f"{len(lives)} bookings of 8 versions")


EACH = 12


def poison() -> list[tuple[str, str, bytes, dict[str, str]]]:
    """Kind, subject, body, headers: what nobody can read, and what the ledger's handler refuses or fails at."""
    found: list[tuple[str, str, bytes, dict[str, str]]] = []
    for _ in range(EACH):
        subject, body, headers = on_the_wire(confirmed())
        found.append(("bad JSON", subject, b"{" + body, headers))
        subject, body, headers = on_the_wire(confirmed())
        found.append(("unknown major", subject, body, headers | {"ce-type": "fr.labo.booking.booking_confirmed.v99"}))
        for kind, mark in (("refusal", notebook.REFUSAL), ("bug", notebook.BUG)):
            agent_id = UUID(mark + uuid4().hex[4:])
            found.append((kind, *on_the_wire(confirmed().model_copy(update={"agent_id": agent_id}))))
    random.Random(12).shuffle(found)
    return found


async def test_F12_poison_is_parked_beside_its_neighbours_and_replayed_after_the_fix(
    stage: Stage, producer: Client, report: Report
) -> None:
    (notify,) = await stage.start("notify-1", LABO_TESTS_POISONED="yes", LABO_TESTS_PATIENCE="1")
    neighbours: dict[UUID, float] = {}
    js = producer.jetstream()
    for _, subject, body, headers in poison():
        await js.publish(subject, body, headers=dict(headers), stream=reading.STREAM)
        good = Sent(confirmed(), uuid7())
        neighbours[good.event_id] = time.time()
        await send(producer, [good])
        await asyncio.sleep(0.05)  # a queue of our own making would delay everybody
    await eventually(lambda: nothing_waits(stage), 90)

    ledger = f"dead_letter where consumer = '{notebook.EFFECT}' and resolved_at is null"
    by_code = dict(tuple(row) for row in await reading.rows(stage.notify, f"select error_code, count(*) from {ledger} group by 1"))
    found = differences(
        "parked", {"malformed_message": 2 * EACH, "not_for_them": EACH, "handler_failed": EACH}.items(), list(by_code.items())
    )
    done = await reading.rows(
        stage.notify, f"select event_id, extract(epoch from at) as at from ledger where consumer = '{notebook.EFFECT}'"
    )
    found += differences("neighbours", neighbours, [row.event_id for row in done])
    delays = [float(row.at) - neighbours[row.event_id] for row in done]
    found += reading.over("neighbours delayed", delays, 1.0)

    await notify.stop()
    await stage.start("notify-1")  # the fix
    await _replay(stage, ledger)
    found += [f"{left} letters left" for left in [await reading.number(stage.notify, "dead_letter where resolved_at is null")] if left]
    repaired = await reading.number(stage.notify, f"ledger where consumer = '{notebook.EFFECT}'")
    found += [f"{repaired} effects after the replay"] if repaired != len(neighbours) + 2 * EACH else []
    report.fault(
        "F12 poison: JSON, major, refusal, bug", 4 * EACH, found, f"neighbours delayed {reading.worst(delays)}; all parked, all replayed"
    )


async def _replay(stage: Stage, ledger: str) -> None:
    """What `labo dead-letters replay` and `discard` do; what nobody can ever read is discarded."""
    async with stage.notify.begin() as tx:
        for row in (await tx.execute(text("select id, error_code from dead_letter where resolved_at is null"))).all():
            if row.error_code == "malformed_message":
                await inbox.resolve(tx, row.id, "discarded", "operator")
            else:
                await timers.set_timer(tx, f"replay/{row.id}", clock.now(), REPLAY, {"dead_letter_id": str(row.id)})

    async def none_left() -> bool:
        return await reading.number(stage.notify, ledger) == 0

    await eventually(none_left, 30)

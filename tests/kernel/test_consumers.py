"""Events are applied once, in any weather; what cannot be applied is parked beside its neighbours, never before them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy import topology
from shared import consumers as kernel_consumers
from shared.consumers import Consumers, Received
from shared.contracts.booking import BookingConfirmed, WaitlistJoined
from shared.errors import Refused
from shared.outbox import uuid7
from tests.conftest import TOPOLOGY, eventually
from tests.kernel.conftest import Kernel
from tests.kernel.facts import confirmed, count, on_the_wire

DURABLE, STREAM = "notify-bookings", "EVT_BOOKING"
KINDS = ("effect", "batch")


class Effects:
    """A consumer whose effect is a row of the table `heartbeat` (any table of the schema would do), with planted faults."""

    def __init__(self, kind: str) -> None:
        self.kind, self.tries, self.faults = kind, list[UUID](), dict[UUID, list[Exception]]()
        self.consumers = Consumers()
        if kind == "batch":
            self.consumers.batch(DURABLE, BookingConfirmed)(self.take_batch)
        elif kind == "newest":
            self.consumers.newest(DURABLE, BookingConfirmed)(self.take_batch)
        elif kind == "effect":
            self.consumers.effect(DURABLE, BookingConfirmed)(self.take)
        else:
            self.consumers.projection(DURABLE, BookingConfirmed)(self.take)

    async def take(self, received: Received[BookingConfirmed], tx: AsyncConnection) -> None:
        event = received.event
        self.tries.append(event.booking_id)
        if waiting := self.faults.get(event.booking_id):
            raise waiting[0] if len(waiting) == 1 and isinstance(waiting[0], Forever) else waiting.pop(0)
        name = f"{event.booking_id}:{event.version}:{len(self.tries)}"
        await tx.execute(text("insert into heartbeat values (:name, now())"), {"name": name})

    async def take_batch(self, batch: Sequence[Received[BookingConfirmed]], tx: AsyncConnection) -> None:
        for received in batch:
            await self.take(received, tx)


class Forever(RuntimeError):
    """A bug that does not go away by itself."""


class NoSuchSeat(Refused):
    code = "no_such_seat_in_a_test"


async def publish(client: Client, *facts: BookingConfirmed, event_id: UUID | None = None) -> None:
    for fact in facts:
        subject, body, headers = on_the_wire(fact, event_id)
        await client.jetstream().publish(subject, body, headers=headers, stream=STREAM)


@pytest.fixture
async def producer(nats_as: Callable[..., Any]) -> Client:
    return await nats_as("booking")


async def effects_are(database: Any, expected: int) -> bool:
    return await count(database, "heartbeat") == expected


# --- once --------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_P6_an_event_delivered_several_times_has_one_effect(kernel: Kernel, producer: Client, kind: str) -> None:
    effects = Effects(kind)
    _, database = await kernel.listen("notify", effects.consumers)
    facts = [(confirmed(), uuid7()) for _ in range(40)]

    for fact, event_id in [*facts, *reversed(facts), *facts]:
        await publish(producer, fact, event_id=event_id)
    last = confirmed()
    await publish(producer, last)

    await eventually(lambda: last.booking_id in effects.tries)
    await eventually(lambda: effects_are(database, 41))
    assert await count(database, "inbox") == 41


@pytest.mark.parametrize("kind", KINDS)
async def test_two_replicas_that_race_for_the_same_events_have_one_effect_each(kernel: Kernel, producer: Client, kind: str) -> None:
    one, other = Effects(kind), Effects(kind)
    _, database = await kernel.listen("notify", one.consumers)
    await kernel.listen("notify", other.consumers)
    facts = [(confirmed(), uuid7()) for _ in range(50)]

    for fact, event_id in [*facts, *facts, *facts]:
        await publish(producer, fact, event_id=event_id)

    await eventually(lambda: effects_are(database, 50))
    assert await count(database, "(select distinct split_part(name, ':', 1) from heartbeat) as facts") == 50


async def all_acknowledged(admin: Client) -> bool:
    info = await admin.jetstream().consumer_info(STREAM, DURABLE)
    return not info.num_ack_pending and not info.num_pending


@pytest.mark.parametrize("kind", ["projection", "newest"])
async def test_E4_a_projection_ignores_a_version_older_than_the_one_it_has(
    kernel: Kernel, producer: Client, admin_nats: Client, kind: str
) -> None:
    effects = Effects(kind)
    _, database = await kernel.listen("notify", effects.consumers)
    life = uuid4()

    await publish(producer, confirmed(life, 1))
    await eventually(lambda: effects_are(database, 1))
    await publish(producer, confirmed(life, 3))
    await eventually(lambda: effects_are(database, 2))
    await publish(producer, confirmed(life, 2), confirmed(life, 3))
    await eventually(lambda: all_acknowledged(admin_nats))
    await publish(producer, confirmed(life, 4))
    await eventually(lambda: effects_are(database, 3))

    async with database.connect() as connection:
        names = (await connection.scalars(text("select split_part(name, ':', 2) from heartbeat order by 1"))).all()
    assert names == ["1", "3", "4"]


async def test_a_projection_in_batches_takes_only_the_newest_of_each_aggregate(
    kernel: Kernel, producer: Client, admin_nats: Client
) -> None:
    effects, lives = Effects("newest"), [uuid4() for _ in range(5)]
    await publish(producer, *(confirmed(life, version) for version in (2, 3, 1) for life in lives))

    _, database = await kernel.listen("notify", effects.consumers)

    await eventually(lambda: all_acknowledged(admin_nats))
    async with database.connect() as connection:
        names = (await connection.scalars(text("select split_part(name, ':', 2) from heartbeat"))).all()
    assert set(names) == {"3"}
    assert len(names) == 5


# --- failures ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_failing_event_is_tried_again_and_its_neighbours_do_not_wait(kernel: Kernel, producer: Client, kind: str) -> None:
    effects = Effects(kind)
    _, database = await kernel.listen("notify", effects.consumers)
    bad, good = confirmed(), [confirmed() for _ in range(10)]
    effects.faults[bad.booking_id] = [RuntimeError("first"), RuntimeError("second"), RuntimeError("third")]

    await publish(producer, good[0], bad, *good[1:])

    await eventually(lambda: effects_are(database, 10))
    await eventually(lambda: effects_are(database, 11))
    assert await count(database, "dead_letter") == 0
    assert await count(database, "delivery_failure") == 0, "forgotten once it went through"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", [Forever("bug"), NoSuchSeat("no")])
async def test_what_cannot_succeed_is_parked_and_replayed_after_the_fix(
    kernel: Kernel, producer: Client, kind: str, fault: Exception
) -> None:
    effects = Effects(kind)
    _, database = await kernel.listen("notify", effects.consumers, patience=0.0)
    bad, good = confirmed(), [confirmed() for _ in range(5)]
    effects.faults[bad.booking_id] = [fault] * 3  # together with its neighbours, then alone

    await publish(producer, bad, *good)

    async def parked() -> bool:
        return await count(database, "dead_letter where resolved_at is null") == 1

    await eventually(parked)
    await eventually(lambda: effects_are(database, 5))

    effects.faults.clear()
    async with database.begin() as tx:
        letter = (await tx.execute(text("select * from dead_letter"))).one()
        await kernel_consumers.replay(effects.consumers.all, letter.id, tx)
    assert await count(database, "dead_letter where resolution = 'replayed'") == 1
    assert await effects_are(database, 6)
    async with database.begin() as tx:
        await kernel_consumers.replay(effects.consumers.all, letter.id, tx)
    assert await effects_are(database, 6), "a replay of a closed letter does nothing"


def malformed() -> list[tuple[str, bytes, dict[str, str], str]]:
    fact = confirmed()
    subject, body, headers = on_the_wire(fact)
    return [
        ("bad JSON", b"{", headers, subject),
        ("a number", b"0", headers, subject),
        ("no envelope", body, {}, subject),
        ("unknown major", body, headers | {"ce-type": "fr.labo.booking.booking_confirmed.v99"}, subject),
        ("not for this durable", *_other_type(), subject),
        ("forged source", body, headers | {"ce-source": "/labo/catalog"}, subject),
        ("another aggregate in the envelope", body, headers | {"ce-subject": str(uuid4())}, subject),
        ("another aggregate in the subject", body, headers, f"{BookingConfirmed.subject}.{uuid4()}"),
        ("sequence is no number", body, headers | {"ce-sequence": "first"}, subject),
    ]


def _other_type() -> tuple[bytes, dict[str, str]]:
    event = WaitlistJoined(**confirmed().model_dump(), rank=1)
    _, body, headers = on_the_wire(event)
    return body, headers


@pytest.mark.parametrize("kind", KINDS)
async def test_F12_malformed_events_are_parked_at_once_and_neighbours_unharmed(kernel: Kernel, producer: Client, kind: str) -> None:
    effects = Effects(kind)
    _, database = await kernel.listen("notify", effects.consumers)
    js = producer.jetstream()

    for _, body, headers, subject in malformed():
        await js.publish(subject, body, headers=dict(headers), stream=STREAM)
        await publish(producer, confirmed())

    async def all_parked() -> bool:
        return await count(database, "dead_letter where error_code = 'malformed_message'") == len(malformed())

    await eventually(all_parked)
    await eventually(lambda: effects_are(database, len(malformed())))
    async with database.connect() as connection:
        kept = (await connection.execute(text("select payload, headers from dead_letter order by stream_seq limit 1"))).one()
    assert (bytes(kept.payload), kept.headers["ce-specversion"]) == (b"{", "1.0"), "a human sees what came"


async def test_infrastructure_errors_never_count(kernel: Kernel, producer: Client) -> None:
    effects = Effects("effect")
    _, database = await kernel.listen("notify", effects.consumers, patience=0.0)
    fact = confirmed()
    effects.faults[fact.booking_id] = [OSError("database away"), ConnectionResetError("again")]

    await publish(producer, fact)

    await eventually(lambda: effects_are(database, 1))
    assert await count(database, "dead_letter") == 0 == await count(database, "delivery_failure")


async def test_the_database_going_away_under_a_consumer_costs_time_and_no_event(kernel: Kernel, producer: Client, postgres: Any) -> None:
    effects = Effects("batch")
    _, database = await kernel.listen("notify", effects.consumers)
    for number in range(60):
        await publish(producer, confirmed())
        if number % 20 == 10:
            await postgres.admin("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'labo.notify'")

    await eventually(lambda: effects_are(database, 60), 30)
    assert await count(database, "dead_letter") == 0


# --- durables that come and go -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_F18_a_durable_deleted_by_hand_is_noticed_and_consumption_resumes_when_it_is_back(
    kernel: Kernel, producer: Client, admin_nats: Client, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.listening.FRESH_SECONDS", 2.0)
    effects = Effects(kind)
    listener, database = await kernel.listen("notify", effects.consumers)
    await publish(producer, confirmed())
    await eventually(lambda: effects_are(database, 1))
    await eventually(lambda: not listener.stale())

    await admin_nats.jetstream().delete_consumer(STREAM, DURABLE)
    await publish(producer, confirmed())
    await eventually(lambda: listener.stale() == [DURABLE])
    used = time.process_time()
    await asyncio.sleep(1.0)
    assert time.process_time() - used < 0.3, "the loop spins: it used 55 % of a core before it was guarded"

    await topology.apply(admin_nats, TOPOLOGY)
    await publish(producer, confirmed())

    await eventually(lambda: effects_are(database, 3), 20)
    await eventually(lambda: not listener.stale())
    assert len(effects.tries) == 3, "delivered from the start again, applied once"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_service_that_starts_before_its_durable_waits_for_it(
    kernel: Kernel, producer: Client, admin_nats: Client, kind: str
) -> None:
    await admin_nats.jetstream().delete_consumer(STREAM, DURABLE)
    effects = Effects(kind)
    listener, database = await kernel.listen("notify", effects.consumers)
    await publish(producer, confirmed())
    assert listener.stale() == [DURABLE]

    await topology.apply(admin_nats, TOPOLOGY)

    await eventually(lambda: effects_are(database, 1), 20)


@pytest.mark.parametrize("kind", KINDS)
async def test_stopping_finishes_what_was_fetched(kernel: Kernel, producer: Client, admin_nats: Client, kind: str) -> None:
    effects = Effects(kind)
    listener, database = await kernel.listen("notify", effects.consumers)
    await publish(producer, *(confirmed() for _ in range(100)))
    await eventually(lambda: effects.tries)

    await listener.stop()

    info = await admin_nats.jetstream().consumer_info(STREAM, DURABLE)
    done = await count(database, "heartbeat")
    assert info.ack_floor is not None
    assert info.ack_floor.stream_seq == done


def test_a_durable_hears_one_stream_only() -> None:
    from shared.contracts.catalog import SessionScheduled

    with pytest.raises(ValueError, match="one stream"):
        Consumers().effect("notify-mixed", BookingConfirmed, SessionScheduled)

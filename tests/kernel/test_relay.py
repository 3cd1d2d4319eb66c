"""The outbox reaches its stream: in order, once, whatever happens to the broker, the stream or the relay."""

from __future__ import annotations

import asyncio
import json
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from sqlalchemy import text

from deploy import topology
from deploy.embedded import NatsServer
from shared import outbox
from shared.contracts.booking import BookingCancelled
from shared.contracts.messages import read_event
from shared.database import Database
from tests.conftest import TOPOLOGY, eventually
from tests.kernel.conftest import Kernel
from tests.kernel.facts import an_agent, confirmed, count

STREAM = "EVT_BOOKING"


async def record(database: Database, *facts: object) -> None:
    async with database.begin() as tx:
        await outbox.record(tx, *facts, cause=an_agent())  # pyright: ignore[reportArgumentType]


async def stored(admin: Client) -> list[tuple[UUID, int, str]]:
    """Aggregate, version and event id of everything in the stream, in its order."""
    js = admin.jetstream()
    info = await js.stream_info(STREAM)
    messages = [await js.get_msg(STREAM, seq) for seq in range(max(info.state.first_seq, 1), info.state.last_seq + 1)]
    found: list[tuple[UUID, int, str]] = []
    for message in messages:
        headers = message.headers or {}
        found.append((UUID(headers["ce-subject"]), int(headers["ce-sequence"]), headers["ce-id"]))
    return found


async def all_published(database: Database) -> bool:
    return await count(database, "outbox where published_at is null") == 0


async def test_an_event_is_published_with_its_envelope_and_marked(kernel: Kernel, admin_nats: Client) -> None:
    database = await kernel.database("booking")
    await kernel.relay("booking", database)
    fact = confirmed()

    await record(database, fact)
    await eventually(lambda: all_published(database))

    message = await admin_nats.jetstream().get_msg(STREAM, 1)
    envelope, event = read_event(message.headers or {}, message.data or b"")
    assert event == fact
    assert message.subject == f"evt.booking.booking_confirmed.v1.{fact.booking_id}"
    assert (envelope.source, envelope.sequence, envelope.subject) == ("/labo/booking", 1, str(fact.booking_id))
    assert (message.headers or {})["Nats-Msg-Id"] == str(envelope.id)


async def test_I5_versions_of_an_aggregate_keep_their_order_among_thousands_of_others(kernel: Kernel, admin_nats: Client) -> None:
    database = await kernel.database("booking")
    lives = [uuid4() for _ in range(100)]
    for version in range(1, 21):
        await record(database, *(confirmed(life, version) for life in lives))
    await kernel.relay("booking", database)

    await eventually(lambda: all_published(database), 30)

    versions: dict[UUID, list[int]] = {}
    for aggregate, version, _ in await stored(admin_nats):
        versions.setdefault(aggregate, []).append(version)
    assert len(versions) == 100
    assert all(found == list(range(1, 21)) for found in versions.values())


async def test_what_is_committed_while_the_broker_is_away_is_published_when_it_is_back(
    kernel: Kernel, nats: NatsServer, admin_nats: Client
) -> None:
    database = await kernel.database("booking")
    await kernel.relay("booking", database)
    await record(database, confirmed())
    await eventually(lambda: all_published(database))

    nats.kill()
    for _ in range(50):
        await record(database, confirmed())
    assert await count(database, "outbox where published_at is null") >= 49
    await asyncio.to_thread(nats.start)

    await eventually(lambda: all_published(database), 30)
    assert len({event_id for _, _, event_id in await stored(admin_nats)}) == len(await stored(admin_nats)) == 51


async def test_a_stream_deleted_by_hand_is_refilled_with_the_same_ids(kernel: Kernel, admin_nats: Client) -> None:
    database = await kernel.database("booking")
    await kernel.relay("booking", database)
    life = uuid4()
    await record(database, *(confirmed(life, version) for version in range(1, 31)), *(confirmed() for _ in range(30)))
    await eventually(lambda: all_published(database))
    before = await stored(admin_nats)

    await admin_nats.jetstream().delete_stream(STREAM)
    await record(database, confirmed())
    await topology.apply(admin_nats, TOPOLOGY)

    async def refilled() -> bool:
        return len(await stored(admin_nats)) == 61

    await eventually(refilled, 30)
    after = await stored(admin_nats)
    assert {event_id for *_, event_id in before} < {event_id for *_, event_id in after}
    assert [version for aggregate, version, _ in after if aggregate == life] == list(range(1, 31))


async def test_a_stream_that_lost_its_tail_gets_it_again(kernel: Kernel, admin_nats: Client) -> None:
    """A crash between acknowledgement and fsync: the outbox remembers sequences that the stream no longer has."""
    database = await kernel.database("booking")
    first = await kernel.relay("booking", database)
    await record(database, *(confirmed() for _ in range(10)))
    await eventually(lambda: all_published(database))
    js = admin_nats.jetstream()
    kept = [await js.get_msg(STREAM, seq) for seq in range(1, 11)]
    created = (await js.stream_info(STREAM)).created

    async with database.begin() as tx:  # the same stream, five messages shorter, to the relay that looks next
        await tx.execute(text("update outbox set stream_seq = stream_seq + 100 where id > 5"))

    async def marks_again() -> bool:
        return await count(database, "outbox where stream_seq > 10 or published_at is null") == 0

    await eventually(marks_again, 20)
    assert first.leading
    assert (await js.stream_info(STREAM)).created == created
    assert len(kept) == len(await stored(admin_nats)), "inside the window the ids removed the second copies"


async def test_a_message_that_the_stream_refuses_parks_its_aggregate_and_nobody_elses(kernel: Kernel, admin_nats: Client) -> None:
    database = await kernel.database("booking")
    await kernel.relay("booking", database)
    life = uuid4()
    too_long = BookingCancelled(**confirmed(life, 1).model_dump(), reason="x" * 300_000)

    await record(database, too_long, confirmed(life, 2), *(confirmed() for _ in range(5)))

    async def parked() -> bool:
        return await count(database, "outbox where parked_at is not null") == 1

    await eventually(parked)
    await eventually(lambda: len_is(admin_nats, 5))
    assert await count(database, "outbox where published_at is null") == 2, "version 2 waits behind version 1"


async def len_is(admin: Client, expected: int) -> bool:
    return len(await stored(admin)) == expected


async def test_a_full_stream_is_waited_for_and_nothing_is_parked(kernel: Kernel, admin_nats: Client) -> None:
    js = admin_nats.jetstream()
    config = (await js.stream_info(STREAM)).config
    await js.update_stream(config.evolve(max_msgs=3))
    database = await kernel.database("booking")
    await kernel.relay("booking", database)
    await record(database, *(confirmed() for _ in range(10)))

    await eventually(lambda: len_is(admin_nats, 3))
    await asyncio.sleep(1.5)  # time to park, for a relay that would
    assert await count(database, "outbox where parked_at is not null") == 0
    await js.update_stream(config.evolve(max_msgs=-1))

    await eventually(lambda: all_published(database), 20)
    assert await len_is(admin_nats, 10)


async def test_of_two_relays_one_leads_and_the_other_takes_over(kernel: Kernel, admin_nats: Client) -> None:
    one, other = await kernel.database("booking"), await kernel.database("booking")
    relays = [await kernel.relay("booking", one), await kernel.relay("booking", other)]
    await eventually(lambda: sum(relay.leading for relay in relays) == 1)

    for round_ in range(3):
        await record(one, *(confirmed() for _ in range(20)))
        await record(other, *(confirmed() for _ in range(20)))
        async with one.begin() as tx:  # as when the process holding the lock dies
            ended = await tx.execute(
                text(
                    "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and granted"
                    " and classid = hashtext('labo.relay')::oid"
                )
            )
        assert ended.rowcount <= 1, round_
        await eventually(lambda: all_published(one), 20)

    found = await stored(admin_nats)
    assert len(found) == len(set(found)) == 120


async def test_a_replica_that_does_not_lead_tells_the_leader(kernel: Kernel, settings_for: object) -> None:
    leader, follower = await kernel.database("booking"), await kernel.database("booking")
    first = await kernel.relay("booking", leader)
    await eventually(lambda: first.leading)
    second = await kernel.relay("booking", follower)
    ear = await kernel.bus("booking")
    heard: list[str] = []

    async def hear(message: object) -> None:
        heard.append("wake")

    await ear.client.subscribe("relay.booking.wake", cb=hear)
    await ear.client.flush()

    await record(follower, confirmed())

    await eventually(lambda: heard)
    await eventually(lambda: all_published(leader))
    assert not second.leading


async def test_a_version_written_twice_breaks_its_transaction(kernel: Kernel) -> None:
    database = await kernel.database("booking")
    life = uuid4()
    await record(database, confirmed(life, 1))

    with pytest.raises(Exception, match="outbox_aggregate_type_aggregate_id_aggregate_version_key"):
        await record(database, confirmed(life, 1))


async def test_ids_only_leave_the_outbox(kernel: Kernel) -> None:
    database = await kernel.database("booking")
    await record(database, confirmed())

    async with database.connect() as connection:
        headers, payload = (await connection.execute(text("select headers, convert_from(payload, 'UTF8') as payload from outbox"))).one()

    assert set(headers) >= {"ce-id", "ce-actor", "ce-correlationid", "content-type"}
    ids = {"booking_id", "session_id", "agent_id", "group_id"}
    assert set(json.loads(payload)) == ids | {"version", "state", "session_sequence", "decided_at", "remote"}

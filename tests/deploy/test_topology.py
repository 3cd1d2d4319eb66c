"""Streams and durables: as the file says, kept so, and made again when somebody deletes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from deploy import topology
from deploy.accounts import SERVICES
from deploy.contracts.schemas import every_contract
from deploy.embedded import NatsServer
from shared.contracts.messages import Event
from tests.conftest import PASSWORDS, TOPOLOGY, eventually

Connect = Callable[..., Awaitable[Client]]


def event_subjects() -> set[str]:
    every_contract()  # imports the modules, so that their events stand in the registry
    return {each for event in Event.registry.values() for each in (f"{event.subject}.*", event.heard())}


@pytest.fixture
async def watched(admin_nats: Client) -> AsyncIterator[Client]:
    watch = asyncio.create_task(topology.watch(admin_nats, TOPOLOGY, every=0.05))
    yield admin_nats
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)


async def publish(nats_as: Connect, subject: str, number: int = 1, event_id: str | None = None) -> None:
    service = subject.split(".")[1]
    client = await nats_as(service)
    headers = {"Nats-Msg-Id": event_id} if event_id else None
    await client.jetstream().publish(subject, json.dumps({"number": number}).encode(), stream=f"EVT_{service.upper()}", headers=headers)


async def test_a_second_apply_has_nothing_to_do_and_diff_says_so(admin_nats: Client) -> None:
    assert await topology.diff(admin_nats, TOPOLOGY) == []
    assert await topology.apply(admin_nats, TOPOLOGY) == []


async def test_streams_are_what_the_architecture_promises(admin_nats: Client) -> None:
    for service in SERVICES:
        config = (await admin_nats.jetstream().stream_info(f"EVT_{service.upper()}")).config
        assert (config.storage, config.retention, config.discard, config.max_age) == ("file", "limits", "new", 0)
        assert (config.duplicate_window, config.max_msg_size, config.num_replicas) == (600, 256 * 1024, 1)
        assert (config.max_bytes or 0) > 0
    assert all(stream.settings["num_replicas"] == 3 for stream in topology.Topology.read("production").streams)


async def test_durables_wait_for_an_acknowledgement_for_ever(admin_nats: Client) -> None:
    for durable in TOPOLOGY.durables:
        config = (await admin_nats.jetstream().consumer_info(durable.stream, durable.name)).config
        assert (config.ack_policy, config.ack_wait, config.max_deliver, config.deliver_policy) == ("explicit", 30, -1, "all")
        assert config.deliver_subject is None
        assert sorted(config.filter_subjects or [config.filter_subject or ""]) == sorted(durable.subjects)


def test_every_subject_that_is_read_or_made_public_is_one_that_a_service_says() -> None:
    read = {subject for durable in TOPOLOGY.durables for subject in durable.subjects}
    public = {
        transform["src"]
        for stream in TOPOLOGY.streams
        for source in stream.settings.get("sources", ())
        for transform in source["subject_transforms"]
    }

    assert read | public <= event_subjects()
    assert all(durable.service in SERVICES for durable in TOPOLOGY.durables)
    assert all(
        subject.startswith(f"evt.{durable.stream.removeprefix('EVT_').lower()}.")
        for durable in TOPOLOGY.durables
        for subject in durable.subjects
    )


async def test_diff_tells_what_changed_and_apply_mends_it(admin_nats: Client) -> None:
    jetstream = admin_nats.jetstream()
    durable = next(each for each in TOPOLOGY.durables if each.name == "notify-projects")
    await jetstream.delete_consumer("EVT_CATALOG", "booking-sessions")
    await jetstream.delete_stream("PARTNER_IN")
    changed = topology.Stream("EVT_NOTIFY", {**TOPOLOGY.streams[2].settings, "max_msg_size": 1024})
    await topology.JetStream(admin_nats).put_stream(changed, exists=True)
    slower = topology.Durable(durable.name, durable.stream, {**durable.settings, "ack_wait": 5 * topology.SECOND})
    await topology.JetStream(admin_nats).put_durable(slower)

    assert await topology.diff(admin_nats, TOPOLOGY) == [
        "~ stream EVT_NOTIFY: max_msg_size is 1024, should be 262144",
        "+ stream PARTNER_IN is missing",
        "+ durable booking-sessions is missing",
        "~ durable notify-projects: ack_wait is 5000000000, should be 30000000000",
    ]
    assert len(await topology.apply(admin_nats, TOPOLOGY)) == 4
    assert await topology.diff(admin_nats, TOPOLOGY) == []


async def test_an_update_keeps_what_is_stored_and_how_far_consumers_are(admin_nats: Client, nats_as: Connect) -> None:
    await publish(nats_as, "evt.catalog.session_scheduled.v1.a")
    reader = await (await nats_as("booking")).jetstream().pull_subscribe_bind(durable="booking-sessions", stream="EVT_CATALOG")
    [message] = await reader.fetch(1, timeout=2)
    await message.ack_sync(timeout=2)
    stream = topology.Stream("EVT_CATALOG", {**TOPOLOGY.streams[0].settings, "max_bytes": 2**28})

    await topology.JetStream(admin_nats).put_stream(stream, exists=True)
    await topology.apply(admin_nats, TOPOLOGY)

    info = await admin_nats.jetstream().consumer_info("EVT_CATALOG", "booking-sessions")
    assert (info.num_pending, info.ack_floor and info.ack_floor.stream_seq) == (0, 1)


async def test_F18_a_deleted_durable_is_made_again_and_starts_over(watched: Client, nats_as: Connect) -> None:
    await publish(nats_as, "evt.catalog.session_scheduled.v1.a")
    with structlog.testing.capture_logs() as lines:
        await watched.jetstream().delete_consumer("EVT_CATALOG", "booking-sessions")

        async def back() -> bool:
            try:
                info = await watched.jetstream().consumer_info("EVT_CATALOG", "booking-sessions")
            except NotFoundError:
                return False
            return info.num_pending == 1

        await eventually(back, within=5)

    assert {"event": "topology_recreated", "kind": "durable", "name": "booking-sessions", "log_level": "warning"} in lines


async def test_F17_a_deleted_stream_is_made_again_with_its_durables_and_can_be_refilled(watched: Client, nats_as: Connect) -> None:
    subject = "evt.booking.booking_confirmed.v1.a"
    await publish(nats_as, subject, event_id="the-same")
    await watched.jetstream().delete_stream("EVT_BOOKING")

    await eventually(lambda: whole(watched), within=5)
    await publish(nats_as, subject, event_id="the-same")

    reader = await (await nats_as("notify")).jetstream().pull_subscribe_bind(durable="notify-bookings", stream="EVT_BOOKING")
    [message] = await reader.fetch(1, timeout=2)
    assert message.subject == subject


async def whole(client: Client) -> bool:
    return await topology.diff(client, TOPOLOGY) == []


async def test_the_watch_survives_the_server_and_leaves_a_mere_difference_alone(watched: Client, nats: NatsServer) -> None:
    changed = topology.Stream("EVT_NOTIFY", {**TOPOLOGY.streams[2].settings, "max_msg_size": 1024})
    await topology.JetStream(watched).put_stream(changed, exists=True)

    await asyncio.to_thread(nats.kill)
    await asyncio.sleep(0.2)
    await asyncio.to_thread(nats.start)
    await eventually(lambda: watched.is_connected)
    await watched.jetstream().delete_stream("EVT_GATEWAY")

    async def only_the_difference() -> bool:
        return await topology.diff(watched, TOPOLOGY) == ["~ stream EVT_NOTIFY: max_msg_size is 1024, should be 262144"]

    await eventually(only_the_difference)


async def test_other_systems_see_the_allowed_facts_under_pub_and_nothing_else(admin_nats: Client, nats_as: Connect) -> None:
    await publish(nats_as, "evt.booking.booking_confirmed.v1.secret")
    await publish(nats_as, "evt.catalog.session_scheduled.v1.a", number=1, event_id="first")
    await publish(nats_as, "evt.booking.session_availability_changed.v1.a", number=2)
    jetstream = admin_nats.jetstream()

    async def stored() -> dict[str, Any]:
        info = await jetstream.stream_info("PUBLIC", subjects_filter=">")
        subjects: dict[str, int] = info.state.subjects or {}
        assert sum(subjects.values()) >= 2
        return subjects

    assert await eventually(stored) == {"pub.catalog.session_scheduled.v1.a": 1, "pub.booking.session_availability_changed.v1.a": 1}
    message = await jetstream.get_last_msg("PUBLIC", "pub.catalog.session_scheduled.v1.a")
    assert (message.data, (message.headers or {})["Nats-Msg-Id"]) == (b'{"number": 1}', "first")


async def test_what_the_server_refuses_is_told_and_does_not_stop_the_rest(admin_nats: Client, nats: NatsServer) -> None:
    greedy = topology.Stream("GREEDY", {**TOPOLOGY.streams[0].settings, "name": "GREEDY", "subjects": ["greedy.>"], "max_bytes": 2**50})
    late = topology.Stream("LATE", {**TOPOLOGY.streams[0].settings, "name": "LATE", "subjects": ["late.>"]})

    with pytest.raises(topology.TopologyRefused, match=r"GREEDY: insufficient storage"):
        await topology.apply(admin_nats, topology.Topology((greedy,), ()))
    watch = asyncio.create_task(topology.watch(admin_nats, topology.Topology((greedy, late), ()), every=0.05))
    await eventually(lambda: topology.JetStream(admin_nats).stream("LATE"))

    assert not watch.done()
    watch.cancel()


async def test_a_full_stream_refuses_instead_of_dropping_the_oldest(admin_nats: Client, nats_as: Connect) -> None:
    tiny = topology.Stream("EVT_NOTIFY", {**TOPOLOGY.streams[2].settings, "max_bytes": 200})
    await topology.JetStream(admin_nats).put_stream(tiny, exists=True)
    await publish(nats_as, "evt.notify.fact.v1.a")

    with pytest.raises(Exception, match="maximum bytes exceeded"):
        for _ in range(5):
            await publish(nats_as, "evt.notify.fact.v1.a")

    assert (await admin_nats.jetstream().stream_info("EVT_NOTIFY")).state.first_seq == 1


@pytest.mark.parametrize(("verb", "expected"), [("diff", 1), ("apply", 0)])
async def test_the_command_applies_and_compares(
    nats: NatsServer,
    admin_nats: Client,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    verb: str,
    expected: int,
) -> None:
    (tmp_path / "labo_nats_password").write_text(PASSWORDS["topology"])
    for name, value in {"NATS_URL": nats.url, "SECRETS_DIR": str(tmp_path), "ENVIRONMENT": "embedded"}.items():
        monkeypatch.setenv(f"LABO_{name}", value)
    await admin_nats.jetstream().delete_stream("PARTNER_IN")

    assert await asyncio.to_thread(topology.main, [verb]) == expected

    assert capsys.readouterr().out == "+ stream PARTNER_IN is missing\n"
    assert (await topology.diff(admin_nats, TOPOLOGY) == []) == (verb == "apply")

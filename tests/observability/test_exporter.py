"""What the exporter tells of a real nats-server, under the official exporter's names."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
from nats.aio.client import Client
from prometheus_client import CollectorRegistry

from deploy.embedded import NatsServer
from deploy.observability.exporter import NatsCollector
from tests.conftest import TOPOLOGY


def registry_of(nats: NatsServer) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(NatsCollector(nats.monitoring_url))
    return registry


async def test_it_tells_streams_durables_and_lag(nats: NatsServer, nats_as: Callable[..., Awaitable[Client]]) -> None:
    catalog = await nats_as("catalog")
    for number in range(3):
        await catalog.jetstream().publish("evt.catalog.session_scheduled.v1.x", b"{}", headers={"Nats-Msg-Id": str(number)})
    await (await nats_as("booking")).flush()

    told = {(sample.name, sample.labels.get("consumer_name") or sample.labels.get("stream_name", "")): sample.value
            for family in registry_of(nats).collect() for sample in family.samples}  # fmt: skip

    assert told["gnatsd_varz_connections", ""] >= 2
    assert told["jetstream_stream_total_messages", "EVT_CATALOG"] == 3
    assert told["jetstream_stream_last_seq", "EVT_CATALOG"] == 3
    assert told["jetstream_consumer_num_pending", "booking-sessions"] == 3
    assert told["labo_nats_stream_max_bytes", "EVT_CATALOG"] == next(each for each in TOPOLOGY.streams).settings["max_bytes"]
    assert told["jetstream_server_total_streams", ""] == len(TOPOLOGY.streams)
    assert {durable.name for durable in TOPOLOGY.durables} <= {which for _, which in told}


async def test_a_server_that_is_away_fails_the_scrape(nats: NatsServer) -> None:
    registry = registry_of(nats)
    nats.kill()

    with pytest.raises(ConnectionRefusedError):
        list(registry.collect())

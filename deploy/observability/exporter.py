"""What nats-server tells of itself, for Prometheus, under the names of the official exporter (it has no `/metrics` of its own).

    python -m deploy.observability.exporter --monitoring http://127.0.0.1:8222 --port 7777

So the dashboards fit both. One name is ours: `labo_nats_stream_max_bytes`, the limit that the official one does not tell.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

TIMEOUT_SECONDS = 5.0
Json = dict[str, Any]

VARZ = (
    "connections", "total_connections", "max_connections", "subscriptions", "slow_consumers", "in_msgs", "out_msgs", "in_bytes",
    "out_bytes", "mem", "cpu",
)  # fmt: skip
SERVER = {"total_streams": "streams", "total_consumers": "consumers", "total_messages": "messages", "total_message_bytes": "bytes"}
STREAM = {"total_messages": "messages", "total_bytes": "bytes", "first_seq": "first_seq", "last_seq": "last_seq"}
CONSUMER = ("num_pending", "num_ack_pending", "num_redelivered", "num_waiting")
ON_SERVER = ("server_name", "cluster")
ON_STREAM = (*ON_SERVER, "account", "stream_name", "stream_leader", "is_stream_leader")
ON_CONSUMER = (*ON_STREAM, "consumer_name", "consumer_leader", "is_consumer_leader")


class NatsCollector(Collector):
    """Asks the monitoring port at each scrape. A server that does not answer fails the scrape, and `up` says so."""

    def __init__(self, monitoring: str) -> None:
        self._address = urlsplit(monitoring)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        varz = self._get("/varz")
        yield from _varz(varz)
        yield from _jsz(self._get("/jsz?streams=true&consumers=true&config=true"), str(varz["server_name"]))

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the server need not be there yet when this starts."""
        return ()

    def _get(self, path: str) -> Json:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request("GET", path)
            return cast("Json", json.loads(connection.getresponse().read()))
        finally:
            connection.close()


def _varz(varz: Json) -> Iterator[GaugeMetricFamily]:
    for name in VARZ:
        family = GaugeMetricFamily(f"gnatsd_varz_{name}", f"{name} of /varz", labels=["server_id"])
        family.add_metric([varz["server_name"]], varz.get(name, 0))
        yield family


def _jsz(jsz: Json, server: str) -> Iterator[GaugeMetricFamily]:
    here = [server, jsz.get("meta_cluster", {}).get("name", "")]
    limits: Json = jsz.get("config", {})
    values = {name: jsz.get(field, 0) for name, field in SERVER.items()}
    values |= {"max_storage": limits.get("max_storage", 0), "max_memory": limits.get("max_memory", 0)}
    values["jetstream_disabled"] = int(bool(jsz.get("disabled")))
    for name, value in values.items():
        family = GaugeMetricFamily(f"jetstream_server_{name}", f"{name} of JetStream on this server", labels=ON_SERVER)
        family.add_metric(here, value)
        yield family
    yield from _streams(jsz, here)


def _streams(jsz: Json, here: Sequence[str]) -> Iterator[GaugeMetricFamily]:
    names = (*STREAM, "consumer_count")
    streams = {name: GaugeMetricFamily(f"jetstream_stream_{name}", f"{name} of a stream", labels=ON_STREAM) for name in names}
    consumers = {name: GaugeMetricFamily(f"jetstream_consumer_{name}", f"{name} of a durable", labels=ON_CONSUMER) for name in CONSUMER}
    acked = GaugeMetricFamily("jetstream_consumer_ack_floor_stream_seq", "Last sequence settled without a gap", labels=ON_CONSUMER)
    limit = GaugeMetricFamily("labo_nats_stream_max_bytes", "Bytes that a stream may hold; beyond, it refuses", labels=ON_STREAM)
    for account in jsz.get("account_details") or ():
        for stream in account.get("stream_detail") or ():
            where = [*here, account["name"], stream["name"], *_leader(stream, here[0])]
            for name, field in STREAM.items():
                streams[name].add_metric(where, stream["state"][field])
            streams["consumer_count"].add_metric(where, stream["state"]["consumer_count"])
            limit.add_metric(where, stream["config"]["max_bytes"])
            for consumer in stream.get("consumer_detail") or ():
                which = [*where, consumer["name"], *_leader(consumer, here[0])]
                for name in CONSUMER:
                    consumers[name].add_metric(which, consumer[name])
                acked.add_metric(which, consumer["ack_floor"]["stream_seq"])
    yield from (*streams.values(), *consumers.values(), acked, limit)


def _leader(item: Json, server: str) -> tuple[str, str]:
    """Its name, and whether this server is it; a server alone leads everything."""
    leader: str = item.get("cluster", {}).get("leader", "")
    return leader, "false" if leader not in {"", server} else "true"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="exporter", description="Metrics of nats-server for Prometheus")
    parser.add_argument("--monitoring", required=True, help="address of the server's monitoring port, http://host:8222")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=7777)
    asked = parser.parse_args(arguments)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})  # before the server's threads, which inherit it
    registry = CollectorRegistry()
    registry.register(NatsCollector(asked.monitoring))
    start_http_server(asked.port, asked.host, registry)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()

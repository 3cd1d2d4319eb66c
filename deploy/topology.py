"""Streams and durables: read from `topology.yml`, applied, compared, and kept alive.

Spoken to the server as JSON, since the client's own types lag behind what the server knows.

    python -m deploy.topology apply|diff|watch [--profile production]
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import nats as nats_client
import yaml
from nats.aio.client import Client
from nats.errors import Error as NatsError

from shared.bus import connection_options
from shared.settings import Settings as ProcessSettings
from shared.telemetry import configure_logging, log

Profile = Literal["embedded", "production"]
TOPOLOGY_FILE = Path(__file__).with_name("topology.yml")
SECOND = 1_000_000_000  # JetStream counts in nanoseconds

Settings = Mapping[str, Any]

_STREAM: Settings = {
    "retention": "limits",
    "storage": "file",
    "discard": "new",  # a full stream refuses, and the relay waits: nothing old is lost
    "max_age": 0,
    "max_msg_size": 256 * 1024,
    "duplicate_window": 600 * SECOND,
    "allow_direct": False,
    "deny_delete": False,
}
_DURABLE: Settings = {
    "deliver_policy": "all",
    "ack_policy": "explicit",
    "ack_wait": 30 * SECOND,
    "max_deliver": -1,
    "replay_policy": "instant",
}


@dataclass(frozen=True, slots=True)
class Stream:
    name: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Durable:
    name: str
    stream: str
    settings: Settings

    @property
    def service(self) -> str:
        return self.name.split("-")[0]

    @property
    def subjects(self) -> list[str]:
        return list(self.settings["filter_subjects"])

    @property
    def hears(self) -> list[str]:
        """The facts of its subjects, such as `booking.booking_confirmed.v1`."""
        return [subject.removeprefix("evt.")[:-2] for subject in self.subjects]  # each ends with its wildcard


@dataclass(frozen=True, slots=True)
class Topology:
    streams: tuple[Stream, ...]
    durables: tuple[Durable, ...]

    @classmethod
    def read(cls, profile: Profile = "embedded", file: Path = TOPOLOGY_FILE) -> Topology:
        document = yaml.safe_load(file.read_text())
        limits = document["profiles"][profile]
        streams = tuple(Stream(name, _stream(name, said, limits)) for name, said in document["streams"].items())
        durables = tuple(Durable(name, said["stream"], _durable(name, said)) for name, said in document["durables"].items())
        return cls(streams, durables)

    def durables_of(self, service: str) -> list[Durable]:
        return [durable for durable in self.durables if durable.service == service]


def _stream(name: str, said: Mapping[str, Any], limits: Mapping[str, int]) -> Settings:
    settings: dict[str, Any] = {"name": name, **_STREAM, "num_replicas": limits["replicas"], "max_bytes": limits["max_bytes"]}
    if subjects := said.get("subjects"):
        settings["subjects"] = subjects
    if published := said.get("publishes"):
        settings["sources"] = [
            {"name": origin, "subject_transforms": [{"src": subject, "dest": _public(subject)} for subject in subjects]}
            for origin, subjects in published.items()
        ]
    return settings


def _public(subject: str) -> str:
    """`evt.catalog.session_scheduled.v1.*` is published as `pub.catalog.session_scheduled.v1.<the same id>`."""
    return f"pub.{subject.removeprefix('evt.').removesuffix('*')}{{{{wildcard(1)}}}}"


def _durable(name: str, said: Mapping[str, Any]) -> Settings:
    return {"durable_name": name, **_DURABLE, "filter_subjects": said["subjects"], "max_ack_pending": 5000 if said.get("batch") else 200}


class TopologyRefused(RuntimeError):
    """The server refused a stream or a durable as it is written."""


class JetStream:
    """The few calls of JetStream's own API that the topology needs."""

    def __init__(self, nats: Client) -> None:
        self._nats = nats

    async def call(self, path: str, body: object = None) -> dict[str, Any]:
        answer = await self._nats.request(f"$JS.API.{path}", json.dumps(body).encode() if body is not None else b"", timeout=5)
        return json.loads(answer.data)

    async def _info(self, path: str) -> Settings | None:
        answer = await self.call(path)
        if error := answer.get("error"):
            if error["code"] == 404:
                return None
            raise TopologyRefused(f"{path}: {error['description']}")
        return answer["config"]

    async def stream(self, name: str) -> Settings | None:
        return await self._info(f"STREAM.INFO.{name}")

    async def durable(self, durable: Durable) -> Settings | None:
        return await self._info(f"CONSUMER.INFO.{durable.stream}.{durable.name}")

    async def put_stream(self, stream: Stream, *, exists: bool) -> None:
        self._check(await self.call(f"STREAM.{'UPDATE' if exists else 'CREATE'}.{stream.name}", stream.settings), stream.name)

    async def put_durable(self, durable: Durable) -> None:
        body = {"stream_name": durable.stream, "config": durable.settings, "action": ""}
        self._check(await self.call(f"CONSUMER.CREATE.{durable.stream}.{durable.name}", body), durable.name)

    @staticmethod
    def _check(answer: Mapping[str, Any], name: str) -> None:
        if error := answer.get("error"):
            raise TopologyRefused(f"{name}: {error['description']} ({error.get('err_code')})")


def _differences(wanted: Settings, found: Settings) -> Iterator[str]:
    for name, value in wanted.items():
        if not _same(value, found.get(name)):
            yield f"{name} is {found.get(name)!r}, should be {value!r}"


def _same(wanted: Any, found: Any) -> bool:
    """The server adds members of its own; only what we say counts. It leaves out what is zero or empty."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        said, has = cast("Settings", wanted), cast("Settings", found)
        return all(_same(value, has.get(name)) for name, value in said.items())
    if isinstance(wanted, list) and isinstance(found, list):
        ours, theirs = cast("list[Any]", wanted), cast("list[Any]", found)
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return wanted == found or (not wanted and not found)


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that the server has otherwise than the file says; `missing` when it does not have it at all."""

    item: Stream | Durable
    missing: bool
    changes: tuple[str, ...] = ()

    def __str__(self) -> str:
        kind = "stream" if isinstance(self.item, Stream) else "durable"
        return f"+ {kind} {self.item.name} is missing" if self.missing else f"~ {kind} {self.item.name}: {'; '.join(self.changes)}"


async def gaps(nats: Client, topology: Topology) -> list[Gap]:
    """Where server and file differ, streams first. What the server has beyond the file is nobody's business here."""
    jetstream = JetStream(nats)
    items: list[Stream | Durable] = [*topology.streams, *topology.durables]
    return [gap for gap in await asyncio.gather(*(_gap(jetstream, item) for item in items)) if gap]


async def _gap(jetstream: JetStream, item: Stream | Durable) -> Gap | None:
    found = await (jetstream.stream(item.name) if isinstance(item, Stream) else jetstream.durable(item))
    if found is None:
        return Gap(item, missing=True)
    changes = tuple(_differences(item.settings, found))
    return Gap(item, missing=False, changes=changes) if changes else None


async def close(nats: Client, gap: Gap) -> None:
    """Bring the server to what the file says for this one: create it, or update it in place."""
    jetstream = JetStream(nats)
    if isinstance(gap.item, Stream):
        await jetstream.put_stream(gap.item, exists=not gap.missing)
    else:
        await jetstream.put_durable(gap.item)


async def apply(nats: Client, topology: Topology) -> list[str]:
    """Create or update all of it; the lines say what had to be done."""
    found = await gaps(nats, topology)
    for gap in found:
        await close(nats, gap)
    return [str(gap) for gap in found]


async def diff(nats: Client, topology: Topology) -> list[str]:
    """Lines for a person; none when server and file agree."""
    return [str(gap) for gap in await gaps(nats, topology)]


async def watch(nats: Client, topology: Topology, every: float = 2.0) -> None:
    """For ever: make again what has gone missing, and say so.

    A new durable starts at the stream's first message, which inbox and cursors always cover: nothing is skipped, no effect repeats.
    What merely differs is told and left alone, or an older watcher would undo a newer `apply`.
    """
    told: set[str] = set()
    while True:
        try:
            found = await gaps(nats, topology)
            for gap in found:
                await _keep(nats, gap, told)
            told.intersection_update(map(str, found))
        except (NatsError, TimeoutError) as away:
            log.warning("topology_unseen", error=f"{type(away).__name__}: {away}")
        await asyncio.sleep(every)


async def _keep(nats: Client, gap: Gap, told: set[str]) -> None:
    kind = type(gap.item).__name__.lower()
    if not gap.missing:
        if str(gap) not in told:
            log.warning("topology_differs", kind=kind, name=gap.item.name, changes=gap.changes)
    else:
        try:
            await close(nats, gap)
            log.warning("topology_recreated", kind=kind, name=gap.item.name)
        except TopologyRefused as refused:
            if str(gap) not in told:
                log.error("topology_refused", kind=kind, name=gap.item.name, error=str(refused))
    told.add(str(gap))


async def _main(verb: str, profile: Profile, settings: ProcessSettings) -> int:
    topology = Topology.read(profile)
    options = connection_options(settings, "topology")
    if verb != "watch":
        options |= {"disconnected_cb": None, "allow_reconnect": False}
    nats = await nats_client.connect(**options)
    try:
        if verb == "watch":
            await watch(nats, topology)
        lines = await (apply if verb == "apply" else diff)(nats, topology)
        print("\n".join(lines) or "nothing to do: server and file agree")
        return 1 if lines and verb == "diff" else 0
    finally:
        await nats.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Connects as the user `topology`, told by `LABO_NATS_URL` and `LABO_SECRETS_DIR` (or `LABO_NATS_PASSWORD`)."""
    parser = argparse.ArgumentParser(prog="topology", description="Streams and durables of topology.yml")
    parser.add_argument("verb", choices=["apply", "diff", "watch"], help="diff exits with 1 when something differs")
    parser.add_argument("--profile", choices=["embedded", "production"])
    asked = parser.parse_args(arguments)
    settings = ProcessSettings(service="topology")
    if asked.verb == "watch":
        configure_logging("topology", settings.log_level)
    try:
        return asyncio.run(_main(asked.verb, asked.profile or settings.environment, settings))
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    raise SystemExit(main())

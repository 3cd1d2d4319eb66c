"""How a Lab-O is: services, streams, lag, outbox, dead letters, timers, heartbeats; and what of it needs somebody."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from nats.errors import Error as NatsError
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.accounts import SERVICES
from deploy.program import get
from deploy.target import Target
from deploy.topology import JetStream, Topology, gaps
from deploy.unprivileged import SetupError
from shared import clock

STALE_OUTBOX_SECONDS = 60.0
SILENT_SECONDS = {"timers": 180.0, "audit": 180.0}
SILENT_SWEEP_SECONDS = 26 * 3600.0
FULL = 0.7
Rows = list[dict[str, Any]]


@dataclass
class Status:
    """The document that `--json` prints. `problems` are sentences; none means healthy."""

    asked_at: str
    domain_time: str | None = None
    problems: list[str] = field(default_factory=list[str])
    services: Rows = field(default_factory=Rows)
    streams: Rows = field(default_factory=Rows)
    consumers: Rows = field(default_factory=Rows)
    outbox: Rows = field(default_factory=Rows)
    dead_letters: Rows = field(default_factory=Rows)
    timers: Rows = field(default_factory=Rows)
    heartbeats: Rows = field(default_factory=Rows)
    audit: Rows = field(default_factory=Rows)
    """What must never be, by session, as booking's standing audit found it."""
    mails: Rows = field(default_factory=Rows)
    """Those of which nobody can know, or that a server refused, by state: the mail server's weather, so no problem of ours."""
    webhooks: Rows = field(default_factory=Rows)
    """Those that are disabled or failing: the receiver's weather."""

    @property
    def healthy(self) -> bool:
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        return {"healthy": self.healthy, **asdict(self)}


async def look(target: Target) -> Status:
    """Ask everybody; who does not answer is a problem of its own and hides nothing else."""
    status = Status(asked_at=datetime.now(UTC).isoformat(timespec="seconds"))
    await _services(target, status)
    for part in (_bus, _tables):
        try:
            await part(target, status)
        except SetupError as away:
            status.problems.append(str(away))
    return status


async def _services(target: Target, status: Status) -> None:
    if target.running:
        ports = target.running.ports.health
        answers = await asyncio.gather(*(asyncio.to_thread(get, ports[name], "/readyz") for name in SERVICES))
        for name, (code, body) in zip(SERVICES, answers, strict=True):
            said = cast("dict[str, Any]", body) if isinstance(body, dict) else {}
            problems: list[str] = said.get("problems", []) if code else ["does not answer"]
            status.services.append({"name": name, "version": said.get("version"), "ready": code == 200, "problems": problems})
            if code != 200:
                status.problems.append(f"{name} is not ready: {', '.join(problems) or f'status {code}'}")


async def _bus(target: Target, status: Status) -> None:
    topology = Topology.read("embedded" if target.embedded else "production")
    async with target.nats() as client:
        jetstream = JetStream(client)
        try:
            status.problems += [f"topology: {gap}" for gap in await gaps(client, topology)]
            for stream in topology.streams:
                _stream(status, await jetstream.call(f"STREAM.INFO.{stream.name}"))
            for durable in topology.durables:
                _consumer(status, await jetstream.call(f"CONSUMER.INFO.{durable.stream}.{durable.name}"))
        except (NatsError, TimeoutError) as silent:
            raise SetupError(f"JetStream does not answer: {type(silent).__name__}") from silent


def _stream(status: Status, told: dict[str, Any]) -> None:
    if "error" in told:
        return
    name, state, limit = told["config"]["name"], told["state"], told["config"]["max_bytes"]
    ends = {"first": state["first_seq"], "last": state["last_seq"]}
    status.streams.append({"name": name, "messages": state["messages"], "bytes": state["bytes"], "max_bytes": limit, **ends})
    if limit > 0 and state["bytes"] > FULL * limit:
        status.problems.append(f"stream {name} is {state['bytes'] / limit:.0%} full")


def _consumer(status: Status, told: dict[str, Any]) -> None:
    if "error" in told:
        return
    lag = {"pending": told["num_pending"], "unacknowledged": told["num_ack_pending"], "redelivered": told["num_redelivered"]}
    status.consumers.append({"name": told["name"], "stream": told["stream_name"], **lag})


# --- the tables of each service ------------------------------------------------------------------------------------------------------

_OUTBOX = """
select count(*) filter (where parked_at is null) as unpublished, count(*) filter (where parked_at is not null) as parked,
       coalesce(extract(epoch from clock_timestamp() - min(created_at) filter (where parked_at is null)), 0)::float8 as oldest_seconds
from {service}.outbox where published_at is null
"""
_DEAD_LETTERS = "select consumer, count(*) as open from {service}.dead_letter where resolved_at is null group by consumer order by consumer"
_TIMERS = """
select count(*) filter (where parked_at is null) as waiting, count(*) filter (where parked_at is null and due_at <= :now) as due,
       count(*) filter (where parked_at is null and due_at <= :late) as overdue, count(*) filter (where parked_at is not null) as parked
from {service}.timer
"""
_HEARTBEATS = "select name, extract(epoch from clock_timestamp() - beat_at)::float8 as age_seconds from {service}.heartbeat order by name"
_AUDIT = "select code, session_id::text as session_id, found_at::text as found_at from booking.audit_finding order by found_at"
_MAILS = "select state, count(*) as number from notify.mail where state in ('uncertain', 'failed', 'bounced') group by state order by state"

_WEBHOOKS = """
select webhook_id::text, disabled_reason, failing_since::text from notify.webhook
where disabled_at is not null or failing_since is not null order by created_at
"""


async def _tables(target: Target, status: Status) -> None:
    async with target.database() as engine, engine.connect() as connection:
        now = datetime.now(UTC) + await clock.read_offset(connection)
        status.domain_time = now.astimezone(clock.PARIS).isoformat(timespec="seconds")
        moments = {"now": now, "late": now - timedelta(minutes=1)}
        for service in SERVICES:
            status.outbox += await _rows(connection, service, _OUTBOX)
            status.dead_letters += await _rows(connection, service, _DEAD_LETTERS)
            status.timers += await _rows(connection, service, _TIMERS, **moments)
            status.heartbeats += await _rows(connection, service, _HEARTBEATS)
        status.audit = await _rows(connection, "booking", _AUDIT)
        status.mails = await _rows(connection, "notify", _MAILS)
        status.webhooks = await _rows(connection, "notify", _WEBHOOKS)
    status.problems += [problem for row in status.outbox for problem in _outbox_problems(row)]
    status.problems += [f"{row['open']} dead letters of {row['consumer']} wait for a decision" for row in status.dead_letters]
    status.problems += [problem for row in status.timers for problem in _timer_problems(row)]
    status.problems += [f"booking: {row['code'].replace('_', ' ')} (session {row['session_id']})" for row in status.audit]
    status.problems += [
        f"{row['service']}: no heartbeat of {row['name']} for {age(row['age_seconds'])}" for row in status.heartbeats if _silent(row)
    ]


async def _rows(connection: AsyncConnection, service: str, statement: str, **values: object) -> Rows:
    found = await connection.execute(text(statement.format(service=service)), values)
    return [{"service": service, **row} for row in found.mappings()]


def _outbox_problems(row: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    if row["oldest_seconds"] > STALE_OUTBOX_SECONDS:
        problems.append(f"{row['service']}: {row['unpublished']} events unpublished, the oldest for {age(row['oldest_seconds'])}")
    if row["parked"]:
        problems.append(f"{row['service']}: {row['parked']} events parked in the outbox")
    return problems


def _timer_problems(row: dict[str, Any]) -> list[str]:
    told = {"overdue": "overdue by more than a minute", "parked": "parked after failing"}
    return [f"{row['service']}: {row[name]} timers {words}" for name, words in told.items() if row[name]]


def _silent(row: dict[str, Any]) -> bool:
    return row["age_seconds"] > SILENT_SECONDS.get(row["name"], SILENT_SWEEP_SECONDS)


# --- for people ------------------------------------------------------------------------------------------------------------------------


def age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


def size(number: int) -> str:
    return f"{number / 2**20:.1f} MiB" if number >= 2**20 else f"{number / 2**10:.0f} KiB"


def shown(status: Status) -> RenderableType:
    services = _table("service", "ready", "version", "problems")
    for row in status.services:
        services.add_row(row["name"], "yes" if row["ready"] else "[red]no[/red]", row["version"] or "", ", ".join(row["problems"]))
    streams = _table("stream", "messages", "size", "of")
    for row in status.streams:
        streams.add_row(row["name"], str(row["messages"]), size(row["bytes"]), size(row["max_bytes"]))
    consumers = _table("consumer", "lag", "unacknowledged", "redelivered")
    for row in status.consumers:
        consumers.add_row(row["name"], *(str(row[name]) for name in ("pending", "unacknowledged", "redelivered")))
    verdict = Text("healthy", "green") if status.healthy else Text("\n".join(f"! {problem}" for problem in status.problems), "red")
    clock_line = f"domain time {status.domain_time}" if status.domain_time else ""
    mails = ", ".join(f"{row['number']} {row['state']}" for row in status.mails)
    undecided = [Text(f"mails to decide about: {mails} (labo mails list)", "yellow")] if mails else []
    undecided += [Text(f"webhook {row['webhook_id']} is {_silent_because(row)} (labo webhooks list)", "yellow") for row in status.webhooks]
    return Group(services, _kept(status), streams, consumers, Text(clock_line), *undecided, verdict)


def _silent_because(row: dict[str, Any]) -> str:
    return f"disabled: {row['disabled_reason']}" if row["disabled_reason"] else f"failing since {row['failing_since']:.16} UTC"


def _kept(status: Status) -> Table:
    """One line per service for what its own tables hold."""
    table = _table("service", "outbox", "oldest", "parked", "dead", "timers", "overdue", "parked", "last beat")
    for outbox, timers in zip(status.outbox, status.timers, strict=True):
        name = outbox["service"]
        letters = sum(row["open"] for row in status.dead_letters if row["service"] == name)
        beats = [age(row["age_seconds"]) for row in status.heartbeats if row["service"] == name and row["name"] in SILENT_SECONDS]
        numbers = (outbox["unpublished"], age(outbox["oldest_seconds"]), outbox["parked"], letters)
        numbers += (timers["waiting"], timers["overdue"], timers["parked"])
        table.add_row(name, *map(str, numbers), ", ".join(beats))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(columns):
        numeric = number and column not in {"ready", "version", "problems"}
        table.add_column(column, justify="right" if numeric else "left")
    return table

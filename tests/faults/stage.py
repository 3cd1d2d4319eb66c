"""The system on a stage: real servers, real service processes behind proxies, a directory and a mail server that the test plays."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx2
from nats.aio.client import Client
from sqlalchemy import text

from deploy.child import free_port
from deploy.embedded import NatsServer, PostgresServer
from deploy.topology import SECOND, Durable, Topology
from shared import faults, outbox
from shared.bus import Bus, Caller
from shared.contracts.gateway import Contact, GetContact
from shared.database import Database
from shared.errors import Refused
from shared.relay import Relay
from shared.requests import Requests, Responder
from shared.settings import Settings
from tests.booking.given import catalog_says
from tests.conftest import PASSWORDS, TOPOLOGY, eventually
from tests.faults import notebook
from tests.faults.proxy import Proxy
from tests.notify.sink import Sink

ROOT = Path(__file__).parents[2]
ACK_WAIT = 3  # seconds; 30 outside: what a killed consumer held comes back after this


def stage_topology() -> Topology:
    """The house's own, redelivering sooner, with the notebook's durables beside notify's."""
    bookings = next(durable for durable in TOPOLOGY.durables if durable.name == "notify-bookings")
    more = [Durable(name, bookings.stream, {**bookings.settings, "durable_name": name}) for name in notebook.DURABLES]
    durables = [replace(each, settings={**each.settings, "ack_wait": ACK_WAIT * SECOND}) for each in (*TOPOLOGY.durables, *more)]
    return replace(TOPOLOGY, durables=tuple(durables))


def agent_of(value: str) -> UUID:
    return uuid5(NAMESPACE_URL, value)


class AgentUnknown(Refused):
    code, status = "agent_unknown", 404


@dataclass
class Member:
    """One service process, and the wires that it hangs on when it was placed `wired`; straight lines otherwise, which cost less."""

    service: str
    name: str
    nats: Proxy
    postgres: Proxy
    environment: dict[str, str]
    log: Path
    port: int = 0
    process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def start(self, *, fault: str | None = None, bug: str | None = None, **others: str) -> None:
        self.port = free_port()
        asked = {faults.FAULT: fault, faults.PLANTED_BUG: bug, "LABO_HTTP_PORT": str(self.port)}
        environment = os.environ | self.environment | {name: value for name, value in asked.items() if value} | others
        plain = self.service != "notify" and not bug
        command = [f"services.{self.service}.app"] if plain else ["tests.faults.launch", self.service]
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", *command, cwd=ROOT, env=environment, stdout=log, stderr=log
            )

    async def get(self, path: str) -> httpx2.Response | None:
        try:
            async with httpx2.AsyncClient(timeout=5, trust_env=False) as http:
                return await http.get(f"http://127.0.0.1:{self.port}{path}")
        except httpx2.TransportError:
            return None

    async def ready(self) -> bool:
        assert self.alive, f"{self.name} ended with {self.process and self.process.returncode}: {self.log.read_text()[-2000:]}"
        answer = await self.get("/readyz")
        return answer is not None and answer.status_code == 200

    async def leads(self) -> bool:
        """Whether its relay publishes for the service."""
        answer = await self.get("/metrics") if self.alive else None
        return answer is not None and "\nlabo_relay_leader 1.0" in answer.text

    async def wait(self, within: float = 60.0) -> int:
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), within)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.alive:
            self.signal(number)
        return await self.wait()

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)


@dataclass
class Stage:
    nats: NatsServer
    postgres: PostgresServer
    settings_for: Callable[..., Settings]
    admin: Client
    folder: Path
    stack: AsyncExitStack
    booking: Database = field(init=False)
    notify: Database = field(init=False)
    catalog: Database = field(init=False)
    gateway: Bus = field(init=False)
    sink: Sink = field(default_factory=Sink)
    members: dict[str, Member] = field(default_factory=dict[str, Member])
    sessions: list[UUID] = field(default_factory=list[UUID])
    people: dict[UUID, str] = field(default_factory=dict[UUID, str])
    """Agent → the value that stands for it."""

    async def open(self) -> None:
        """What the test itself plays: catalog (its outbox and relay), the gateway (asks, and answers for addresses), the mail server."""
        self.booking, self.notify, self.catalog = [await self._database(name) for name in ("booking", "notify", "catalog")]
        async with self.notify.begin() as tx:
            for statement in notebook.TABLES:
                await tx.execute(text(statement))
        self.gateway = await self._bus("gateway")
        directory = Responder(self.gateway, self.booking, [self._directory()])
        await directory.start()
        self.stack.push_async_callback(directory.drain)
        self.background(Relay(self.catalog, await self._bus("catalog"), "EVT_CATALOG").run())
        await self.stack.enter_async_context(self.sink.listening())

    async def _database(self, service: str) -> Database:
        database = Database.of(self.settings_for(service))
        self.stack.push_async_callback(database.dispose)
        return database

    async def _bus(self, service: str) -> Bus:
        bus = await Bus.connect(self.settings_for(service))
        self.stack.push_async_callback(bus.close)
        return bus

    def background(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)

        async def stop() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self.stack.push_async_callback(stop)
        return task

    def _directory(self) -> Requests:
        requests = Requests()

        @requests.query(GetContact)
        async def get_contact(request: GetContact, _: Caller, __: Database) -> Contact:
            value = self.people.get(request.agent_id)
            if value is None:
                raise AgentUnknown
            return Contact(agent_id=request.agent_id, given_name="Camille", usual_name=value, email=f"{value}@agents.example")

        return requests

    # --- members ------------------------------------------------------------------------------------------------------------------

    async def member(self, service: str, number: int = 1, *, wired: bool = False) -> Member:
        """A place for a process; the same name is the same place."""
        name = f"{service}-{number}"
        if name in self.members:
            return self.members[name]
        wires = Proxy(self.nats.port), Proxy(self.postgres.port)
        for wire in wires if wired else ():
            await wire.start()
            self.stack.push_async_callback(wire.stop)
        environment = {
            "LABO_ENVIRONMENT": "embedded",
            faults.ALLOWED: faults.BY_TESTS,
            "LABO_NATS_URL": f"nats://127.0.0.1:{wires[0].port or self.nats.port}",
            "LABO_NATS_PASSWORD": PASSWORDS[service],
            "LABO_POSTGRES_PORT": str(wires[1].port or self.postgres.port),
            "LABO_POSTGRES_DATABASE": self.settings_for(service).postgres_database,
            "LABO_POSTGRES_PASSWORD": PASSWORDS[service],
            "LABO_INSTANCE": name,
            "LABO_SMTP_PORT": str(self.sink.port),
            "LABO_SMTP_CONNECTIONS": "12",
            "LABO_POSTGRES_POOL": "24",
            "LABO_CONFIRMATION_DELAY": "0",
            "LABO_DEFERRAL_BASE": "0.5",
        }
        member = Member(service, name, *wires, environment, self.folder / f"{name}.log")
        self.members[name] = member
        self.stack.push_async_callback(self._end, member)
        return member

    @staticmethod
    async def _end(member: Member) -> None:
        if member.alive:
            member.signal(signal.SIGCONT)
            await member.stop(signal.SIGKILL)

    async def start(self, *names: str, wired: bool = False, bug: str | None = None, **others: str) -> list[Member]:
        """`await stage.start("booking-1", "notify-1")`, all at once, until they are ready."""
        places = (name.partition("-") for name in names)
        members = [await self.member(service, int(number), wired=wired) for service, _, number in places]
        for member in members:
            await member.start(bug=bug, **others)
        for member in members:
            await eventually(member.ready, 60)
        return members

    async def leader(self, service: str = "booking") -> Member:
        async def found() -> Member | None:
            for member in self.members.values():
                if member.service == service and await member.leads():
                    return member
            return None

        leading = await eventually(found, 15)
        assert leading is not None
        return leading

    # --- the programme --------------------------------------------------------------------------------------------------------------

    async def open_sessions(self, *capacities: int) -> list[UUID]:
        """Catalog schedules them; booking and notify hear of it from the stream."""
        new = [outbox.uuid7() for _ in capacities]
        async with self.catalog.begin() as tx:
            await outbox.record(tx, *(catalog_says(each, capacity=seats) for each, seats in zip(new, capacities, strict=True)))
        self.sessions += new
        return new

"""The embedded stack: what is started, in which order, what each process is told, and in which order all of it stops.

async with Stack(Installation(folder), Ports.free()) as stack:
    stack.portal_url, stack.kill("booking"), stack.pids
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import nats as nats_client
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy import demo, migrate, topology
from deploy.accounts import OPERATOR, SERVICES, TOPOLOGY, configuration
from deploy.child import Child, is_taken
from deploy.embedded import ADMIN_ROLE, NatsServer, PostgresServer
from deploy.installation import PUBLIC_PORTS, Installation, Ports, identity_url, mail_url, portal_url
from deploy.processes import GATEWAY, companions, release, service
from deploy.program import DRAIN_SECONDS, Program, end_leftovers, leftovers
from deploy.supervisor import Supervisor
from deploy.terminal import ErrorTail, Step, Terminal
from deploy.unprivileged import SetupError
from shared import clock
from shared.bus import Bus, connection_options

DEMONSTRATION_BEGINS = datetime(2027, 3, 1, 9, 0, tzinfo=clock.PARIS)
TAIL_SECONDS = 0.5


class Stack:
    """One embedded Lab-O. `settings` are more variables for the services; `demonstration` also loads the programme."""

    def __init__(
        self, installation: Installation, ports: Ports | None = None, terminal: Terminal | None = None, *,
        demonstration: bool = True, settings: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.installation = installation
        self.ports = ports or Ports()
        self.terminal = terminal or Terminal()
        self._demonstration, self._settings = demonstration, dict(settings or {})
        self.supervisor = Supervisor(self.terminal.tell)
        self._tail: asyncio.Task[None] | None = None
        self._hurried = False

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _where: TracebackType | None) -> None:
        await self.stop()

    # --- what tests and commands ask ---------------------------------------------------------------------------------------------------

    @property
    def portal_url(self) -> str:
        return portal_url(self.ports)

    @property
    def mail_url(self) -> str:
        return mail_url(self.ports)

    @property
    def identity_url(self) -> str:
        return identity_url(self.ports)

    @property
    def pids(self) -> dict[str, int]:
        return {name: child.pid for name, child in self.supervisor.children.items() if child.pid and child.running}

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to one process, by default the one that leaves it no time; the supervisor starts it again. Its pid."""
        pid = self.pids[name]
        os.kill(pid, number)
        return pid

    def admin_engine(self) -> AsyncEngine:
        """The database as its owner."""
        settings = self.installation.settings(ADMIN_ROLE, self.ports)
        return migrate.engine_of(settings, settings.postgres_database)

    async def operator_bus(self) -> Bus:
        return await Bus.connect(self.installation.settings(OPERATOR, self.ports))

    # --- start -----------------------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises `SetupError` with one sentence when it cannot; `stop` then ends what had been started."""
        installation, terminal = self.installation, self.terminal
        first = installation.create()
        installation.hold()
        terminal.say(f"Lab-O {release()} starts on {installation.folder}{' (first start)' if first else ''}", "bold")
        await self._end_leftovers()
        self._check_ports()
        installation.tell(self.ports)
        await self._start_servers(first=first)
        aside = asyncio.gather(*(self.supervisor.start(program) for program in companions(installation, self.ports)))
        try:
            services = [service(name, installation, self.ports, self._settings) for name in SERVICES]
            with terminal.step("services: " + ", ".join(SERVICES)) as step:
                await aside
                await self._start_together(services, step)
        finally:
            aside.cancel()
        self._tail = asyncio.create_task(self._follow_errors())
        if self._demonstration:
            await self.load_demonstration()

    async def _end_leftovers(self) -> None:
        found = leftovers(self.installation)
        if found:
            with self.terminal.step("ending what an earlier run left: " + ", ".join(found)):
                await asyncio.to_thread(end_leftovers, self.installation, found)

    def _check_ports(self) -> None:
        for name, variable in PUBLIC_PORTS.items():
            port: int = getattr(self.ports, name)
            if is_taken(port):
                raise SetupError(
                    f"port {port}, where the {NAMES[name]} answers, is taken by another program: stop that one, "
                    f"or choose another port with {variable}={port + 10} make run"
                )

    async def _start_servers(self, *, first: bool) -> None:
        terminal, secrets = self.terminal, self.installation.secrets
        folder = self.installation.folder
        postgres = await asyncio.to_thread(
            PostgresServer, folder / "postgres", password=secrets.postgres(ADMIN_ROLE), port=self.ports.postgres
        )
        if postgres.notice:
            terminal.say(f"  {postgres.notice}")
        plan = topology.Topology.read("embedded")
        accounts = configuration(plan, secrets.all_nats())
        nats = NatsServer(folder / "nats", accounts=accounts, port=self.ports.nats, http_port=self.ports.nats_monitoring)
        await asyncio.to_thread(self.part_with_another_life, postgres, nats, first=first)
        with terminal.step("PostgreSQL and nats-server"):
            await asyncio.gather(self.supervisor.start(postgres), self.supervisor.start(nats))
        for server in (postgres, nats):
            link = self.installation.log(server.name)
            link.unlink(missing_ok=True)
            link.symlink_to(server.command.log)
        with terminal.step("tables, streams, durables"):
            await self._migrate(postgres)
            await self._apply(plan)

    def part_with_another_life(self, postgres: PostgresServer, nats: NatsServer, *, first: bool) -> None:
        """Data without their passwords, and streams without their data, are of an earlier life of this folder.

        The former is put aside (it may lie under `/var/tmp`, where nobody who removes `.labo` thinks of it), the latter is only a cache.
        """
        data, streams = postgres.data, nats.folder / "jetstream"
        if first and data.exists():
            postgres.prepare()
            aside = data.with_name(f"{data.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}")
            data.rename(aside)
            self.terminal.say(f"  Data without passwords were there already, from an earlier Lab-O: they are put aside in {aside}.")
        if streams.exists() and not data.exists():
            nats.prepare()
            shutil.rmtree(streams)

    async def _migrate(self, postgres: PostgresServer) -> None:
        try:
            await migrate.run(self.installation.settings(ADMIN_ROLE, self.ports), self.installation.secrets.all_postgres())
        except DBAPIError as refused:
            if "password authentication failed" not in str(refused):
                raise
            raise SetupError(
                f"the data in {postgres.data} were made with other passwords than those in {self.installation.secrets.folder}: "
                "bring that folder back, or move the data away to begin anew"
            ) from refused
        engine = self.admin_engine()
        async with engine.begin() as tx:
            offset = (DEMONSTRATION_BEGINS - datetime.now(UTC)).total_seconds()
            await tx.execute(
                text("insert into platform.clock (offset_seconds) values (:offset) on conflict do nothing"), {"offset": offset}
            )
            clock.shift(await clock.read_offset(tx), "embedded")
        await engine.dispose()

    async def _apply(self, plan: topology.Topology) -> None:
        client = await nats_client.connect(**connection_options(self.installation.settings(TOPOLOGY, self.ports), TOPOLOGY))
        try:
            await topology.apply(client, plan)
        finally:
            await client.close()

    async def _start_together(self, programs: Sequence[Program], step: Step) -> None:
        waiting = {program.name for program in programs}

        async def start(program: Program) -> None:
            await self.supervisor.start(program)
            waiting.discard(program.name)
            step.show("services: waiting for " + ", ".join(sorted(waiting)))

        await asyncio.gather(*map(start, programs))

    async def _follow_errors(self) -> None:
        tail = ErrorTail(self.terminal, {name: self.installation.log(name) for name in SERVICES})
        while True:
            await asyncio.sleep(TAIL_SECONDS)
            tail.look()

    # --- the demonstration -------------------------------------------------------------------------------------------------------------

    async def load_demonstration(self) -> None:
        """When the database is empty, or the files are others than those loaded last. What fails is told; the stack runs on."""
        loaded, files = self.installation.run / "demonstration", _digest(demo.FOLDER)
        if loaded.exists() and loaded.read_text() == files and not await self._is_empty():
            return
        with self.terminal.step("demonstration") as step:
            bus = await self.operator_bus()
            try:
                report = await demo.load(bus, progress=_shown(step))
            finally:
                await bus.close()
            step.title = f"demonstration: {_counted(report)}"
        for refused in report.refused:
            self.terminal.say(f"    not loaded: {refused}", "red")
        loaded.write_text(files)

    async def _is_empty(self) -> bool:
        engine = self.admin_engine()
        try:
            async with engine.connect() as connection:
                return not await connection.scalar(text("select exists (select from catalog.outbox)"))
        finally:
            await engine.dispose()

    # --- stop ------------------------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Doors first, then those who work, then what they work with: nothing that was accepted is lost."""
        if self._tail:
            self._tail.cancel()
        children = dict(self.supervisor.children)
        last = [name for name in (NatsServer.name, PostgresServer.name) if name in children]
        workers = [name for name in SERVICES if name in children and name != GATEWAY]
        aside = [name for name in children if name not in (*SERVICES, *last)]
        groups = [[name for name in (GATEWAY,) if name in children], workers, aside, *([name] for name in last)]
        for names in filter(None, groups):
            await self._stop_group([children[name] for name in names])
        await self.supervisor.close()
        self.installation.release()

    async def _stop_group(self, group: Sequence[Child]) -> None:
        names = ", ".join(child.name for child in group)
        with self.terminal.step(f"stopped: {names}", f"stopping {names}"):
            late = await self.supervisor.stop(group, within=3.0 if self._hurried else DRAIN_SECONDS)
        for child in late:
            self.terminal.say(f"    {child.name} had not finished in time and was killed", "red")

    def hurry(self) -> None:
        """Stop waiting for anybody: all our own processes are killed; the servers, which hold the data, get three seconds."""
        self._hurried = True
        self.supervisor.stop_watching()
        for child in self.supervisor.children.values():
            if isinstance(child, Program) and child.pid:
                with suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGKILL)


NAMES = {"portal": "portal", "mail": "mail catcher", "identity": "identity provider"}


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _shown(step: Step) -> Callable[[str, int, int], None]:
    def show(part: str, done: int, total: int) -> None:
        step.show(f"demonstration: {part} {done} of {total}")

    return show


def _counted(report: demo.LoadReport) -> str:
    done = report.done
    counted = {"sessions": "schedule_session", "bookings": "book_seat", "projects": "submit_application", "agents": "register_agent"}
    return ", ".join(f"{done[request]} {name}" for name, request in counted.items())

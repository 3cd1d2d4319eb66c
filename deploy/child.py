"""A server as a direct child process: prepared, started, found ready, stopped or killed, and started again on the same port and data."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.unprivileged import Account, SetupError

HOST = "127.0.0.1"
LOG_LIMIT = 20 * 2**20
FIRST_PORT, SLICES, SLICE = 15_000, 50, 340

_turn = itertools.count(random.SystemRandom().randrange(SLICE))


class PortTaken(SetupError):
    """Another program listens where a server should."""


def free_port() -> int:
    """A port nobody listens on, below those that the system gives to outgoing connections, so that a restart finds it free.

    It is bound only later, so no two who ask at the same time may get the same: a process goes round a slice of its own.
    """
    first = FIRST_PORT + os.getpid() % SLICES * SLICE
    for _ in range(SLICE):
        port = first + next(_turn) % SLICE
        if not is_taken(port):
            return port
    raise SetupError(f"no free port was found between {first} and {first + SLICE - 1}")


def is_taken(port: int) -> bool:
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


class Child:
    """One server process. `start()` blocks; from asyncio, `await asyncio.to_thread(server.start)`."""

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

    def start(self, within: float = 90.0) -> None:
        """Start, or start again after a death, and wait until it serves. Nothing happens when it already does."""
        deadline = time.monotonic() + within
        while not self.running:
            self.prepare()
            try:
                if is_taken(self.port):
                    raise self._port_taken()
                self.spawn()
                self._wait_ready(deadline)
            except PortTaken:
                if not self._port_is_ours_to_choose or time.monotonic() > deadline:
                    self._reap()
                    raise
                self.port = free_port()

    def spawn(self) -> None:
        command = self.command
        with suppress(FileNotFoundError):
            if command.log.stat().st_size > LOG_LIMIT:
                command.log.replace(command.log.with_suffix(".log.1"))
        with command.log.open("ab") as log:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops the servers last.
            self._process = subprocess.Popen[bytes](
                command.argv,
                env=command.env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **identity(command.account),
            )

    def wait(self) -> int | None:
        """Block until the process ends; its return code."""
        return self._process.wait() if self._process else None

    def stop(self, within: float = 15.0) -> None:
        """Ask it to finish, then insist."""
        if self._process and self.running:
            self._process.send_signal(self.stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(within)
        self.kill()

    def kill(self) -> None:
        """What a crash does: no goodbye, nothing flushed."""
        if self._process:
            self._process.kill()
        self._reap()

    def hold(self, folder: Path) -> None:
        """One stack per folder: a second one says so, instead of taking the first one's server for an orphan."""
        if self._lock is not None:
            return
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as held:
            os.close(handle)
            raise SetupError(f"another Lab-O already runs on {folder}: stop it first, or choose another folder") from held
        self._lock = handle

    def _reap(self) -> None:
        """Wait for the dead: a killed postmaster left as a zombie blocks its own restart."""
        if self._process:
            self._process.wait()
        self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _wait_ready(self, deadline: float) -> None:
        while not self.ready():
            if not self.running:
                raise self._death()
            if time.monotonic() > deadline:
                self.kill()
                raise SetupError(f"{self.name} did not become ready in time; its log is {self.command.log}")
            time.sleep(0.01)

    def _death(self) -> SetupError:
        with self.command.log.open("rb") as log:
            log.seek(self._log_start)
            said = log.read().decode(errors="replace").strip()
        self._reap()
        if "ddress already in use" in said:
            return self._port_taken()
        last = said.splitlines()[-1] if said else "it said nothing"
        return SetupError(f"{self.name} stopped while starting: {last} (log: {self.command.log})")

    def _port_taken(self) -> PortTaken:
        return PortTaken(f"port {self.port}, which {self.name} needs, is taken by another program")


def identity(account: Account | None) -> dict[str, Any]:
    """Arguments of `subprocess` that run a program as this account and with none of our groups."""
    return {"user": account.uid, "group": account.gid, "extra_groups": ()} if account else {}


def end_orphan(pid_file: Path, marker: str) -> None:
    """Stop the server that a killed parent left running: only if that process's command line names our own file or folder."""
    try:
        pid = int(pid_file.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    for number, patience in ((signal.SIGINT, 10.0), (signal.SIGKILL, 5.0)):
        if marker not in _arguments(pid):
            return
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + patience
        while marker in _arguments(pid) and time.monotonic() < deadline:
            time.sleep(0.02)


def _arguments(pid: int) -> list[str]:
    """The command line of a process; empty for one that is gone, or waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def processes_in(folder: Path) -> Iterator[int]:
    """Processes whose current folder is this one, as is that of a postmaster and of each of its children."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if (entry / "cwd").readlink() == folder:
                    yield int(entry.name)

"""Our own Python processes as children of the supervisor, and what an earlier, killed supervisor left running."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.child import HOST, Child, Command
from deploy.installation import ROOT, Installation

DRAIN_SECONDS = 20.0
LOOK_SECONDS = 0.05
_LEADS_ELSEWHERE = ("PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP")


class Program(Child):
    """`python -m <module> …`. `ready_path` is asked on its port until it answers 200; without one it is ready once it runs."""

    def __init__(
        self, name: str, installation: Installation, command: Sequence[str], *,
        port: int = 0, ready_path: str | None = None, environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        super().__init__(installation.folder, port)
        self.name = name
        self._installation, self._arguments, self._ready_path = installation, tuple(command), ready_path
        self._environment = dict(environment or {})

    @property
    def command(self) -> Command:
        kept = {name: value for name, value in os.environ.items() if name not in _LEADS_ELSEWHERE}
        direct = ",".join(filter(None, (kept.get("NO_PROXY"), HOST, "localhost")))  # no proxy stands between our own processes
        env = kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", "NO_PROXY": direct, "no_proxy": direct} | self._environment
        return Command((sys.executable, "-m", *self._arguments), env, self._installation.log(self.name))

    @property
    def pid_file(self) -> Path:
        return self._installation.run / f"{self.name}.pid"

    def prepare(self) -> None:
        """Nothing: leftovers of all programs are ended together, before any is started."""

    def spawn(self) -> None:
        super().spawn()
        if self.pid is not None:
            self.pid_file.write_text(f"{self.pid} {birth(self.pid)}")

    def ready(self) -> bool:
        if self._ready_path is None:
            return self.running
        time.sleep(LOOK_SECONDS)
        return get(self.port, self._ready_path)[0] == http.HTTPStatus.OK

    def stop(self, within: float = DRAIN_SECONDS) -> None:
        super().stop(within)
        self.pid_file.unlink(missing_ok=True)


def get(port: int, path: str, timeout: float = 3.0) -> tuple[int, object]:
    """Status and JSON body of one of our own processes; 0 when it does not answer. Not through urllib, which would ask the site's proxy."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        return 0, None
    finally:
        connection.close()
    try:
        return answer.status, json.loads(body)
    except ValueError:
        return answer.status, None


def birth(pid: int) -> str:
    """When a process began, so that a number given to another process is not taken for it; empty when there is none."""
    try:
        told = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if told[0] in {"Z", "X"} else told[19]
    except OSError:
        if Path("/proc/self").exists():
            return ""
    seen = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "-".join(seen.stdout.split())


def leftovers(installation: Installation) -> dict[str, int]:
    """Our processes that outlived a supervisor killed without a goodbye, by name."""
    found: dict[str, int] = {}
    for file in sorted(installation.run.glob("*.pid")):
        with suppress(OSError, ValueError):
            pid, _, born = file.read_text().partition(" ")
            if born and birth(int(pid)) == born:
                found[file.stem] = int(pid)
                continue
        file.unlink(missing_ok=True)
    return found


def end_leftovers(installation: Installation, found: Mapping[str, int], within: float = DRAIN_SECONDS) -> None:
    """Ask them all to finish, then insist."""
    born = {pid: birth(pid) for pid in found.values()}
    for number, patience in ((signal.SIGTERM, within), (signal.SIGKILL, 5.0)):
        alive = [pid for pid in born if born[pid] and birth(pid) == born[pid]]
        for pid in alive:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        deadline = time.monotonic() + patience
        while any(birth(pid) == born[pid] for pid in alive) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
    for name in found:
        (installation.run / f"{name}.pid").unlink(missing_ok=True)

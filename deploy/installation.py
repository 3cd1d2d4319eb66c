"""One folder (`.labo/`) with everything of an embedded stack: data, passwords, logs, and where the processes of the running one are."""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from deploy.accounts import OPERATOR, SERVICES, TOPOLOGY, Secrets
from deploy.child import HOST, free_port
from deploy.embedded import ADMIN_ROLE
from deploy.unprivileged import SetupError
from shared.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DATA = "LABO_DATA"


@dataclass(frozen=True)
class Ports:
    """Where the processes listen, all on loopback. The first three are those that people see."""

    portal: int = 8080
    mail: int = 8025
    identity: int = 9400
    smtp: int = field(default_factory=free_port)
    nats: int = field(default_factory=free_port)
    nats_monitoring: int = field(default_factory=free_port)
    postgres: int = field(default_factory=free_port)
    health: dict[str, int] = field(default_factory=lambda: {name: free_port() for name in SERVICES})
    """Of each service: `/readyz` and `/metrics`."""

    @classmethod
    def chosen(cls) -> Ports:
        """The three that people see from the environment, the others free now."""
        told = {name: variable for name, variable in PUBLIC_PORTS.items() if os.environ.get(variable)}
        return replace(cls(), **{name: _port(variable) for name, variable in told.items()})

    @classmethod
    def free(cls) -> Ports:
        """All of them free now: for tests."""
        return cls(portal=free_port(), mail=free_port(), identity=free_port())


PUBLIC_PORTS = {"portal": "LABO_PORTAL_PORT", "mail": "LABO_MAIL_PORT", "identity": "LABO_IDENTITY_PORT"}


def _port(variable: str) -> int:
    value = os.environ[variable]
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise SetupError(f"{variable}={value} is not a port: give a number between 1 and 65535")
    return int(value)


@dataclass(frozen=True)
class Running:
    """What a started stack tells about itself."""

    pid: int
    portal_url: str
    ports: Ports


class Installation:
    """The folder, by default `.labo` beside the project's files; `LABO_DATA` names another."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or Path(os.environ.get(DATA) or ROOT / ".labo")).absolute()
        self.secrets = Secrets(self.folder / "secrets")
        self._lock: int | None = None

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def run(self) -> Path:
        return self.folder / "run"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def create(self) -> bool:
        """Make the folders; True when this is the first start."""
        first = not self.secrets.folder.exists()
        try:
            for folder in (self.secrets.folder, self.logs, self.run):
                folder.mkdir(parents=True, exist_ok=True)
            self.secrets.folder.chmod(0o700)
        except OSError as failed:
            raise SetupError(
                f"the data folder {self.folder} cannot be used: {failed.strerror} (another one: {DATA}=/some/folder)"
            ) from failed
        return first

    # --- one stack per folder ------------------------------------------------------------------------------------------------------

    def hold(self) -> None:
        """Until `release`, or until this process ends: a second stack in the folder is refused with one sentence."""
        handle = os.open(self.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for patience in (0.1, 0.2, 0.0):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                time.sleep(patience)  # `labo` may just be looking
            else:
                self._lock = handle
                return
        os.close(handle)
        running = self._told()
        who = f" (process {running.pid}, portal at {running.portal_url})" if running else ""
        raise SetupError(
            f"Lab-O already runs on {self.folder}{who}: stop it with Ctrl-C in its terminal, or start this one with {DATA}=/other/folder"
        )

    def release(self) -> None:
        if self._lock is not None:
            (self.run / "ports.json").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def tell(self, ports: Ports) -> None:
        """Write down where the processes are, for `labo`."""
        told = {"pid": os.getpid(), "portal_url": portal_url(ports), "ports": asdict(ports)}
        partial = self.run / "ports.json.partial"
        partial.write_text(json.dumps(told, indent=2) + "\n")
        partial.rename(self.run / "ports.json")

    def running(self) -> Running | None:
        """The stack that runs on this folder now, if one does."""
        try:
            handle = os.open(self.run / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return self._told()
        finally:
            os.close(handle)
        return None

    def _told(self) -> Running | None:
        try:
            told: dict[str, Any] = json.loads((self.run / "ports.json").read_text())
            return Running(told["pid"], told["portal_url"], Ports(**told["ports"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    # --- how to reach it -----------------------------------------------------------------------------------------------------------

    def settings(self, account: str, ports: Ports) -> Settings:
        """What a process of this account is told: a service, the operator, the topology's user, or the owner of the database."""
        given: dict[str, Any] = {
            "service": account,
            "environment": "embedded",
            "nats_url": f"nats://{HOST}:{ports.nats}",
            "postgres_host": HOST,
            "postgres_port": ports.postgres,
        }
        if account in (*SERVICES, OPERATOR, TOPOLOGY):
            given["nats_password"] = SecretStr(self.secrets.nats(account))
        if account in (*SERVICES, ADMIN_ROLE):
            given["postgres_password"] = SecretStr(self.secrets.postgres(account))
        return Settings(**given)


def portal_url(ports: Ports) -> str:
    return f"http://{HOST}:{ports.portal}"


def mail_url(ports: Ports) -> str:
    return f"http://{HOST}:{ports.mail}"


def identity_url(ports: Ports) -> str:
    return f"http://{HOST}:{ports.identity}"

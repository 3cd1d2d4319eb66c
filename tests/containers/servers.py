"""PostgreSQL and nats-server of the tests in containers, with the gestures that tests make: start, kill, start again in place."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any, cast

from deploy.child import HOST, free_port
from deploy.embedded import ADMIN_ROLE, FAST_SETTINGS, NATS_CONFIGURATION, POSTGRES_SETTINGS
from tests.containers.engine import engine_missing

NATS_IMAGE, POSTGRES_IMAGE = "nats:2.15-alpine", "postgres:18"


def missing() -> str | None:
    """Why the embedded servers serve instead; None when containers can."""
    return engine_missing()


class Contained:
    """A container on a port of this machine, as the tests' own server classes behave."""

    def __init__(self, image: str, inside: int) -> None:
        # Its own sweeper is an image to pull, with the engine's socket; the fixtures remove what they started.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        from testcontainers.core.container import DockerContainer  # slow to import

        self.port = free_port()
        self._container = DockerContainer(image)
        self._publish(inside, self.port)
        self._started = False

    def _publish(self, inside: int, port: int) -> None:
        """On loopback only, which `with_bind_ports` cannot say."""
        self._container.ports[f"{inside}/tcp"] = cast("Any", (HOST, port))

    def start(self) -> None:
        if self._started:
            self._container.get_wrapped_container().start()
        else:
            self._container.start()
            self._started = True
        deadline = time.monotonic() + 60
        while not self.ready():
            if time.monotonic() > deadline:
                raise TimeoutError(self._container.get_wrapped_container().logs(tail=20).decode())
            time.sleep(0.05)

    @property
    def pid(self) -> int | None:
        """Of its first process as this machine counts, for who may send it signals; None when it does not run."""
        container = self._container.get_wrapped_container()
        container.reload()
        return container.attrs["State"]["Pid"] or None

    def kill(self) -> None:
        """Dead it may be already."""
        container = self._container.get_wrapped_container()
        container.reload()
        if container.status == "running":
            container.kill()

    def remove(self) -> None:
        self._container.stop(force=True, delete_volume=True)

    def ready(self) -> bool:
        raise NotImplementedError


class ContainedPostgres(Contained):
    """With the settings of the embedded one in tests: fast, not durable."""

    def __init__(self, password: Path) -> None:
        super().__init__(POSTGRES_IMAGE, 5432)
        settings = {**POSTGRES_SETTINGS, **FAST_SETTINGS, "listen_addresses": "*"}
        settings.pop("unix_socket_directories")
        command = ["postgres", *(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))]
        self._container.with_command(command).with_volume_mapping(str(password), "/run/secrets/password", "ro").with_kwargs(user="999:999")
        for name, value in {
            "POSTGRES_USER": ADMIN_ROLE,
            "POSTGRES_DB": ADMIN_ROLE,
            "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
            "POSTGRES_INITDB_ARGS": "--encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8",
        }.items():
            self._container.with_env(name, value)

    def ready(self) -> bool:
        asked: Any = self._container.get_wrapped_container().exec_run(["pg_isready", "-q", "-h", "127.0.0.1"])
        return asked.exit_code == 0

    def stop(self) -> None:
        self.remove()


class ContainedNats(Contained):
    def __init__(self, folder: Path, accounts: str) -> None:
        super().__init__(NATS_IMAGE, 4222)
        self.http_port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "nats.conf"
        file.write_text(
            NATS_CONFIGURATION.format(
                server_name="labo", host="0.0.0.0", port=4222, http_port=8222, pid_file=json.dumps("/tmp/nats.pid"),  # noqa: S104, S108
                store=json.dumps("/tmp/jetstream"), sync_interval=json.dumps("1s"), accounts=accounts,  # noqa: S108
            )
        )  # fmt: skip
        self._publish(8222, self.http_port)
        self._container.with_command(["--config", "/etc/nats/nats.conf"])
        self._container.with_volume_mapping(str(file), "/etc/nats/nats.conf", "ro")

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def monitoring_url(self) -> str:
        return f"http://{HOST}:{self.http_port}"

    def ready(self) -> bool:
        asked: Any = self._container.get_wrapped_container().exec_run(["wget", "-qO-", "http://127.0.0.1:8222/healthz"])
        return asked.exit_code == 0 and b"ok" in asked.output

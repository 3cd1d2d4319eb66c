"""Debian's Prometheus as a child process of a test, and what it is asked."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from deploy.child import HOST, free_port
from deploy.stack import Stack
from tests.conftest import eventually

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "observability"
RULES = FOLDER / "prometheus" / "rules.yml"
DEBIAN = {"prometheus": "prometheus", "promtool": "prometheus", "amtool": "prometheus-alertmanager"}


def program(name: str) -> str:
    """Where it is, or the test says why it is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed here (Debian: apt install {DEBIAN[name]})")
    return found


def run(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program(name), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60)


@asynccontextmanager
async def child(*command: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """A process that ends with the block."""
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


class Prometheus:
    """The HTTP API of a running server."""

    def __init__(self, http: httpx2.AsyncClient) -> None:
        self._http = http

    async def ask(self, expression: str) -> list[float]:
        """The values of an instant query; an assertion error with Prometheus' own words when it refuses the expression."""
        answer = (await self._http.get("/api/v1/query", params={"query": expression})).json()
        assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
        return [float(sample["value"][1]) for sample in answer["data"]["result"]]

    async def get(self, path: str) -> Any:
        return (await self._http.get(path)).json()["data"]

    async def up(self) -> set[str]:
        targets = (await self.get("/api/v1/targets"))["activeTargets"]
        return {target["labels"]["job"] for target in targets if target["health"] == "up"}


def configuration(ports: Mapping[str, int]) -> dict[str, Any]:
    """The one that is shipped: same jobs and rules, scraped where this test runs them, and more often."""
    shipped = yaml.safe_load((FOLDER / "prometheus" / "prometheus.yml").read_text())
    jobs = [job["job_name"] for job in shipped["scrape_configs"]]
    assert set(jobs) == set(ports), "the shipped configuration scrapes every process, and nothing else"
    return {
        "global": {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "2s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [f"{HOST}:{ports[job]}"]}]} for job in jobs],
    }


@asynccontextmanager
async def watching(stack: Stack, folder: Path) -> AsyncGenerator[Prometheus]:
    """Prometheus and the exporter, on everything that the stack runs."""
    exporter, own = free_port(), free_port()
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(configuration({**stack.ports.health, "nats": exporter, "prometheus": own})))
    monitoring = f"http://{HOST}:{stack.ports.nats_monitoring}"
    export = (sys.executable, "-m", "deploy.observability.exporter", "--monitoring", monitoring, "--port", str(exporter))
    watch = (
        program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address={HOST}:{own}",
    )  # fmt: skip
    async with child(*export), child(*watch), httpx2.AsyncClient(base_url=f"http://{HOST}:{own}", timeout=20) as http:
        prometheus = Prometheus(http)

        async def everything() -> bool:
            try:
                ready = (await http.get("/-/ready")).status_code == 200
                return ready and len(await prometheus.up()) == len(stack.ports.health) + 2
            except httpx2.TransportError:
                return False

        await eventually(everything, 30)
        yield prometheus

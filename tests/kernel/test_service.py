"""A service as a real process: starts without its servers, says when it is ready, heals without a restart, stops without loss."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from nats.aio.client import Client

from deploy import topology
from deploy.child import free_port
from deploy.embedded import NatsServer
from shared.settings import Settings
from tests.conftest import PASSWORDS, TOPOLOGY, eventually

ROOT = Path(__file__).parents[2]


@dataclass
class Running:
    process: asyncio.subprocess.Process
    address: str

    async def get(self, path: str) -> httpx2.Response | None:
        """None while nobody listens."""
        try:
            async with httpx2.AsyncClient(base_url=self.address, timeout=5) as http:
                return await http.get(path)
        except httpx2.TransportError:
            return None

    async def ready(self) -> bool:
        answer = await self.get("/readyz")
        return answer is not None and answer.status_code == 200

    async def not_ready_because_of(self, problem: str) -> bool:
        answer = await self.get("/readyz")
        return answer is not None and answer.status_code == 503 and problem in " ".join(answer.json()["problems"])

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, list[dict[str, Any]]]:
        self.process.send_signal(number)
        output, _ = await asyncio.wait_for(self.process.communicate(), 20)
        return self.process.returncode or 0, [json.loads(line) for line in output.decode().splitlines()]


Start = Callable[..., Any]


@pytest.fixture
async def start(settings_for: Callable[..., Settings]) -> AsyncIterator[Start]:
    """`await start()`: booking, as `python -m services.booking.app` with its environment."""
    async with AsyncExitStack() as stack:

        async def begin(**others: str) -> Running:
            settings, port = settings_for("booking"), free_port()
            environment = {
                "LABO_ENVIRONMENT": "embedded",
                "LABO_NATS_URL": settings.nats_url,
                "LABO_NATS_PASSWORD": PASSWORDS["booking"],
                "LABO_POSTGRES_PORT": str(settings.postgres_port),
                "LABO_POSTGRES_DATABASE": settings.postgres_database,
                "LABO_POSTGRES_PASSWORD": PASSWORDS["booking"],
                "LABO_HTTP_PORT": str(port),
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.booking.app", cwd=ROOT, env=os.environ | environment | others,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip

            async def end() -> None:
                if process.returncode is None:
                    process.kill()
                    await process.communicate()

            stack.push_async_callback(end)
            return Running(process, f"http://127.0.0.1:{port}")

        yield begin


async def test_a_service_starts_serves_metrics_and_stops_with_zero_and_json_lines_only(start: Start) -> None:
    running: Running = await start()
    await eventually(running.ready, 30)

    live, metrics = await running.get("/livez"), await running.get("/metrics")
    assert live is not None
    assert live.text == "ok"
    assert metrics is not None
    assert "labo_relay_leader" in metrics.text

    code, lines = await running.stop()
    assert code == 0
    assert {"started", "stopping", "stopped"} <= {line["event"] for line in lines}
    assert all({"ts", "level", "service", "event"} <= set(line) for line in lines)


async def test_readiness_follows_the_broker_away_and_back_without_a_restart(start: Start, nats: NatsServer) -> None:
    nats.kill()
    running: Running = await start()
    await eventually(lambda: running.not_ready_because_of("starting"), 30)
    assert (await running.get("/livez")) is not None

    await asyncio.to_thread(nats.start)
    await eventually(running.ready, 30)

    assert nats.pid is not None
    os.kill(nats.pid, signal.SIGSTOP)  # paused: a connected flag would still say yes
    try:
        await eventually(lambda: running.not_ready_because_of("broker"), 20)
    finally:
        os.kill(nats.pid, signal.SIGCONT)
    await eventually(running.ready, 30)


async def test_readiness_means_a_recent_fetch_of_every_durable(start: Start, admin_nats: Client) -> None:
    running: Running = await start()
    await eventually(running.ready, 30)

    await admin_nats.jetstream().delete_consumer("EVT_CATALOG", "booking-sessions")
    await eventually(lambda: running.not_ready_because_of("consumer booking-sessions"), 30)

    await topology.apply(admin_nats, TOPOLOGY)
    await eventually(running.ready, 30)


async def test_a_wrong_password_ends_the_process_or_keeps_it_unready_and_says_why(start: Start) -> None:
    running: Running = await start(LABO_NATS_PASSWORD="wrong")

    await eventually(lambda: running.not_ready_because_of("starting"), 30)
    await asyncio.sleep(0.5)

    _, lines = await running.stop()
    assert any("uthorization" in json.dumps(line) for line in lines)


async def test_a_port_that_is_taken_is_one_clear_line(start: Start) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        running: Running = await start(LABO_HTTP_PORT=str(taken.getsockname()[1]))

        output, _ = await asyncio.wait_for(running.process.communicate(), 30)

    assert running.process.returncode == 1
    assert any(json.loads(line)["event"] == "port_taken" for line in output.decode().splitlines())

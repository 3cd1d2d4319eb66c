"""What one booking passes through, each alone: an HTTP exchange that does nothing, a round trip over NATS between two processes.

python -m tests.bench.pings serve URL USER PASSWORD           answers until it is ended
python -m tests.bench.pings ask URL USER PASSWORD SECONDS     prints the median in milliseconds
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import nats as nats_client
import uvloop
from nats.aio.client import Client
from nats.aio.msg import Msg

from deploy.accounts import OPERATOR
from deploy.stack import Stack
from tests.bench.load import Plan, run_load

SUBJECT = "rpc.booking.bench_ping.v1"
BODY = b'{"session_id":"0199d6c1-7d9c-7c5e-b4fd-3c1f6d0d5f10","agent_id":"0199d6c1-7d9c-7c5e-b4fd-3c1f6d0d5f11"}'


async def connected(url: str, user: str, password: str) -> Client:
    return await nats_client.connect(url, user=user, password=password, inbox_prefix=f"_INBOX_{user}".encode())


async def serve(url: str, user: str, password: str) -> None:
    """Answers with what it was asked."""
    client = await connected(url, user, password)

    async def answer(message: Msg) -> None:
        await message.respond(message.data)

    await client.subscribe(SUBJECT, cb=answer)
    await client.flush()
    print("ready", flush=True)
    await asyncio.Event().wait()


async def ask(url: str, user: str, password: str, seconds: float) -> None:
    client = await connected(url, user, password)
    took: list[float] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        await client.request(SUBJECT, BODY, timeout=5)
        took.append(time.perf_counter() - began)
    await client.close()
    print(json.dumps(1000 * statistics.median(took)))


class Pings:
    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def _told(self, user: str) -> list[str]:
        stack = self._stack
        return [f"nats://127.0.0.1:{stack.ports.nats}", user, stack.installation.secrets.nats(user)]

    @asynccontextmanager
    async def answering(self) -> AsyncGenerator[Pings]:
        process = await self._run("serve", *self._told("booking"))
        assert process.stdout is not None
        await process.stdout.readline()
        try:
            yield self
        finally:
            process.terminate()
            await process.wait()

    async def _run(self, *arguments: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.bench.pings", *arguments, stdout=asyncio.subprocess.PIPE)

    async def nats(self, seconds: float = 1.0) -> float:
        """Median milliseconds of a request and its answer, nats-py on both sides."""
        process = await self._run("ask", *self._told(OPERATOR), str(seconds))
        told, _ = await process.communicate()
        return float(json.loads(told))

    async def http(self, seconds: float = 1.0) -> float:
        """Median milliseconds of an exchange with the gateway's process that does nothing."""
        port = self._stack.ports.health["gateway"]
        return (await run_load(Plan(port=port, style="ping", path="/livez", seconds=seconds, warm=0.2))).p50


if __name__ == "__main__":
    verb, url, user, password, *seconds = sys.argv[1:]
    uvloop.run(serve(url, user, password) if verb == "serve" else ask(url, user, password, float(*seconds)))

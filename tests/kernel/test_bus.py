"""The connection itself, with a server that is there and does not read."""

from __future__ import annotations

import asyncio
import os
import signal

from deploy.embedded import NatsServer
from shared.bus import frame
from tests.kernel.conftest import Kernel

MORE_THAN_FITS = 60
"""Messages of nearly 1 MB: sockets keep a few of them."""


async def test_a_bus_closes_although_the_server_reads_no_more(kernel: Kernel, nats: NatsServer) -> None:
    bus = await kernel.bus("gateway")
    assert nats.pid is not None
    os.kill(nats.pid, signal.SIGSTOP)
    try:
        for _ in range(MORE_THAN_FITS):
            await bus.send_frames([frame("rpc.nobody", "", {}, b"x" * 900_000)])
            await asyncio.sleep(0)  # the client's own task writes

        async with asyncio.timeout(30):
            await bus.close()
    finally:
        os.kill(nats.pid, signal.SIGCONT)

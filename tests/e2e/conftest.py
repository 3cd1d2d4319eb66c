"""The whole embedded stack, as `make run` starts it, in a folder and on ports of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest_asyncio

from deploy.installation import Installation, Ports
from deploy.stack import Stack
from shared.bus import Bus


@contextmanager
def stack_folder() -> Generator[Path]:
    """Reachable by the account that runs PostgreSQL, which pytest's own temporary folders are not."""
    folder = Path(tempfile.mkdtemp(prefix="labo-e2e-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    with stack_folder() as folder:
        async with Stack(
            Installation(folder), Ports.free(), settings={"LABO_REQUESTS_PER_MINUTE": "0", "LABO_UNKNOWN_REQUESTS_PER_MINUTE": "0"}
        ) as running:
            yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def operator(stack: Stack) -> AsyncIterator[Bus]:
    bus = await stack.operator_bus()
    yield bus
    await bus.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def http(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    limits = httpx2.Limits(max_connections=250, max_keepalive_connections=250)
    async with httpx2.AsyncClient(base_url=stack.portal_url, timeout=30, limits=limits) as client:
        yield client

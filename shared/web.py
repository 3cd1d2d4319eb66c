"""HTTP beside everything else: uvicorn as a task of the process, which keeps its own signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Generator

import uvicorn
from starlette.types import ASGIApp

from shared.telemetry import log


class WebServer(uvicorn.Server):
    """uvicorn without its own signal handlers; `finished` is set when it has answered its last request."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.finished = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def start_web(application: ASGIApp, host: str, port: int) -> WebServer:
    """Serve an application beside everything else; a port that cannot be had ends the process with one clear line."""
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=10,
        server_header=False,
    )
    server = WebServer(config)

    async def serve() -> None:
        try:
            await server.serve()
        except SystemExit:
            log.critical("port_taken", host=host, port=port)
            os._exit(1)
        finally:
            server.finished.set()

    task = asyncio.create_task(serve(), name=f"web:{port}")
    _web_tasks.add(task)
    task.add_done_callback(_web_tasks.discard)
    return server


_web_tasks: set[asyncio.Task[None]] = set()

"""A TCP proxy between a service and its servers, that does to the traffic what networks do."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field

HOST = "127.0.0.1"
UP, DOWN = "to the server", "to the service"


@dataclass
class Weather:
    """What happens to bytes now; `Proxy` has verbs that change it."""

    refused: bool = False
    """New connections are closed at once."""
    still: set[str] = field(default_factory=set[str])
    """Directions in which bytes wait, and nobody is told: UP, DOWN, or both."""
    delay: float = 0.0
    """Seconds before each piece goes on."""
    slice: int = 0
    """Bytes a piece has at most; 0 for as they come."""


class Proxy:
    """`await proxy.start()`, then point the service to `proxy.port`."""

    def __init__(self, target: int) -> None:
        self.target, self.port, self.weather = target, 0, Weather()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, ...]] = {}

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, HOST, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._end_all()

    # --- the weather --------------------------------------------------------------------------------------------------------------

    async def cut(self) -> None:
        """Connections end, and new ones are refused."""
        self.weather.refused = True
        await self._end_all()

    async def reset(self) -> None:
        """Connections end with RST; new ones may come."""
        for writers in self._open.values():
            for writer in writers:
                linger = struct.pack("ii", 1, 0)
                with suppress(OSError):
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        await self._end_all()

    def stall(self) -> None:
        """A cable is pulled: nothing passes, nothing is said."""
        self._change(Weather(still={UP, DOWN}))

    def half_open(self, direction: str) -> None:
        """Bytes in this direction wait, the others pass."""
        self._change(Weather(still={direction}))

    def delay(self, seconds: float) -> None:
        self._change(Weather(delay=seconds))

    def slice(self, size: int) -> None:
        self._change(Weather(slice=size))

    def heal(self) -> None:
        """What waited goes on."""
        self._change(Weather())

    def _change(self, weather: Weather) -> None:
        self.weather = weather
        self._changed.set()
        self._changed = asyncio.Event()

    # --- connections --------------------------------------------------------------------------------------------------------------

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = (writer,)
        try:
            if self.weather.refused:
                return
            far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
            self._open[task] = (writer, far_writer)
            up = asyncio.create_task(self._forward(reader, far_writer, UP))
            down = asyncio.create_task(self._forward(far_reader, writer, DOWN))
            await self._either_ends(up, down)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for each in self._open.pop(task):
                each.close()

    @staticmethod
    async def _either_ends(*ways: asyncio.Task[None]) -> None:
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str) -> None:
        while data := await reader.read(65536):
            size = self.weather.slice or len(data)
            for start in range(0, len(data), size):
                while direction in self.weather.still:
                    await self._changed.wait()
                if self.weather.delay:
                    await asyncio.sleep(self.weather.delay)
                writer.write(data[start : start + size])
                await writer.drain()

    async def _end_all(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

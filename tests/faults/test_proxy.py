"""The proxy does to the traffic what it says: a fault that does not happen proves nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from tests.faults.proxy import DOWN, HOST, UP, Proxy

SOON = 0.2


class Line:
    """A connection through the proxy to a server that answers every line with itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, text: str, within: float = 2.0) -> str:
        self.writer.write(f"{text}\n".encode())
        return (await asyncio.wait_for(self.reader.readline(), within)).decode().strip()


class Echo:
    def __init__(self) -> None:
        self.heard: list[str] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                self.heard.append(line.decode().strip())
                writer.write(line)
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[Proxy]:
    server = await asyncio.start_server(echo.answer, HOST, 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    await proxy.start()
    yield proxy
    await proxy.stop()
    server.close()


async def connect(proxy: Proxy) -> Line:
    return Line(*await asyncio.open_connection(HOST, proxy.port))


async def test_bytes_pass_whole_sliced_or_late(proxy: Proxy) -> None:
    line = await connect(proxy)
    assert await line.say("bonjour") == "bonjour"

    proxy.slice(1)
    assert await line.say("bonjour" * 20) == "bonjour" * 20

    proxy.delay(SOON)
    began = time.monotonic()
    assert await line.say("bonjour") == "bonjour"
    assert time.monotonic() - began >= 2 * SOON
    line.writer.close()


async def test_a_stall_is_silent_and_what_waited_goes_on(proxy: Proxy, echo: Echo) -> None:
    line = await connect(proxy)
    proxy.stall()

    with pytest.raises(TimeoutError):
        await line.say("bonjour", within=SOON)
    assert echo.heard == []

    proxy.heal()
    assert await asyncio.wait_for(line.reader.readline(), 2) == b"bonjour\n"
    line.writer.close()


@pytest.mark.parametrize(("direction", "heard"), [(DOWN, ["bonjour"]), (UP, [])])
async def test_half_open_lets_the_other_direction_pass(proxy: Proxy, echo: Echo, direction: str, heard: list[str]) -> None:
    line = await connect(proxy)
    proxy.half_open(direction)

    with pytest.raises(TimeoutError):
        await line.say("bonjour", within=SOON)

    assert echo.heard == heard
    line.writer.close()


async def test_a_cut_ends_connections_and_refuses_new_ones_until_it_heals(proxy: Proxy) -> None:
    line = await connect(proxy)
    await line.say("bonjour")

    await proxy.cut()
    assert await asyncio.wait_for(line.reader.read(), 2) == b""
    again = await connect(proxy)
    assert await asyncio.wait_for(again.reader.read(), 2) == b""

    proxy.heal()
    last = await connect(proxy)
    assert await last.say("bonjour") == "bonjour"
    for each in (line, again, last):
        each.writer.close()


async def test_a_reset_is_an_error_at_the_other_end(proxy: Proxy) -> None:
    line = await connect(proxy)
    await line.say("bonjour")

    await proxy.reset()

    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(line.reader.read(), 2)
    line.writer.close()

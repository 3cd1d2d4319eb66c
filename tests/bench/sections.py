"""The parts of a run, each with its limit beside it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from typing import Any

from deploy.embedded import ADMIN_ROLE, PostgresServer
from deploy.migrate import engine_of
from tests.bench import drain, quiet_hour
from tests.bench.afternoon import Monolith
from tests.bench.figures import Figures
from tests.bench.growth import grow
from tests.bench.house import House, empty_folder, open_house
from tests.bench.limits import DATABASE, Pgbench, create
from tests.bench.load import Result
from tests.bench.machine import family, memory, watched
from tests.bench.pings import Pings

CALLERS = (1, 8, 16, 64)


async def seen(figures: Figures, work: Awaitable[Any]) -> Any:
    """Run one slice and keep how much of the machine others took meanwhile."""
    with watched() as others:
        result = await work
    figures.seen(others)
    return result


def told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- bookings ----------------------------------------------------------------------------------------------------------------------------


async def bookings(figures: Figures, rounds: int, seconds: float, wanted: Collection[str], *, pretix: bool) -> None:
    """pgbench, the monolith and Lab-O on one PostgreSQL, in turn."""
    async with open_house() as house, AsyncExitStack() as stack:
        await house.furnish()
        settings = house.stack.installation.settings(ADMIN_ROLE, house.stack.ports)
        database = engine_of(settings, DATABASE)
        await create(house.admin, database)
        pgbench = Pgbench(settings)
        stack.callback(pgbench.close)
        pings = await stack.enter_async_context(Pings(house.stack).answering())
        if "bookings" in wanted:
            monolith = await stack.enter_async_context(Monolith(database).running())
            await house.book(16, seconds=2)  # caches of statements and tokens, on both sides
            for number in range(1, rounds + 1):
                told(f"round {number} of {rounds}")
                await _round(figures, house, pgbench, monolith, pings, seconds)
            _remember_memory(figures, house)
            _judge_bookings(figures)
        if "delay" in wanted:
            await house.book(16, seconds=1)
            for number in range(1, rounds + 1):
                told(f"light load {number} of {rounds}")
                await _light_load(figures, house)
            figures.gate(8, "commit → row at notify, 100/s / direct publish → row (p50)", figures.ratio("commit to row p50", "direct to row p50"),  # noqa: E501
                         2.5, 2.5, at_least=False)  # fmt: skip
        if pretix:
            from tests.bench.pretix import compare

            await compare(figures, house, settings, rounds, seconds)


async def _round(figures: Figures, house: House, pgbench: Pgbench, monolith: Monolith, pings: Pings, seconds: float) -> None:
    whole = max(1, round(seconds))

    async def limit(name: str, clients: int, *, hot: bool = False) -> None:
        reached = await seen(figures, pgbench.run(clients, hot=hot, seconds=whole))
        figures.add(f"pgbench {name}", reached.per_second)
        figures.add(f"pgbench {name} p50", reached.p50)

    async def slice_of(name: str, work: Awaitable[Result]) -> None:
        result: Result = await seen(figures, work)
        figures.add(name, result.per_second)
        figures.add(f"{name} p50", result.p50)
        figures.add(f"{name} p99", result.p99)

    await limit("spread 1", 1)
    figures.add("http ping", await seen(figures, pings.http()))
    figures.add("nats ping", await seen(figures, pings.nats()))
    for callers in CALLERS[:3]:
        await slice_of(f"labo spread {callers}", house.book(callers, seconds=seconds))
    await limit("spread 16", 16)
    await slice_of("labo spread 64", house.book(64, seconds=seconds))
    await slice_of("monolith x1 spread 64", monolith.book(1, 64, seconds=seconds))
    await slice_of("monolith x2 spread 64", monolith.book(2, 64, seconds=seconds))
    await limit("hot 16", 16, hot=True)
    for callers in CALLERS:
        await slice_of(f"labo hot {callers}", house.book(callers, hot=True, seconds=seconds))
    await limit("hot 1", 1, hot=True)
    await slice_of("monolith x1 hot 64", monolith.book(1, 64, hot=True, seconds=seconds))


def _judge_bookings(figures: Figures) -> None:
    better = max("monolith x1 spread 64", "monolith x2 spread 64", key=figures.median)
    figures.gate(1, "64 callers, spread / pgbench 16 clients", figures.ratio("labo spread 64", "pgbench spread 16"), 0.25, 0.45)
    figures.gate(2, "64 callers, one session / pgbench 16 clients, hot", figures.ratio("labo hot 64", "pgbench hot 16"), 1.0, 1.5)
    figures.gate(3, f"64 callers, spread / {better.removesuffix(' spread 64')}", figures.ratio("labo spread 64", better), 4, 6)
    path = figures.ratio("labo spread 1 p50", "http ping", "nats ping", "pgbench spread 1 p50")
    figures.gate(5, "p50 of one caller / (HTTP + NATS + pgbench)", path, 4, 2.5, at_least=False)


def _remember_memory(figures: Figures, house: House) -> None:
    for name, pid in house.stack.pids.items():
        held = memory(family(pid))
        figures.add(f"memory {name} rss", held.rss)
        figures.add(f"memory {name} pss", held.pss)


async def _light_load(figures: Figures, house: House) -> None:
    ours = await seen(figures, quiet_hour.from_commit(house, 100, 4))
    to_row, to_consumer = await seen(figures, quiet_hour.direct(house, 100, 4))
    for name, delays in (("commit to row", ours), ("direct to row", to_row), ("direct to consumer", to_consumer)):
        figures.add(f"{name} p50", delays.p50)
        figures.add(f"{name} p99", delays.p99)


# --- relay, start, growth ------------------------------------------------------------------------------------------------------------------  # noqa: E501


async def relay(figures: Figures, events: int, repeats: int) -> None:
    told(f"relay: {events} events, {repeats} times")
    for each in await seen(figures, drain.measure(events, repeats)):
        figures.add("raw publish", each["raw"])
        figures.add("relay", each["relay"])
    figures.gate(6, "outbox drained by the relay / raw pipelined publishing", figures.ratio("relay", "raw publish"), 0.5, 0.7)


async def start(figures: Figures, repeats: int) -> None:
    """From an empty folder to the first booking, beside what it cannot do without: initdb and one service's imports."""
    for number in range(1, repeats + 1):
        told(f"cold start {number} of {repeats}")
        began = time.monotonic()
        async with open_house() as house:
            figures.add("started", time.monotonic() - began)
            await house.furnish(sessions=1, agents=1)
            await house.load(1, seconds=0.1)
            figures.add("first booking", time.monotonic() - began)
        async with empty_folder() as folder:
            server = PostgresServer(folder / "postgres", password="bench")
            figures.add("initdb", await _timed(asyncio.to_thread(server.prepare)))
            server.stop()
        command = [sys.executable, "-c", "import services.booking.app"]
        figures.add("imports", await _timed(asyncio.to_thread(subprocess.run, command, check=True)))


async def _timed(work: Awaitable[Any]) -> float:
    began = time.monotonic()
    await work
    return time.monotonic() - began


async def growth(figures: Figures, rounds: int, seconds: float, grown: int) -> None:
    """Two stacks side by side, one of them with a large past; VACUUM, ANALYZE and CHECKPOINT lie before every slice."""
    async with open_house() as small, open_house() as large:
        for house in (small, large):
            await house.furnish(sessions=100, agents=1000)
        told(f"laying {grown:,} bookings into the tables")
        await grow(large, grown)
        for house in (small, large):
            await house.book(8, seconds=2)
        for _ in range(rounds):
            for name, house in (("small", small), ("large", large)):
                await house.maintain()
                result: Result = await seen(figures, house.book(1, seconds=seconds))
                figures.add(f"{name} table p50", result.p50)
    figures.gate(
        13, f"p50 with {grown:,} bookings / with few", figures.ratio("large table p50", "small table p50"), 1.10, 1.05, at_least=False
    )


Section = Callable[..., Awaitable[None]]

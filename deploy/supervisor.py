"""Keeps child processes alive: starts what dies again, ever more slowly, and says so; stops them in the order it is told."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from deploy.child import Child
from deploy.unprivileged import SetupError

LOOK_SECONDS = 0.05
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
HEALTHY_SECONDS = 30.0  # after so long alive, the next death is a first one again

Say = Callable[[str], None]


class Supervisor:
    """Children start with `start`, each waits until it serves; from then on they are watched until `stop`."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._threads = ThreadPoolExecutor(16, thread_name_prefix="supervisor")  # asyncio's own pool has 6 on two cores
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._starting: dict[str, asyncio.Future[None]] = {}
        self.children: dict[str, Child] = {}
        self.restarts: dict[str, int] = {}

    async def start(self, child: Child) -> None:
        """Raises `SetupError` when it does not come up."""
        self.children[child.name] = child
        await self._begin(child, child.start)
        self._watches[child.name] = asyncio.create_task(self._watch(child), name=f"watch {child.name}")

    async def stop(self, children: Iterable[Child], within: float) -> list[Child]:
        """All of them at once; those that had to be killed because they did not finish in time."""
        return [child for child, late in await asyncio.gather(*(self._stop(child, within) for child in children)) if late]

    def stop_watching(self) -> None:
        """From now on, what dies stays dead."""
        for watch in self._watches.values():
            watch.cancel()

    async def close(self) -> None:
        self._threads.shutdown(wait=False)

    async def _stop(self, child: Child, within: float) -> tuple[Child, bool]:
        if watch := self._watches.pop(child.name, None):
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        began = time.monotonic()
        await self._in_thread(lambda: child.stop(within))
        if started := self._starting.pop(child.name, None):  # it ends, and what it made is stopped
            with suppress(Exception):
                await started
            await self._in_thread(lambda: child.stop(within))
        return child, time.monotonic() - began > within

    async def _begin(self, child: Child, call: Callable[[], None]) -> None:
        """A start in a thread, which goes on when this task is cancelled: `_stop` waits for it."""
        started = self._starting[child.name] = asyncio.get_running_loop().run_in_executor(self._threads, call)
        await asyncio.shield(started)
        del self._starting[child.name]

    async def _in_thread(self, call: Callable[[], None]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, call)

    # --- restarts --------------------------------------------------------------------------------------------------------------------

    async def _watch(self, child: Child) -> None:
        failures, alive_since = 0, time.monotonic()
        while True:
            while child.running:  # noqa: ASYNC110 - nothing tells of a death; looking costs one system call
                await asyncio.sleep(LOOK_SECONDS)
            failures = 1 if time.monotonic() - alive_since > HEALTHY_SECONDS else failures + 1
            pause = min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE)
            self._say(f"{child.name} {how_it_died(child.wait())}; starting it again in {pause:.1f} s{_again(failures)}")
            await asyncio.sleep(pause)
            alive_since = time.monotonic()
            self.restarts[child.name] = self.restarts.get(child.name, 0) + 1
            await self._revive(child)

    async def _revive(self, child: Child) -> None:
        """Start it, and tell when it serves. One that runs but does not serve yet is left alone: it may wait for another."""
        began = time.monotonic()
        try:
            await self._begin(child, lambda: _spawn_again(child))
        except (SetupError, OSError) as failed:
            self._say(f"{child.name} cannot be started: {failed}")
            return
        while child.running:
            if await asyncio.get_running_loop().run_in_executor(self._threads, child.ready):
                self._say(f"{child.name} is back ({time.monotonic() - began:.1f} s)")
                return
            await asyncio.sleep(LOOK_SECONDS)


def _spawn_again(child: Child) -> None:
    child.kill()  # reaps what is dead, and lets its lock go
    child.prepare()
    child.spawn()


def _again(failures: int) -> str:
    return "" if failures == 1 else f" (death number {failures} in a row)"


def how_it_died(code: int | None) -> str:
    if code is None:
        return "is gone"
    if code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
        return f"was ended by signal {-code}"
    return f"ended with code {code}"

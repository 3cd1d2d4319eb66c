"""What the machine does meanwhile: foreign load during a slice, CPU and memory of processes. From /proc; elsewhere it knows nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICKS = os.sysconf("SC_CLK_TCK")
NOISY = 0.3
"""Cores used by others, above which a slice is called noisy."""


@dataclass
class Seen:
    foreign: float = 0.0
    """Cores that processes other than ours used, on average."""
    seconds: float = 0.0


@contextmanager
def watched() -> Generator[Seen]:
    """`with watched() as seen:` tells afterwards how much of the machine others took."""
    seen = Seen()
    began, busy, ours = time.monotonic(), _busy(), _family_time(os.getpid())
    yield seen
    seen.seconds = time.monotonic() - began
    seen.foreign = max(0.0, (_busy() - busy) - (_family_time(os.getpid()) - ours)) / max(seen.seconds, 0.01)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for each, parent, _ in _processes():
        children.setdefault(parent, []).append(each)
    found, waiting = [], [pid]
    while waiting:
        found.append(here := waiting.pop())
        waiting += children.get(here, [])
    return found


@dataclass(frozen=True)
class Memory:
    rss: float
    """MiB, shared pages counted whole."""
    pss: float
    """MiB, each shared page divided by the number of its users."""


def memory(pids: list[int]) -> Memory:
    rss = pss = 0
    for pid in pids:
        with suppress(OSError):
            for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
    return Memory(rss / 1024, pss / 1024)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with its descendants, those that ended included."""
    return _family_time(pid)


def _busy() -> float:
    try:
        numbers = [int(each) for each in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0.0
    return (sum(numbers) - numbers[3] - numbers[4]) / TICKS  # without idle and iowait


def _family_time(pid: int) -> float:
    members = set(family(pid))
    return sum(spent for each, _, spent in _processes() if each in members)


def _processes() -> Iterator[tuple[int, int, float]]:
    """Pid, parent, seconds of CPU: its own and those of the children it has waited for."""
    try:
        entries = list(PROC.iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.isdigit():
            with suppress(OSError, IndexError, ValueError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                yield int(entry.name), int(fields[1]), sum(map(int, fields[11:15])) / TICKS

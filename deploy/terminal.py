"""What the stack says to the person who started it: steps with their duration, then one line per thing that happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import cast

from rich.console import Console
from rich.markup import escape

QUIET_SECONDS = 10.0  # the same error of the same process is told once in so long


class Terminal:
    """Coloured with a spinner on a terminal, plain lines elsewhere. `lines` keeps all that was said, for tests."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console
        self.lines: list[str] = []

    def say(self, text: str, style: str = "") -> None:
        self.lines.append(text)
        if self._console:
            self._console.print(escape(text), style=style or None, highlight=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """Something happened while the stack runs."""
        self.say(f"{datetime.now().astimezone():%H:%M:%S}  {text}", "yellow")

    @contextmanager
    def step(self, title: str, doing: str = "") -> Generator[Step]:
        """A line once it is done, until then what is being done. What it raises goes through, without a line."""
        began, step = time.monotonic(), Step(title)
        if self._console and self._console.is_terminal:
            with self._console.status(f"{escape(doing or title)} …", spinner="dots") as status:
                step.shown = lambda text: status.update(f"{escape(text)} …")
                yield step
        else:
            yield step
        self.say(f"  ✓ {step.title:<44} {time.monotonic() - began:5.1f} s")


class Step:
    """Something under way; its title may become more telling before its end."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.shown: Callable[[str], None] | None = None

    def show(self, text: str) -> None:
        """How far it is; seen on a terminal only."""
        if self.shown:
            self.shown(text)


class ErrorTail:
    """Follows the logs of the services, and tells what they call an error or worse."""

    def __init__(self, terminal: Terminal, logs: Mapping[str, Path]) -> None:
        self._terminal, self._logs = terminal, logs
        self._places = {name: _size(log) for name, log in logs.items()}
        self._told: dict[tuple[str, str], float] = {}

    def look(self) -> None:
        for name, log in self._logs.items():
            size = _size(log)
            if size < self._places[name]:  # it was put aside, and a new one begun
                self._places[name] = 0
            if size > self._places[name]:
                with log.open("rb") as opened:
                    opened.seek(self._places[name])
                    text = opened.read(size - self._places[name])
                whole = text.rfind(b"\n") + 1
                self._places[name] += whole
                for line in text[:whole].splitlines():
                    self._read(name, log, line)

    def _read(self, name: str, log: Path, line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        entry = cast("dict[str, object]", said) if isinstance(said, dict) else {}
        if entry.get("level") not in {"error", "critical"}:
            return
        event, now = str(entry.get("event")).partition("\n")[0][:120], time.monotonic()
        if now - self._told.get((name, event), float("-inf")) > QUIET_SECONDS:
            self._told[name, event] = now
            self._terminal.tell(f"{name} reports {event} (details: {log})")


def _size(log: Path) -> int:
    try:
        return log.stat().st_size
    except OSError:
        return 0

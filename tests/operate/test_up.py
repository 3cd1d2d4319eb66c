"""`labo up` as a person meets it: started in a terminal, interrupted, killed, and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.child import free_port
from deploy.installation import ROOT, Installation
from deploy.program import leftovers

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("quiet_environment")]
Answer = subprocess.CompletedProcess[str]


class Terminal:
    """`labo up --no-demo` and what it prints."""

    def __init__(self, data: Path) -> None:
        self.data = data
        ports = {name: str(free_port()) for name in ("LABO_PORTAL_PORT", "LABO_MAIL_PORT", "LABO_IDENTITY_PORT")}
        self._output = (data / "terminal.txt").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "up", "--no-demo"], cwd=ROOT, stdout=self._output, stderr=self._output,
            env={**os.environ, "LABO_DATA": str(data), "COLUMNS": "200", **ports}, start_new_session=True,
        )  # fmt: skip

    @property
    def said(self) -> str:
        return (self.data / "terminal.txt").read_text()

    def wait_for(self, words: str, within: float = 90.0) -> None:
        deadline = time.monotonic() + within
        while words not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        self._output.close()


@pytest.fixture
def terminals(folder: Path) -> Iterator[Callable[[], Terminal]]:
    opened: list[Terminal] = []

    def start() -> Terminal:
        opened.append(Terminal(folder))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def test_a_killed_supervisor_leaves_nothing_that_the_next_start_does_not_clear_and_ctrl_c_stops_all_in_order(
    terminals: Callable[[], Terminal], folder: Path, labo: Callable[..., Answer]
) -> None:
    first = terminals()
    first.wait_for("Ctrl-C; data")
    for words in ("Lab-O runs", "Monday 1 March 2027, 09:0", "Portal   http://127.0.0.1:", "Mail     http://127.0.0.1:", "Garonne Tilleul"):
        assert words in first.said
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    assert "no Lab-O runs" in labo("status", data=folder).stderr
    left = leftovers(Installation(folder))
    assert {"booking", "gateway", "mail-catcher"} <= set(left)

    second = terminals()
    second.wait_for("Ctrl-C; data")

    assert "ending what an earlier run left: " in second.said
    answer = labo("status", "--json", data=folder)
    assert json.loads(answer.stdout)["services"][0]["ready"] is True
    assert not set(left.values()) & set(leftovers(Installation(folder)).values())

    second.process.send_signal(signal.SIGINT)

    assert second.process.wait(60) == 0
    stopped = [line.split("stopped: ")[1].split("  ")[0] for line in second.said.splitlines() if "stopped: " in line]
    assert stopped == [
        "gateway",
        "catalog, booking, projects, notify",
        "topology-watch, mail-catcher, sign-in",
        "nats-server",
        "PostgreSQL",
    ]
    assert "killed" not in second.said
    assert leftovers(Installation(folder)) == {}


def test_ctrl_c_during_the_start_stops_what_there_is(terminals: Callable[[], Terminal], folder: Path) -> None:
    terminal = terminals()
    terminal.wait_for("streams, durables")

    terminal.process.send_signal(signal.SIGINT)

    assert terminal.process.wait(60) == 0
    assert "Lab-O runs" not in terminal.said
    assert "Traceback" not in terminal.said
    assert leftovers(Installation(folder)) == {}

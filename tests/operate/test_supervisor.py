"""Children that die, children that will not, and children that a killed supervisor leaves behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from deploy.child import Child, Command
from deploy.installation import Installation, Ports
from deploy.program import Program, birth, end_leftovers, leftovers
from deploy.stack import Stack
from deploy.supervisor import Supervisor, how_it_died
from tests.conftest import eventually

PATIENT = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
FAILING = "raise SystemExit(3)"


class Script(Child):
    """A child that runs a line of Python."""

    def __init__(self, folder: Path, name: str, script: str, serves: Callable[[], bool] = lambda: True) -> None:
        super().__init__(folder, 0)
        self.name, self._script, self._serves = name, script, serves

    def prepare(self) -> None:
        pass

    @property
    def command(self) -> Command:
        return Command((sys.executable, "-c", self._script), dict(os.environ), self.folder / f"{self.name}.log")

    def ready(self) -> bool:
        return self._serves()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
async def supervisor(said: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(said.append)
    yield supervisor
    await supervisor.stop(list(supervisor.children.values()), within=5)
    await supervisor.close()


def alive(pid: int) -> bool:
    return birth(pid) != ""


async def test_what_dies_is_started_again_and_the_terminal_says_how_and_when(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    child = Script(tmp_path, "booking", PATIENT)
    await supervisor.start(child)
    assert child.pid

    os.kill(killed := child.pid, signal.SIGKILL)

    await eventually(lambda: child.running and child.pid != killed)
    await eventually(lambda: len(said) == 2)
    assert said[0] == "booking was ended by SIGKILL; starting it again in 0.2 s"
    assert said[1].startswith("booking is back (")
    assert supervisor.restarts == {"booking": 1}


async def test_what_dies_again_and_again_is_started_ever_more_slowly(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    await supervisor.start(Script(tmp_path, "notify", "import time; time.sleep(0.3); raise SystemExit(3)"))

    await eventually(lambda: sum("ended with code 3" in line for line in said) >= 3)

    deaths = [line for line in said if "ended with code 3" in line]
    assert deaths[0].endswith("in 0.2 s")
    assert deaths[1].endswith("in 0.4 s (death number 2 in a row)")
    assert deaths[2].endswith("in 0.8 s (death number 3 in a row)")


async def test_who_has_not_finished_in_time_is_killed_and_named(supervisor: Supervisor, tmp_path: Path) -> None:
    deaf = Script(tmp_path, "deaf", STUBBORN, lambda: (tmp_path / "deaf.log").read_text() == "deaf\n")
    polite = Script(tmp_path, "polite", PATIENT)
    await asyncio.gather(supervisor.start(deaf), supervisor.start(polite))
    pids = [deaf.pid, polite.pid]

    late = await supervisor.stop([deaf, polite], within=0.5)

    assert late == [deaf]
    assert not any(alive(pid) for pid in pids if pid)


async def test_a_stop_during_a_start_leaves_no_process_behind(supervisor: Supervisor, tmp_path: Path) -> None:
    child = Script(tmp_path, "slow", PATIENT, serves=lambda: False)
    starting = asyncio.create_task(supervisor.start(child))
    pid = await eventually(lambda: child.pid or 0)

    starting.cancel()
    await supervisor.stop([child], within=5)

    assert not alive(pid)
    assert not child.running


async def test_a_stop_while_something_is_being_started_again_leaves_no_process_behind(
    supervisor: Supervisor, said: list[str], tmp_path: Path
) -> None:
    child = Script(tmp_path, "booking", PATIENT)
    await supervisor.start(child)
    assert child.pid
    os.kill(child.pid, signal.SIGKILL)
    await eventually(lambda: said)

    await supervisor.stop([child], within=5)

    assert not child.running


async def test_a_hurried_stop_waits_for_nobody_and_starts_nothing_again(folder: Path) -> None:
    installation = Installation(folder)
    installation.create()
    stack = Stack(installation, Ports.free())
    deaf = f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('{folder}/deaf', 'w'); time.sleep(600)"
    program = Program("booking", installation, ["timeit", "-n1", "-r1", deaf])
    await stack.supervisor.start(program)
    await eventually((folder / "deaf").exists)

    began = time.monotonic()
    stopping = asyncio.create_task(stack.stop())
    await asyncio.sleep(0.3)
    assert not stopping.done()
    stack.hurry()
    await stopping

    assert time.monotonic() - began < 5
    assert not program.running
    assert not [line for line in stack.terminal.lines if "starting it again" in line]


@pytest.mark.parametrize(
    ("code", "told"), [(-9, "was ended by SIGKILL"), (-250, "was ended by signal 250"), (1, "ended with code 1"), (None, "is gone")]
)
def test_how_a_process_died_is_told_in_words(code: int | None, told: str) -> None:
    assert how_it_died(code) == told


def test_what_a_killed_supervisor_left_is_found_and_ended(folder: Path) -> None:
    installation = Installation(folder)
    installation.create()
    orphan = Program("booking", installation, ["http.server", "0", "--bind", "127.0.0.1"])
    orphan.spawn()

    found = leftovers(installation)
    assert found == {"booking": orphan.pid}

    end_leftovers(installation, found, within=5)
    orphan.wait()
    assert leftovers(installation) == {}


def test_a_number_that_now_belongs_to_another_process_is_left_alone(folder: Path) -> None:
    installation = Installation(folder)
    installation.create()
    (installation.run / "booking.pid").write_text(f"{os.getpid()} 12345")

    assert leftovers(installation) == {}
    assert not (installation.run / "booking.pid").exists()

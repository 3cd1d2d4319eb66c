"""The first command on a machine that lacks something, and on one that has it all already."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy import setup
from deploy.installation import ROOT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment of its own, whose pip and venv are only noted down."""
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").touch()
    for name, text in (("RUN", "a==1\n"), ("DEV", "a==1\nb==2\n")):
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(setup, name, tmp_path / name)
    monkeypatch.setattr(setup, "VENV", venv)
    monkeypatch.setattr(setup, "PYTHON", venv / "bin" / "python")
    monkeypatch.setattr(setup, "STAMP", venv / "labo-lock")
    return tmp_path


@pytest.fixture
def done(place: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done, in order."""
    steps: list[str] = []

    def run(command: list[str], _otherwise: str) -> None:
        steps.append(command[2])
        if command[2] == "venv":
            (place / ".venv" / "bin").mkdir(parents=True)
            (place / ".venv" / "bin" / "python").touch()

    def install(lock: Path) -> None:
        steps.append(lock.name)

    monkeypatch.setattr(setup, "works", bool)
    monkeypatch.setattr(setup, "run", run)
    monkeypatch.setattr(setup, "install", install)
    return steps


def test_an_environment_is_made_once_and_again_when_its_lock_changes(place: Path, done: list[str]) -> None:
    setup.main(dev=False)
    assert done == ["venv", "RUN", "compileall"]

    done.clear()
    setup.main(dev=False)
    assert done == []

    (place / "RUN").write_text("a==2\n")
    setup.main(dev=False)
    assert done == ["venv", "RUN", "compileall"]


def test_the_environment_of_the_tests_serves_to_run_as_well(done: list[str]) -> None:
    setup.main(dev=True)

    done.clear()
    setup.main(dev=False)

    assert done == []


@pytest.mark.usefixtures("place")
def test_a_missing_venv_module_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec

    def without_ensurepip(name: str, *rest: Any) -> Any:
        return None if name == "ensurepip" else found(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", without_ensurepip)

    with pytest.raises(setup.Stopped, match=r"^Python's venv module is missing: install it .*python3-venv.*then try again\.$"):
        setup.main(dev=False)


@pytest.mark.parametrize(
    ("python", "told"),
    [("python-that-is-not-there", "there is no 'python-that-is-not-there' here"), ("old-python", "is older: install one")],
)
def test_a_missing_or_old_python_is_one_sentence(tmp_path: Path, python: str, told: str) -> None:
    (tmp_path / "old-python").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "old-python").chmod(0o755)
    outside_make = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    environment = {**outside_make, "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    answer = subprocess.run(
        ["make", "--no-print-directory", f"PYTHON={python}", "run"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )

    assert answer.returncode != 0
    assert answer.stdout == ""
    said = [line for line in answer.stderr.splitlines() if not line.startswith("make: ***")]
    assert len(said) == 1
    assert said[0].startswith("Lab-O needs Python 3.11 or newer, and ")
    assert told in said[0]


def test_labo_without_an_environment_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "labo").write_bytes((ROOT / "labo").read_bytes())
    (tmp_path / "labo").chmod(0o755)

    answer = subprocess.run([tmp_path / "labo", "status"], capture_output=True, text=True, check=False)

    assert (answer.returncode, answer.stdout) == (1, "")
    assert "run 'make run'" in answer.stderr

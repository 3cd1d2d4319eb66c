"""Make `.venv` from a lock, when it is missing or the lock has changed: `python3 deploy/setup.py [--dev]`, as the Makefile does.

Standard library only: nothing is installed yet.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "labo-lock"
RUN, DEV = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


class Stopped(Exception):
    """One sentence: why there is no environment, and what to do."""


def main(*, dev: bool) -> None:
    lock = DEV if dev else RUN
    if is_current(lock):
        return
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Stopped("Python's venv module is missing: install it (on Debian and Ubuntu: `apt install python3-venv`), then try again.")
    began = time.monotonic()
    if not works():
        print(f"Creating the environment in {VENV.name} …", flush=True)
        shutil.rmtree(VENV, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(VENV)], "the environment could not be created")
    install(lock)
    sources = [str(ROOT / name) for name in ("shared", "services", "deploy")]
    run([str(PYTHON), "-m", "compileall", "-q", "-j", "0", *sources], "our own modules could not be compiled")
    STAMP.write_text("\n".join(digest(each) for each in ((RUN, DEV) if dev else (RUN,))))  # the second holds all that the first one does
    print(f"The environment is ready ({time.monotonic() - began:.0f} s).", flush=True)


def is_current(lock: Path) -> bool:
    try:
        return digest(lock) in STAMP.read_text().split() and PYTHON.exists()
    except OSError:
        return False


def digest(lock: Path) -> str:
    return hashlib.sha256(lock.name.encode() + lock.read_bytes()).hexdigest()


def works() -> bool:
    """False too for an environment whose creation was interrupted, or whose Python was removed."""
    try:
        return subprocess.run([PYTHON, "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def install(lock: Path) -> None:
    """Run pip; show how far it is, and what it complained of when it fails."""
    number = sum("==" in line and line[0] not in " #" for line in lock.read_text().splitlines() if line)
    print(f"Installing {number} packages from {lock.name} (only when it changes) …", flush=True)
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar=off", "--require-hashes"]
    said: list[str] = []
    command = [PYTHON, "-m", "pip", "install", *options, "-r", lock]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment(), text=True) as pip:
        for line in pip.stdout or ():
            said.append(line)
            show(said, number)
    if sys.stdout.isatty():
        print("\r\x1b[K", end="", flush=True)
    if pip.returncode:
        print("".join([line for line in said if not line.startswith((*SEEN, "  "))][-15:]), file=sys.stderr)
        raise Stopped("Setup stopped: pip could not install the packages (its reasons stand above).")


SEEN = ("Collecting", "Processing", "Ignoring", "Requirement already")


def show(said: list[str], number: int) -> None:
    if sys.stdout.isatty():
        seen = sum(line.startswith(SEEN) for line in said)
        step = "unpacking" if said[-1].startswith("Installing collected") else f"fetching {min(seen, number)} of"
        print(f"\r  {step} {number} … \x1b[K", end="", flush=True)


def run(command: list[str], otherwise: str) -> None:
    if subprocess.run(command, env=environment(), check=False).returncode:
        raise Stopped(f"Setup stopped: {otherwise} (the reasons stand above).")


def environment() -> dict[str, str]:
    """Without pip's remark about root, and without what would lead Python elsewhere."""
    kept = {name: value for name, value in os.environ.items() if name not in {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}}
    return kept | {"PIP_ROOT_USER_ACTION": "ignore"}


if __name__ == "__main__":
    try:
        main(dev="--dev" in sys.argv[1:])
    except Stopped as stopped:
        sys.exit(str(stopped))
    except KeyboardInterrupt:
        sys.exit(130)

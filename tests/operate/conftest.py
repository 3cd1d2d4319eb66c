from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deploy.installation import ROOT


def _reachable_folder() -> Iterator[Path]:
    """Reachable by the account that runs PostgreSQL, which pytest's own temporary folders are not."""
    made = Path(tempfile.mkdtemp(prefix="labo-op-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made, ignore_errors=True)


folder = pytest.fixture(_reachable_folder, name="folder")
module_folder = pytest.fixture(_reachable_folder, scope="module", name="module_folder")


@pytest.fixture
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LABO_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def labo(quiet_environment: None) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`labo("status", "--json", data=folder)`: the command as an operator runs it."""

    def call(*arguments: str, data: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "LABO_DATA": str(data), "COLUMNS": "160", **variables}
        command = [sys.executable, "-m", "deploy.cli", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False)

    return call

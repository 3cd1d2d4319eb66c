"""The import contracts of pyproject.toml hold, and each was seen red: a violation is planted in a copy of the house."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([LINT_IMPORTS, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The house without its data, to be broken."""
    for name in ("shared", "services", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=lambda _, names: [each for each in names if each == "__pycache__"])
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_walls_stand() -> None:
    said = lint(ROOT)

    assert said.returncode == 0, said.stdout
    assert "0 broken" in said.stdout


RULES = "services/booking/seats/domain.py"
PLANTED = {
    "a service imports another": (
        "services/booking/seats/queries.py",
        "import services.catalog.activities.store",
        "No service imports",
    ),
    "a service imports another's rules": (
        "services/notify/mail/domain.py",
        "import services.booking.seats.domain",
        "No service imports",
    ),
    "the kernel imports a service": ("shared/outbox.py", "import services.booking.seats.store", "shared imports no service"),
    "the kernel imports deploy": ("shared/bus.py", "import deploy.topology", "shared imports no service"),
    "a service imports deploy": ("services/gateway/__init__.py", "import deploy.topology", "No service imports deploy"),
    "a rule reads the database": (RULES, "import sqlalchemy", "domain.py is pure"),
    "a rule reads the clock": (RULES, "from shared import clock", "domain.py is pure"),
    "a rule asks another service": ("services/catalog/activities/domain.py", "import shared.bus", "domain.py is pure"),
    "a rule logs": ("services/projects/calls/domain.py", "from shared.telemetry import log", "domain.py is pure"),
    "a rule calls its own store": (RULES, "from services.booking.seats import store", "domain.py is pure"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_violation_is_seen(case: str, copy: Path) -> None:
    file, line, contract = PLANTED[case]
    broken = copy / file
    broken.write_text(broken.read_text() + f"\n{line}\n")

    said = lint(copy)

    assert said.returncode == 1
    assert any(contract in each and "BROKEN" in each for each in said.stdout.splitlines()), said.stdout


def test_every_folder_of_code_is_a_package_or_the_import_contracts_do_not_see_it() -> None:
    folders = {file.parent for name in ("shared", "services", "deploy") for file in (ROOT / name).rglob("*.py")}

    without = {str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()}

    assert {each for each in without if "migrations" not in each} == set()

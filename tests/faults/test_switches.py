"""The switches that break a process work for tests alone, and refuse loudly anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import faults
from shared.faults import ALLOWED, BY_TESTS, ENVIRONMENT, FAULT, PLANTED_BUG, FaultRefused, planted_bug, read_fault

ROOT = Path(__file__).parents[2]
PERMITTED = {ENVIRONMENT: "embedded", ALLOWED: BY_TESTS}


def test_nothing_is_armed_without_being_asked_for() -> None:
    assert read_fault({}) is None
    assert planted_bug({}) is None
    faults.point("relay.leads")  # and we live


def test_a_fault_is_a_point_and_a_passage() -> None:
    assert read_fault(PERMITTED | {FAULT: "relay.after_publish:3"}) == ("relay.after_publish", 3)
    assert read_fault(PERMITTED | {FAULT: "relay.leads"}) == ("relay.leads", 1)


@pytest.mark.parametrize("wrong", ["relay.after_lunch:3", "relay.leads:soon", "3"])
def test_a_point_that_does_not_exist_would_prove_nothing(wrong: str) -> None:
    with pytest.raises(FaultRefused, match="no such point"):
        read_fault(PERMITTED | {FAULT: wrong})


@pytest.mark.parametrize("permissions", [{}, {ALLOWED: BY_TESTS}, {ENVIRONMENT: "embedded"}, PERMITTED | {ENVIRONMENT: "production"}])
@pytest.mark.parametrize("switch", [{FAULT: "relay.leads:1"}, {PLANTED_BUG: "missing_unique_key"}])
def test_a_service_that_is_told_to_break_does_not_start_outside_the_tests(permissions: dict[str, str], switch: dict[str, str]) -> None:
    told = {name: value for name, value in os.environ.items() if not name.startswith("LABO_")} | permissions | switch
    with pytest.raises(FaultRefused):
        read_fault(told)
        planted_bug(told)


def test_a_service_process_of_production_refuses_loudly() -> None:
    told = os.environ | {ENVIRONMENT: "production", ALLOWED: BY_TESTS, FAULT: "relay.leads:1"}

    ended = subprocess.run(
        [sys.executable, "-m", "services.booking.app"], env=told, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode != 0
    assert "take it out of this one's environment" in ended.stderr


def test_the_points_that_can_be_named_are_those_that_processes_pass() -> None:
    passed = {
        line.split('faults.point("')[1].split('"')[0]
        for name in ("relay", "commits", "consumers")
        for line in (ROOT / "shared" / f"{name}.py").read_text().splitlines()
        if "faults.point(" in line
    }

    assert passed == faults.POINTS

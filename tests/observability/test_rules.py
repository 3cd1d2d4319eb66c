"""Alerts: checked and played by Prometheus' own tool; each with a page that tells what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.observability.programs import FOLDER, ROOT, RULES, run

RUNBOOKS = ROOT / "docs" / "runbooks"
CASES = FOLDER / "prometheus" / "rules_test.yml"


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    pages = {rule["annotations"]["runbook"]: rule["alert"] for rule in alerts()}

    assert {f"docs/runbooks/{page.name}" for page in RUNBOOKS.glob("*.md")} == set(pages)
    for page, alert in pages.items():
        assert (ROOT / page).read_text().startswith(f"# {alert}\n")


def test_each_alert_is_played_firing() -> None:
    expected = [test for case in yaml.safe_load(CASES.read_text())["tests"] for test in case["promql_expr_test"] if test["exp_samples"]]
    played = " ".join(test["expr"] for test in expected)

    assert [rule["alert"] for rule in alerts() if f'"{rule["alert"]}"' not in played] == []


def test_the_cases_hold() -> None:
    played = run("promtool", "test", "rules", CASES)

    assert played.returncode == 0, played.stdout + played.stderr


def test_a_rule_that_no_longer_fires_is_caught(tmp_path: Path) -> None:
    shutil.copytree(FOLDER / "prometheus", tmp_path / "prometheus")
    rules = tmp_path / "prometheus" / "rules.yml"
    rules.write_text(rules.read_text().replace("labo_outbox_parked", "labo_outbox_parkt"))

    played = run("promtool", "test", "rules", tmp_path / "prometheus" / "rules_test.yml")

    assert played.returncode == 1
    assert "LaboEventsParked" in played.stdout + played.stderr


def test_the_configurations_are_taken() -> None:
    prometheus = run("promtool", "check", "config", FOLDER / "prometheus" / "prometheus.yml")
    assert prometheus.returncode == 0, prometheus.stdout + prometheus.stderr

    alertmanager = run("amtool", "check-config", FOLDER / "alertmanager" / "alertmanager.yml")
    assert alertmanager.returncode == 0, alertmanager.stdout + alertmanager.stderr

"""The dashboards as files: they are what the code says, and follow the rules of a good dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.observability.__main__ import FOLDER, drift, generate

Json = dict[str, Any]
FILES = sorted(FOLDER.glob("*.json"))


def panels(document: Json) -> Iterator[Json]:
    return (panel for panel in document["panels"] if panel["type"] != "row")


def faults(document: Json) -> list[str]:
    """Sentences about what a reader or another installation would stumble over."""
    found: list[str] = []
    ids = [panel["id"] for panel in document["panels"]]
    if len(set(ids)) != len(ids):
        found.append("two panels have the same id")
    variables = {variable["name"] for variable in document["templating"]["list"]}
    for panel in panels(document):
        found += [f"{panel['title']}: {fault}" for fault in panel_faults(panel, variables)]
    return found


def panel_faults(panel: Json, variables: set[str]) -> Iterator[str]:
    if panel["datasource"]["uid"] != "${datasource}":
        yield "its source is fixed"
    if not panel.get("description"):
        yield "says nothing of itself"
    if not panel["fieldConfig"]["defaults"].get("unit"):
        yield "has no unit"
    for target in panel["targets"]:
        expression = target["expr"]
        if re.search(r"rate\([^)]*\[(?!\$__rate_interval\])", expression):
            yield "a rate over a fixed time misses or blurs what happens"
        if unknown := set(re.findall(r"\$(\w+)", expression)) - variables - {"__rate_interval"}:
            yield f"nobody defines {unknown}"
        if not target.get("legendFormat"):
            yield "a line without a name"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_follows_the_rules(file: Path) -> None:
    document = json.loads(file.read_text())

    assert faults(document) == []
    assert document["uid"] == file.stem


def test_the_rules_are_seen_broken() -> None:
    document = json.loads(FILES[0].read_text())
    panel = next(panels(document))
    panel["datasource"]["uid"], panel["description"] = "prometheus", ""
    panel["fieldConfig"]["defaults"]["unit"] = ""
    panel["targets"][0] |= {"expr": "rate(labo_requests_total{job=~'$service'}[5m])", "legendFormat": ""}
    document["panels"][-1]["id"] = panel["id"]

    assert len(faults(document)) == 7


def test_the_committed_files_are_what_the_code_says(tmp_path: Path) -> None:
    assert drift() == [], "run: .venv/bin/python -m deploy.observability generate"

    generate(tmp_path)
    changed = tmp_path / FILES[0].name
    changed.write_text(changed.read_text().replace("Lab-O", "Labo", 1))
    (tmp_path / "mine.json").write_text("{}")
    assert drift(tmp_path) == ["mine.json is no dashboard of ours", f"{changed.name} is not what the code says"]

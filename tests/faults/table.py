"""The table of faults that a run of the tests prints: fault, injections, violations, figures; and how many planted bugs were caught."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

FAULT, PLANTED = "fault", "planted"
Record = Callable[[str, object], None]


@dataclass
class Report:
    """Handed to the process that prints, also when the test ran in another one."""

    record: Record

    def fault(self, name: str, injections: int, violations: Sequence[str], figures: str = "") -> None:
        """One line of the table; then the test fails if something was violated."""
        line = {"name": name, "injections": injections, "violations": len(violations), "figures": figures}
        self.record(FAULT, line)
        assert not violations, f"{name}: " + "\n".join(violations)

    def planted(self, bug: str, violations: Sequence[str]) -> None:
        self.record(PLANTED, {"name": bug, "caught": bool(violations), "figures": violations[0] if violations else "nothing"})
        assert violations, f"the bug {bug} was planted, and nobody saw it"


def pytest_terminal_summary(terminalreporter: Any) -> None:
    found: dict[str, dict[str, dict[str, Any]]] = {FAULT: {}, PLANTED: {}}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for kind, line in getattr(report, "user_properties", ()):
                if kind in found:
                    found[kind][line["name"]] = _together(found[kind].get(line["name"]), line)
    if lines := [found[FAULT][name] for name in sorted(found[FAULT], key=_order)]:
        terminalreporter.section("faults")
        terminalreporter.write_line(f"{'fault':<46} {'injected':>9} {'violations':>11}  figures")
        for line in lines:
            terminalreporter.write_line(f"{line['name']:<46} {line['injections']:>9} {line['violations']:>11}  {line['figures']}")
    if bugs := found[PLANTED]:
        caught = sum(line["caught"] for line in bugs.values())
        terminalreporter.section(f"planted bugs: caught {caught} of {len(bugs)}")
        for name, line in sorted(bugs.items()):
            terminalreporter.write_line(f"{name:<34} {line['figures'][:100]}")


def _together(known: dict[str, Any] | None, line: dict[str, Any]) -> dict[str, Any]:
    """Tests that inject the same fault share a line."""
    if known is None or "injections" not in line:
        return line
    return line | {each: known[each] + line[each] for each in ("injections", "violations")}


def _order(name: str) -> tuple[int, str]:
    digits = name.removeprefix("F").split(" ")[0]
    return (int(digits) if digits.isdecimal() else 99), name


@pytest.fixture
def report(record_property: Record) -> Report:
    return Report(record_property)

"""What a run measured, and how it is shown: medians, ratios taken inside a round, gates."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.machine import NOISY, Seen


@dataclass(frozen=True)
class Gate:
    row: int
    """Of the table of goals in the design."""
    title: str
    ratio: float
    first: float
    """The gate to be met now."""
    next: float
    at_least: bool = True

    @property
    def reached(self) -> bool:
        return self.ratio >= self.first if self.at_least else self.ratio <= self.first

    @property
    def verdict(self) -> str:
        if self.reached:
            return "reached"
        short = self.first / self.ratio if self.at_least else self.ratio / self.first
        return f"missed by a factor of {short:.2f}"


@dataclass
class Figures:
    """`values["pgbench 16"]` has one figure per round, so that a ratio compares what was measured side by side."""

    values: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    notes: list[str] = field(default_factory=list[str])
    slices: list[float] = field(default_factory=list[float])
    gates: list[Gate] = field(default_factory=list[Gate])

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def seen(self, seen: Seen) -> None:
        self.slices.append(seen.foreign)

    def median(self, name: str) -> float:
        return statistics.median(self.values[name]) if self.values.get(name) else float("nan")

    def ratio(self, name: str, *others: str) -> float:
        """Median over the rounds of `name` divided by the sum of `others`."""
        rounds = zip(self.values.get(name, []), *(self.values.get(other, []) for other in others), strict=False)
        ratios = [value / sum(limits) for value, *limits in rounds if sum(limits)]
        return statistics.median(ratios) if ratios else float("nan")

    def gate(self, row: int, title: str, ratio: float, first: float, following: float, *, at_least: bool = True) -> None:
        self.gates.append(Gate(row, title, ratio, first, following, at_least))

    @property
    def noise(self) -> str:
        if not self.slices:
            return "nothing measured"
        noisy = sum(each > NOISY for each in self.slices)
        return (
            f"{len(self.slices)} slices; other programs used {statistics.median(self.slices):.2f} cores at the median, "
            f"more than {NOISY} in {noisy} of them{': READ THE RATIOS WITH CARE' if noisy * 3 > len(self.slices) else ''}"
        )


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Nothing when there are no rows."""
    if not rows:
        return ""
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) if place == 0 else cell.rjust(width) for place, (cell, width) in enumerate(zip(row, widths, strict=True)))  # noqa: E501
             for row in [head, *rows]]  # fmt: skip
    return "\n".join([title, *("  " + line.rstrip() for line in [lines[0], "-" * len(lines[0]), *lines[1:]]), ""])


def number(value: float) -> str:
    if value != value:  # noqa: PLR0124 - not a number: not measured
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"

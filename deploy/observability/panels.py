"""A dashboard as `technical.py` and `business.py` write it, and `grafana.py` turns it into JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

RATE = "$__rate_interval"
LEADING = "and on (job, instance) labo_relay_leader == 1"
"""A process that lost the lead keeps the figures it had then."""


@dataclass(frozen=True)
class Panel:
    """`queries`: expression → legend. A `stat` shows the last value, a `graph` the course of time."""

    title: str
    description: str
    unit: str
    queries: dict[str, str]
    kind: Literal["graph", "stat"] = "graph"
    alarm: float | None = None
    """From this value on, red."""


@dataclass(frozen=True)
class Board:
    uid: str
    title: str
    description: str
    rows: dict[str, tuple[Panel, ...]]
    by_service: bool = field(default=False)
    """With a variable `job`, the services shown."""


def quantiles(metric: str, where: str) -> dict[str, str]:
    return {f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{where}[{RATE}])))": f"p{round(q * 100)}" for q in (0.5, 0.95, 0.99)}

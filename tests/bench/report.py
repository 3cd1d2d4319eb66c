"""The table of a run."""

from __future__ import annotations

from tests.bench.figures import Figures, number, table


def show(figures: Figures) -> str:
    parts = [
        part
        for part in (
            _bookings(figures),
            _latency(figures),
            _delays(figures),
            _relay(figures),
            _start(figures),
            _memory(figures),
            _gates(figures),
        )
        if part
    ]
    return "\n".join(["", *parts, f"Noise: {figures.noise}.", *figures.notes])


def _bookings(figures: Figures) -> str:
    names = [
        ("pgbench, 1 client", "pgbench spread 1", "pgbench hot 1"),
        ("pgbench, 16 clients (the limit)", "pgbench spread 16", "pgbench hot 16"),
        ("Lab-O, 1 caller", "labo spread 1", "labo hot 1"),
        ("Lab-O, 8 callers", "labo spread 8", "labo hot 8"),
        ("Lab-O, 16 callers", "labo spread 16", "labo hot 16"),
        ("Lab-O, 64 callers", "labo spread 64", "labo hot 64"),
        ("monolith, 64 callers, 1 worker", "monolith x1 spread 64", "monolith x1 hot 64"),
        ("monolith, 64 callers, 2 workers", "monolith x2 spread 64", ""),
        ("pretix, 8 callers, 2 workers", "pretix 8", ""),
        ("Lab-O, 8 callers, beside pretix", "labo beside pretix 8", ""),
    ]
    rows = [
        [
            title,
            number(figures.median(spread)), number(figures.ratio(spread, "pgbench spread 16")),
            number(figures.median(hot)), number(figures.ratio(hot, "pgbench hot 16")),
        ]
        for title, spread, hot in names if spread in figures.values
    ]  # fmt: skip
    return table("Bookings a second", ["", "1000 sessions", "/ limit", "one session", "/ limit"], rows)


def _latency(figures: Figures) -> str:
    names = ["http ping", "nats ping"]
    rows = [[title, number(figures.median(title)), "-"] for title in names if title in figures.values]
    rows += [["pgbench, 1 client", number(figures.median("pgbench spread 1 p50")), "-"]] if "pgbench spread 1" in figures.values else []
    rows += [
        [
            f"{who} {shape} {callers}",
            number(figures.median(f"{who} {shape} {callers} p50")),
            number(figures.median(f"{who} {shape} {callers} p99")),
        ]
        for who, shape in (("labo", "spread"), ("labo", "hot"), ("monolith x1", "spread"), ("monolith x2", "spread"))
        for callers in (1, 8, 16, 64)
        if f"{who} {shape} {callers}" in figures.values
    ]
    return table("Latency, ms", ["", "p50", "p99"], rows)


def _delays(figures: Figures) -> str:
    names = ("commit to row", "direct to row", "direct to consumer")
    rows = [
        [name, number(figures.median(f"{name} p50")), number(figures.median(f"{name} p99")), number(figures.ratio("commit to row p50", f"{name} p50"))]  # noqa: E501
        for name in names if f"{name} p50" in figures.values
    ]  # fmt: skip
    return table("Events at 100 a second, ms", ["", "p50", "p99", "ours / it (p50)"], rows)


def _relay(figures: Figures) -> str:
    rows = [
        [name, number(figures.median(name)), number(figures.ratio(name, "raw publish"))]
        for name in ("raw publish", "relay") if name in figures.values
    ]  # fmt: skip
    return table("Outbox, events a second", ["", "", "/ raw"], rows)


def _start(figures: Figures) -> str:
    rows = [
        [name, number(figures.median(name)), number(figures.ratio(name, "initdb", "imports"))]
        for name in ("initdb", "imports", "started", "first booking") if name in figures.values
    ]  # fmt: skip
    return table("Cold start, s", ["", "", "/ (initdb + imports)"], rows)


def _memory(figures: Figures) -> str:
    names = [name.split()[1] for name in figures.values if name.startswith("memory ") and name.endswith(" pss")]
    rows = [[name, number(figures.median(f"memory {name} rss")), number(figures.median(f"memory {name} pss"))] for name in names]
    if rows:
        rows.append(["sum", *(number(sum(figures.median(f"memory {name} {kind}") for name in names)) for kind in ("rss", "pss"))])
    return table("Memory after load, MiB", ["", "RSS", "PSS"], rows)


def _gates(figures: Figures) -> str:
    rows = [
        [
            f"{gate.row:>2}  {gate.title}",
            number(gate.ratio),
            f"{'>=' if gate.at_least else '<='} {gate.first:g}",
            f"{gate.next:g}",
            gate.verdict,
        ]
        for gate in sorted(figures.gates, key=lambda each: each.row)
    ]
    return table("Gates", ["", "ratio", "gate", "next", ""], rows)

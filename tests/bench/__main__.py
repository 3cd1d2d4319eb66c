"""`make bench`: one run, one table. Medians and ratios; every comparison stands beside its limit in the same round.

python -m tests.bench [--rounds 3] [--seconds 3] [--pretix] [--only bookings,relay,delay,start,growth]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import uvloop

from tests.bench import sections
from tests.bench.figures import Figures
from tests.bench.report import show

SECTIONS = ("start", "relay", "bookings", "delay", "growth")


async def main(options: argparse.Namespace, figures: Figures) -> None:
    began = time.monotonic()
    wanted = options.only.split(",") if options.only else SECTIONS
    if "start" in wanted:
        await sections.start(figures, min(options.rounds, 3))
    if "relay" in wanted:
        await sections.relay(figures, options.events, min(options.rounds, 3))
    if options.pretix or {"bookings", "delay"} & set(wanted):
        await sections.bookings(figures, options.rounds, options.seconds, wanted, pretix=options.pretix)
    if "growth" in wanted:
        await sections.growth(figures, options.rounds, options.seconds, options.grown)
    figures.notes.append(f"{time.monotonic() - began:.0f} s in all, on {os.cpu_count()} cores")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each slice of load")
    parser.add_argument("--events", type=int, default=50_000, help="in the outbox that the relay drains")
    parser.add_argument("--grown", type=int, default=1_000_000, help="bookings in the large table")
    parser.add_argument("--only", default="", help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--pretix", action="store_true", help="also compare with pretix, installed from PyPI (minutes)")
    parser.add_argument("--json", type=Path, help="write all figures of all rounds here")
    options = parser.parse_args()
    figures = Figures()
    try:
        uvloop.run(main(options, figures))
    finally:  # what was measured before a part failed is shown
        print(show(figures))
        if options.json:
            options.json.write_text(json.dumps(figures.values, indent=1) + "\n")

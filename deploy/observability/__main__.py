"""`generate` writes the dashboards that Grafana is given; `check` fails when they are not what the code says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from deploy.observability.business import BOOKINGS, MAIL
from deploy.observability.grafana import as_json
from deploy.observability.technical import BUS, OVERVIEW

BOARDS = (OVERVIEW, BUS, BOOKINGS, MAIL)
FOLDER = Path(__file__).with_name("grafana") / "dashboards"


def documents() -> Mapping[str, str]:
    return {f"{board.uid}.json": as_json(board) for board in BOARDS}


def drift(folder: Path = FOLDER) -> list[str]:
    """One sentence for each file that is not what today's code says."""
    wanted = documents()
    found = {file.name: file.read_text() for file in folder.glob("*.json")}
    strays = [f"{name} is no dashboard of ours" for name in sorted(found.keys() - wanted.keys())]
    return strays + [f"{name} is not what the code says" for name, text in wanted.items() if found.get(name) != text]


def generate(folder: Path = FOLDER) -> None:
    wanted = documents()
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.glob("*.json"):
        if file.name not in wanted:
            file.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text)


def main() -> int:
    parser = argparse.ArgumentParser(prog="deploy.observability", description=__doc__)
    parser.add_argument("verb", choices=["generate", "check"])
    if parser.parse_args().verb == "generate":
        generate()
        return 0
    found = drift()
    if found:
        print("\n".join(found), "run: .venv/bin/python -m deploy.observability generate", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Documents of the contracts, and the promise they are.

`generate` writes them, `check` fails when they drifted or a promise is broken, `release` makes today's contracts the promise.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from deploy.contracts import asyncapi, pages
from deploy.contracts.compatibility import breaks
from deploy.contracts.schemas import RELEASED, ROOT, as_text, every_contract, read_folder
from deploy.topology import Topology

SCHEMAS = Path("docs/schemas")


def documents() -> Mapping[Path, str]:
    """Everything that is generated: text by path from the root."""
    contracts = every_contract()
    topology = Topology.read()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return {
        **{SCHEMAS / f"{each.name}.json": as_text(each.schema()) for each in contracts},
        Path("docs/asyncapi.json"): as_text(asyncapi.document(contracts, topology, version)),
        Path("docs/events.md"): pages.events_page(contracts, topology),
        Path("docs/problems.md"): pages.problems_page(contracts),
    }


def drift(root: Path = ROOT) -> list[str]:
    """One sentence for each document that is not what today's contracts say."""
    wanted = documents()
    found = [f"{path} is missing" for path in wanted if not (root / path).exists()]
    found += [
        f"{path} is not what the contracts say"
        for path, text in wanted.items()
        if (root / path).exists() and (root / path).read_text() != text
    ]
    return found + [f"{path.relative_to(root)} describes a message that is gone" for path in _strays(root, wanted)]


def generate(root: Path = ROOT) -> None:
    wanted = documents()
    for stray in _strays(root, wanted):
        stray.unlink()
    for path, text in wanted.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


def _strays(root: Path, wanted: Mapping[Path, str]) -> list[Path]:
    return [path for path in sorted((root / SCHEMAS).glob("*.json")) if path.relative_to(root) not in wanted]


def broken_promises() -> list[str]:
    return breaks(read_folder(RELEASED), {each.name: each.schema() for each in every_contract()})


def release() -> None:
    RELEASED.mkdir(exist_ok=True)
    for file in RELEASED.glob("*.json"):
        file.unlink()
    for each in every_contract():
        (RELEASED / f"{each.name}.json").write_text(as_text(each.schema()))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.contracts", description=__doc__)
    parser.add_argument("what", choices=["generate", "check", "release"])
    parser.add_argument(
        "--accept-breaks", action="store_true", help="release although readers of the last release break; say so in CHANGELOG.md"
    )
    chosen = parser.parse_args()
    faults = broken_promises()
    if chosen.what == "release" and (not faults or chosen.accept_breaks):
        release()
        faults = []
    if chosen.what == "check":
        faults += [f"{each}: run `python -m deploy.contracts generate`" for each in drift()]
    if chosen.what == "generate":
        generate()
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults and chosen.what != "generate" else 0


if __name__ == "__main__":
    sys.exit(main())

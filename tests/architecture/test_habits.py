"""Habits that a reader of the source can check: pure rules, one clock, one publisher, ids in logs, files one can read.

Each guard is a function over files, proved on the house and, on a planted violation, seen red.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("shared", "services", "deploy")

Guard = Callable[[Path], list[str]]


def files(root: Path, *patterns: str) -> Sequence[Path]:
    return [file for pattern in patterns for file in sorted(root.glob(pattern)) if ".venv" not in file.parts]


def nodes(file: Path, *kinds: type[ast.AST]) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds))


def imports_of(file: Path) -> Iterator[str]:
    for node in nodes(file, ast.Import, ast.ImportFrom):
        if isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def dotted(node: ast.AST) -> str:
    """`datetime.now` of the call `datetime.now(UTC)`; empty for what is no plain name."""
    return ast.unparse(node) if isinstance(node, (ast.Attribute, ast.Name)) else ""


def texts(file: Path) -> Iterator[str]:
    return (node.value for node in nodes(file, ast.Constant) if isinstance(node, ast.Constant) and isinstance(node.value, str))


# --- guards ----------------------------------------------------------------------------------------------------------------------------

IMPURE_STDLIB = {"asyncio", "logging", "os", "pathlib", "random", "secrets", "socket", "subprocess", "threading", "time"}


def impure_rules(root: Path) -> list[str]:
    """`domain.py`, and `refusals.py` beside it, import the standard library's pure part, contracts, errors, and rules of their service."""
    found: list[str] = []
    for file in files(root, "services/*/*/domain.py", "services/*/*/refusals.py"):
        service = file.relative_to(root).parts[1]
        for name in imports_of(file):
            stdlib = name.split(".")[0] in sys.stdlib_module_names - IMPURE_STDLIB
            rules = re.fullmatch(rf"services\.{service}\.\w+\.(domain|refusals)", name)
            ours = rules or name.startswith(("shared.contracts.", "shared.errors"))
            if not (stdlib or ours):
                found.append(f"{file.relative_to(root)} imports {name}")
    return found


CLOCKS = {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "time.time", "datetime.datetime.now", "uuid4", "uuid.uuid4"}
ON_PURPOSE = {
    ("services/notify/mail/delivery.py", "datetime.now"): "retries and giving up are counted in real time",
    ("services/notify/webhooks/", "datetime.now"): "signatures, retries and giving up keep real time",
    ("services/gateway/login/", "datetime.now"): "tokens, sign-ins and sessions keep real time",
    ("services/gateway/web/", "datetime.now"): "limits per minute keep real time",
    ("services/gateway/portal/", "uuid4"): "the idempotency key of a form is a die on purpose",
}


def clocks_of_their_own(root: Path) -> list[str]:
    """Services take the time from `shared.clock` and ids from `uuid7`, except where real time or chance is the point."""
    found: list[str] = []
    for file in files(root, "services/**/*.py"):
        path = str(file.relative_to(root))
        for node in nodes(file, ast.Call):
            name = dotted(node.func) if isinstance(node, ast.Call) else ""
            if name in CLOCKS and not any(path.startswith(place) and name == call for place, call in ON_PURPOSE):
                found.append(f"{path} calls {name}")
    return found


def publishers_beside_the_relay(root: Path) -> list[str]:
    """Only the relay publishes events, and only the bus asks: anything else could be said without having happened."""
    found: list[str] = []
    for file in files(root, "services/**/*.py", "shared/**/*.py"):
        path = str(file.relative_to(root))
        for node in nodes(file, ast.Call):
            name = dotted(node.func) if isinstance(node, ast.Call) else ""
            if re.search(r"(client|bus|nats|js|broker|nc|jetstream\(\))\.publish(_async)?$", name):
                found.append(f"{path} calls {name}")
        if not path.startswith("shared/contracts/"):
            found += [f"{path} writes the subject {text}" for text in texts(file) if re.match(r"evt\.[a-z_]+\.[a-z_]+\.v\d", text)]
    return [each for each in found if not each.startswith(("shared/relay.py ", "shared/bus.py calls "))]


PERSONAL = {
    "email",
    "address",
    "to",
    "recipient",
    "given_name",
    "usual_name",
    "first_name",
    "last_name",
    "full_name",
    "contact",
    "body",
    "payload",
    "token",
}


def people_in_logs(root: Path) -> list[str]:
    """Lines hold ids: no address, no name, no text, no token (P4)."""
    found: list[str] = []
    for file in files(root, *(f"{name}/**/*.py" for name in CODE)):
        for node in nodes(file, ast.Call):
            if isinstance(node, ast.Call) and re.fullmatch(r"(self\.)?_?log(ger)?\.\w+", dotted(node.func)):
                named = {keyword.arg for keyword in node.keywords if keyword.arg in PERSONAL}
                built = [argument for argument in node.args if isinstance(argument, ast.JoinedStr)]
                found += [f"{file.relative_to(root)} logs {name}" for name in sorted(filter(None, named))]
                found += [f"{file.relative_to(root)} builds a line: {ast.unparse(argument)}" for argument in built]
    return found


def files_too_long_to_read(root: Path) -> list[str]:
    """A module is read in one sitting: 350 lines; tests, which are read one by one, 450."""
    limits = {"shared": 350, "services": 350, "deploy": 350, "tests": 450}
    lengths = {file: len(file.read_text().splitlines()) for name in limits for file in files(root, f"{name}/**/*.py")}
    return [
        f"{file.relative_to(root)} has {length} lines"
        for file, length in lengths.items()
        if length > limits[file.relative_to(root).parts[0]]
    ]


DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base", "tools"}


def drawers(root: Path) -> list[str]:
    """A module is named after what it holds."""
    return [
        str(file.relative_to(root))
        for file in files(root, *(f"{name}/**/*.py" for name in CODE))
        if {file.stem, file.parent.name} & DRAWERS
    ]


WRITING_SQL = re.compile(r"\s*(insert into|update \w+ set|delete from)\s")


def sql_outside_the_store(root: Path) -> list[str]:
    """Handlers and rules hold no SQL that writes: `store.py` and kernel do."""
    patterns = [f"services/*/*/{name}.py" for name in ("handlers", "domain", "queries")]
    return [
        f"{file.relative_to(root)} writes: {' '.join(each.split())[:40]}"
        for file in files(root, *patterns)
        for each in texts(file)
        if WRITING_SQL.match(each)
    ]


# --- each on the house, and on a planted violation ---------------------------------------------------------------------------------------

RULES, HANDLERS, SENDER = "services/booking/seats/domain.py", "services/booking/seats/handlers.py", "services/notify/mail/sender.py"
PLANTED: dict[str, tuple[Guard, str, str]] = {
    "a rule uses a library": (impure_rules, RULES, "import pydantic"),
    "a rule rolls dice": (impure_rules, RULES, "from random import choice"),
    "a rule imports its neighbour": (impure_rules, RULES, "from services.booking.seats import store"),
    "a rule imports another service's rule": (
        impure_rules,
        RULES,
        "from services.catalog.activities.domain import Venue",
    ),
    "a handler reads the wall clock": (clocks_of_their_own, HANDLERS, "now = datetime.now(UTC)"),
    "a handler asks what day it is": (clocks_of_their_own, "services/projects/calls/handlers.py", "today = date.today()"),
    "a handler makes an id that does not sort": (clocks_of_their_own, HANDLERS, "booking_id = uuid4()"),
    "real time is allowed, random ids are not": (clocks_of_their_own, "services/gateway/login/sessions.py", "key = uuid4()"),
    "a handler publishes": (publishers_beside_the_relay, HANDLERS, "await bus.client.publish(subject, body)"),
    "a handler publishes to a stream": (
        publishers_beside_the_relay,
        HANDLERS,
        "await nc.jetstream().publish(subject, body)",
    ),
    "a subject is written by hand": (
        publishers_beside_the_relay,
        HANDLERS,
        "say('evt.booking.booking_confirmed.v1')",
    ),
    "a line names a person": (people_in_logs, SENDER, "log.info('sent', email=mail.email)"),
    "a line is built from values": (people_in_logs, SENDER, "log.info(f'sent to {mail.email}')"),
    "a file nobody reads": (files_too_long_to_read, "services/booking/seats/store.py", "\n" * 351),
    "a drawer": (drawers, "services/booking/utils.py", ""),
    "a handler writes SQL": (sql_outside_the_store, HANDLERS, "text('insert into seat values (1)')"),
}
GUARDS = sorted({guard for guard, _, _ in PLANTED.values()}, key=lambda guard: guard.__name__)


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.__name__)
def test_the_house_keeps_its_habit(guard: Guard) -> None:
    assert guard(ROOT) == []


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_violation_is_seen(case: str, tmp_path: Path) -> None:
    guard, file, source = PLANTED[case]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(f"async def planted():\n    {source}\n" if source.startswith("await") else source + "\n")

    assert len(guard(tmp_path)) == 1

"""Named places where a test lets a process die, and the name of a bug that a test planted. Inert unless a test started the process.

    LABO_ENVIRONMENT=embedded LABO_FAULTS_ALLOWED=by-tests LABO_FAULT=relay.after_publish:3 python -m services.booking.app

A process that is told of a fault without both permissions does not start: a fault left in a configuration must not look like weather.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

FAULT, PLANTED_BUG, ENVIRONMENT, ALLOWED = "LABO_FAULT", "LABO_PLANTED_BUG", "LABO_ENVIRONMENT", "LABO_FAULTS_ALLOWED"
BY_TESTS = "by-tests"
KILLED = 137  # what a shell reports of a process that was killed with -9

POINTS = frozenset(
    {
        "command.mid_handler",  # its rows are written, its key is not
        "command.before_commit",
        "command.after_commit",  # nobody was answered
        "consumer.before_commit",  # its effect is written
        "consumer.after_commit",  # not acknowledged
        "relay.leads",  # has the lock, read nothing
        "relay.before_publish",
        "relay.after_publish",  # the stream has it; its answer is not taken in
        "relay.before_mark",
        "relay.after_mark",
        "relay.waits",  # for something to be committed
    }
)


class FaultRefused(RuntimeError):
    """A fault was asked for where none is allowed, or one that does not exist."""


@dataclass
class _Fault:
    point: str
    passages: int
    """How many are left."""


def _allowed(environment: Mapping[str, str], name: str) -> str | None:
    asked = environment.get(name)
    if asked and (environment.get(ENVIRONMENT) != "embedded" or environment.get(ALLOWED) != BY_TESTS):
        raise FaultRefused(f"{name}={asked} is for the tests' own embedded processes: take it out of this one's environment")
    return asked or None


def read_fault(environment: Mapping[str, str]) -> tuple[str, int] | None:
    """`relay.after_publish:3`: the point, and the passage at which the process dies (the first, when none is said)."""
    if (asked := _allowed(environment, FAULT)) is None:
        return None
    point, _, passage = asked.partition(":")
    if point not in POINTS or not (passage or "1").isdecimal():
        raise FaultRefused(f"{FAULT}={asked}: no such point; there are {', '.join(sorted(POINTS))}")
    return point, int(passage or 1)


def planted_bug(environment: Mapping[str, str] = os.environ) -> str | None:
    """The bug that a test plants into this process; the tests' own launcher does it, no service knows any."""
    return _allowed(environment, PLANTED_BUG)


_asked = read_fault(os.environ)
_fault = _Fault(*_asked) if _asked else None
planted_bug()  # refuse at the start, not when first looked at


def point(name: str) -> None:
    """The process passes here; it dies here, with nothing flushed and nobody told, if this is the passage that a test named."""
    if _fault is not None and _fault.point == name:
        _fault.passages -= 1
        if _fault.passages == 0:
            os._exit(KILLED)

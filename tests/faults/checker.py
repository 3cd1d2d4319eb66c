"""The verdict, in Jepsen's manner: what was attempted, what was acknowledged, what is there afterwards.

A value is `process-counter`, such as `p3-17`, and unique. No eye looks at logs: a run is right when these sets agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    """`recovered` is no violation: nobody was told that it was done, and it was."""

    place: str
    attempted: int
    acknowledged: int
    seen: int
    lost: list[str]
    """Acknowledged, and not there."""
    duplicated: list[str]
    """There more than once."""
    unexpected: list[str]
    """There, and never attempted."""
    recovered: list[str]

    @property
    def violations(self) -> list[str]:
        return [
            f"{self.place}: {len(found)} {name}, such as {', '.join(found[:3])}"
            for name, found in (("lost", self.lost), ("duplicated", self.duplicated), ("unexpected", self.unexpected))
            if found
        ]

    @property
    def lost_where(self) -> str:
        """Jepsen's split: an acknowledged tail that is missing means something else than holes in the middle."""
        numbers: dict[str, list[int]] = {}
        for value in self.lost:
            process, _, counter = value.partition("-")
            numbers.setdefault(process, []).append(int(counter))
        return "; ".join(f"{process}: {min(each)}…{max(each)} ({len(each)})" for process, each in sorted(numbers.items()))


def check(place: str, *, attempted: Iterable[str], acknowledged: Iterable[str], seen: Sequence[str]) -> Verdict:
    tried, told, found = set(attempted), set(acknowledged), Counter(seen)
    assert told <= tried, "a test that acknowledges what it never attempted is blind"
    return Verdict(
        place,
        len(tried),
        len(told),
        len(found),
        lost=sorted(told - found.keys()),
        duplicated=sorted(value for value, times in found.items() if times > 1),
        unexpected=sorted(found.keys() - tried),
        recovered=sorted((tried & found.keys()) - told),
    )


def differences(place: str, expected: Iterable[T], found: Sequence[T]) -> list[str]:
    """Of two collections that should be equal: what is missing, what is too much, what is there twice."""
    wanted, counted = set(expected), Counter(found)
    missing, foreign = wanted - counted.keys(), counted.keys() - wanted
    twice = [each for each, times in counted.items() if times > 1]
    told = (("missing", missing), ("unexpected", foreign), ("duplicated", twice))
    return [f"{place}: {len(which)} {name}, such as {next(iter(which))}" for name, which in told if which]


def order_of(place: str, versions: Mapping[object, Sequence[int]]) -> list[str]:
    """I5: the versions of each aggregate are 1, 2, 3… in the order in which they stand."""
    broken = [(aggregate, list(found)) for aggregate, found in versions.items() if list(found) != list(range(1, len(found) + 1))]
    return [f"{place}: {len(broken)} aggregates out of order, such as {broken[0][0]}: {broken[0][1]}"] if broken else []


@dataclass
class History:
    """What the clients of one run did and were told."""

    attempted: set[str] = field(default_factory=set[str])
    acknowledged: dict[str, str] = field(default_factory=dict[str, str])
    """Value → booking id that was answered."""
    cancelled: set[str] = field(default_factory=set[str])
    """Values whose cancellation was acknowledged."""
    wrong: list[str] = field(default_factory=list[str])
    """Answers that no client should ever get."""
    retries: Counter[str] = field(default_factory=Counter[str])
    """Code of the refusal → how many times the client asked again."""
    seconds: list[float] = field(default_factory=list[float])
    """From the first try of an order to its acknowledgement."""

    def acknowledge(self, value: str, booking_id: str, seconds: float) -> None:
        known = self.acknowledged.setdefault(value, booking_id)
        if known != booking_id:
            self.wrong.append(f"{value} was answered {known} and then {booking_id}")
        self.seconds.append(seconds)

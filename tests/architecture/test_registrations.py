"""Who answers, who hears, who refuses: what the services register agrees with contracts, topology and documents."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

from deploy.contracts.house import every_refusal, registered
from deploy.contracts.schemas import ROOT, every_contract
from deploy.topology import Topology
from shared.consumers import Consumers
from shared.contracts.messages import Request
from shared.errors import Refused
from shared.requests import Requests
from shared.timers import Timers

# --- requests ----------------------------------------------------------------------------------------------------------------------------


def handlers() -> list[tuple[str, type[Request[Any]]]]:
    """Each handled request with the service that handles it."""
    return [(service, kind) for service, each in registered(Requests) for kind in (*each.queries, *each.commands, *each.grouped)]


def unanswered(asked: Iterable[type[Any]], answered: Sequence[tuple[str, type[Request[Any]]]]) -> list[str]:
    """One sentence for each request that has not exactly one handler, in the service that its subject names."""
    owners = Counter(kind for _, kind in answered)
    found = [f"{kind.__name__} has {owners[kind]} handlers" for kind in asked if owners[kind] != 1]
    return found + [f"{service} answers {kind.__name__}" for service, kind in answered if kind.service() != service]


def test_every_request_has_one_handler_in_the_service_that_it_names() -> None:
    asked = [contract.model for contract in every_contract() if contract.kind == "request"]

    assert unanswered(asked, handlers()) == []


def test_a_request_without_handler_with_two_or_in_another_service_is_seen() -> None:
    (first, *rest) = handlers()
    asked = [kind for _, kind in (first, *rest)]

    assert unanswered(asked, rest) == [f"{first[1].__name__} has 0 handlers"]
    assert unanswered(asked, [first, first, *rest]) == [f"{first[1].__name__} has 2 handlers"]
    assert unanswered(asked, [("nobody", first[1]), *rest]) == [f"nobody answers {first[1].__name__}"]


# --- consumers ---------------------------------------------------------------------------------------------------------------------------

Durables = Mapping[str, tuple[str, frozenset[str]]]


def heard() -> list[tuple[str, str, str, frozenset[str]]]:
    return [
        (service, each.durable, each.stream, frozenset(each.subjects)) for service, all_of in registered(Consumers) for each in all_of.all
    ]


def declared() -> Durables:
    return {each.name: (each.stream, frozenset(each.subjects)) for each in Topology.read().durables}


def disagreements(heard: Sequence[tuple[str, str, str, frozenset[str]]], declared: Durables) -> list[str]:
    """One sentence for each durable that code and `deploy/topology.yml` see differently."""
    found: list[str] = []
    for service, durable, stream, subjects in heard:
        if not durable.startswith(f"{service}-"):
            found.append(f"{durable} is not named after its service {service}")
        if durable not in declared:
            found.append(f"{durable} is heard and not declared")
        elif declared[durable] != (stream, subjects):
            found.append(f"{durable} hears other subjects than it is declared with: {sorted(subjects ^ declared[durable][1])}")
    twice = [name for name, number in Counter(durable for _, durable, _, _ in heard).items() if number > 1]
    found += [f"{name} is heard twice" for name in twice]
    return found + [f"{name} is declared and not heard" for name in sorted(declared.keys() - {durable for _, durable, _, _ in heard})]


def test_every_durable_is_declared_as_it_is_heard_and_heard_as_it_is_declared() -> None:
    assert disagreements(heard(), declared()) == []


def test_every_kind_of_disagreement_is_seen() -> None:
    one = ("booking", "booking-sessions", "EVT_CATALOG", frozenset({"evt.catalog.session_scheduled.v1.*"}))
    same = {"booking-sessions": (one[2], one[3])}

    assert disagreements([one], same) == []
    assert disagreements([one], {}) == ["booking-sessions is heard and not declared"]
    assert disagreements([], same) == ["booking-sessions is declared and not heard"]
    assert disagreements([one, one], same) == ["booking-sessions is heard twice"]
    assert disagreements([("notify", *one[1:])], same) == ["booking-sessions is not named after its service notify"]
    assert disagreements([one], {"booking-sessions": (one[2], frozenset())}) == [
        "booking-sessions hears other subjects than it is declared with: ['evt.catalog.session_scheduled.v1.*']"
    ]


# --- timers ------------------------------------------------------------------------------------------------------------------------------


def test_no_two_handlers_of_a_service_take_the_same_kind_of_timer() -> None:
    kinds = Counter((service, kind) for service, each in registered(Timers) for kind in each.handlers)

    assert [kind for kind, number in kinds.items() if number > 1] == []


# --- refusals ----------------------------------------------------------------------------------------------------------------------------


def faults_of_refusals(refusals: Sequence[type[Refused]]) -> list[str]:
    """A code means one thing: the same status and words wherever it is answered, and once per service."""
    found: list[str] = []
    meanings: dict[str, tuple[int, str]] = {}
    for refusal in refusals:
        name, meaning = refusal.__name__, (refusal.status, refusal.title.replace("’", "'"))
        if not re.fullmatch(r"[a-z][a-z0-9_]*", refusal.code) or refusal.code == Refused.code:
            found.append(f"{name} has no code of its own")
        if not re.fullmatch(r"[A-ZÀÉÊÇ«].{8,}[.!]", refusal.title) or refusal.title == Refused.title:
            found.append(f"{name} has no French sentence for people")
        if not 400 <= refusal.status <= 599:
            found.append(f"{name} answers {refusal.status}")
        if meanings.setdefault(refusal.code, meaning) != meaning:  # the same code may be answered by two services, in the same words
            found.append(f"{name} gives another meaning to {refusal.code}")
    places = Counter((refusal.__module__.split(".")[1], refusal.code) for refusal in refusals)
    return found + [f"{service} has {number} refusals {code}" for (service, code), number in places.items() if number > 1]


def test_every_refusal_has_one_code_a_status_and_a_french_sentence() -> None:
    refusals = every_refusal()

    assert len(refusals) > 20
    assert faults_of_refusals(refusals) == []


class _Good(Refused):
    code, title = "session_full", "Cette séance est complète."


@pytest.mark.parametrize(
    ("name", "members", "sentence"),
    [
        ("NoCode", {"title": "Cette séance est complète."}, "NoCode has no code of its own"),
        ("BadCode", {"code": "Session-Full", "title": "Cette séance est complète."}, "BadCode has no code of its own"),
        ("NoTitle", {"code": "x"}, "NoTitle has no French sentence for people"),
        ("NoPoint", {"code": "x", "title": "Cette séance est complète"}, "NoPoint has no French sentence for people"),
        ("Ok", {"code": "x", "title": "Cette séance est complète.", "status": 200}, "Ok answers 200"),
        ("Other", {"code": "session_full", "title": "Une autre phrase."}, "Other gives another meaning to session_full"),
    ],
)
def test_a_refusal_that_says_too_little_is_seen(name: str, members: dict[str, object], sentence: str) -> None:
    planted = type(name, (Refused,), members | {"__module__": "elsewhere.tests"})

    assert faults_of_refusals([_Good, planted]) == [sentence]


def test_every_refusal_is_documented_and_every_documented_refusal_exists() -> None:
    codes = {refusal.code for refusal in every_refusal()}
    listed = set(re.findall(r"^\| `([a-z0-9_]+)` \|", (ROOT / "docs/problems.md").read_text(), re.MULTILINE))
    promised = {
        code
        for contract in every_contract()
        if contract.kind == "request" and "efuse" in (contract.model.__doc__ or "")
        for code in re.findall(r"`([a-z][a-z0-9_]+)`", (contract.model.__doc__ or "").split("efuse", 1)[1])
    }
    words = {name for contract in every_contract() for name in contract.model.model_fields} | {"operator", "lab_team", "abandoned"}

    assert listed == codes
    assert promised - words - codes == set()

"""The checker itself: each kind of violation is seen, and weather is not called one."""

from __future__ import annotations

import pytest

from tests.faults.checker import History, check, differences, order_of

TRIED = {"p1-1", "p1-2", "p1-3", "p2-1"}
TOLD = {"p1-1", "p1-2", "p1-3"}


def test_what_nobody_was_told_of_and_happened_is_recovered_and_no_violation() -> None:
    verdict = check("bookings", attempted=TRIED, acknowledged=TOLD, seen=sorted(TRIED))

    assert verdict.recovered == ["p2-1"]
    assert verdict.violations == []


def test_lost_duplicated_and_unexpected_are_told_apart() -> None:
    verdict = check("bookings", attempted=TRIED, acknowledged=TOLD, seen=["p1-1", "p1-1", "p9-1"])

    assert (verdict.lost, verdict.duplicated, verdict.unexpected) == (["p1-2", "p1-3"], ["p1-1"], ["p9-1"])
    assert len(verdict.violations) == 3
    assert verdict.lost_where == "p1: 2…3 (2)"


def test_a_history_that_acknowledges_what_was_never_attempted_is_refused() -> None:
    with pytest.raises(AssertionError, match="blind"):
        check("bookings", attempted=[], acknowledged=TOLD, seen=[])


def test_two_collections_that_should_be_equal() -> None:
    assert differences("effects", [1, 2, 3], [3, 2, 1]) == []
    assert differences("effects", [1, 2, 3], [1, 1, 4]) == [
        "effects: 2 missing, such as 2", "effects: 1 unexpected, such as 4", "effects: 1 duplicated, such as 1",
    ]  # fmt: skip


@pytest.mark.parametrize("found", [[1, 3], [2, 1], [1, 1], [2]])
def test_I5_gaps_inversions_and_repetitions_break_the_order(found: list[int]) -> None:
    assert order_of("stream", {"life": [1, 2, 3]}) == []
    assert len(order_of("stream", {"life": [1, 2], "other": found})) == 1


def test_one_value_answered_with_two_bookings_is_wrong() -> None:
    history = History(attempted={"p1-1"})
    history.acknowledge("p1-1", "a", 0.1)
    history.acknowledge("p1-1", "a", 0.1)
    assert history.wrong == []

    history.acknowledge("p1-1", "b", 0.1)
    assert len(history.wrong) == 1

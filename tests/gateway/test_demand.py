"""What is searched in vain becomes a signal for the lab, and says nothing of anybody (row 5, P4, P5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from sqlalchemy import text

from services.gateway.demand.domain import A_DAY, Ear, wanted
from shared.bus import Caller
from shared.contracts.catalog import ActivityType
from shared.contracts.gateway import ListDemand, Wanted
from shared.errors import Refused
from tests.gateway.conftest import OPERATOR, House

Eventually = Callable[..., Awaitable[Any]]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Théâtre FORUM ", "theatre forum"),
        ("l’accueil 2027", "l'accueil"),
        ("garonne.tilleul@exemple.invalid 0612345678", ""),
        ("un deux trois quatre cinq six sept", "un deux trois quatre cinq six"),
        ("\0<script>", ""),
    ],
)
def test_P4_words_are_plain_and_numbers_and_addresses_are_left_out(typed: str, kept: str) -> None:
    found = wanted(Wanted(words=typed))

    assert (found.words if found else "") == kept


def test_a_choice_without_words_is_a_wish_too_and_nothing_is_none() -> None:
    assert wanted(Wanted(department="48")) == Wanted(department="48")
    assert wanted(Wanted(words="?!")) is None


def test_a_visitor_counts_once_a_day_for_a_search_and_for_twenty_at_most() -> None:
    day = date(2027, 3, 1)
    ear = Ear(lambda: day)

    assert [ear.hears("one", Wanted(words="x")), ear.hears("one", Wanted(words="x")), ear.hears("other", Wanted(words="x"))] == [
        True,
        False,
        True,
    ]
    assert sum(ear.hears("robot", Wanted(words=str(number))) for number in range(100)) == A_DAY
    day = date(2027, 3, 2)
    assert ear.hears("one", Wanted(words="x"))


async def test_a_search_in_vain_is_told_to_the_lab_and_to_nobody_else(house: House) -> None:
    reader = house.browser()

    page = (await reader.get("/", params={"q": "pétanque administrative", "departement": "48"})).text
    again = (await reader.get("/", params={"q": "Petanque administrative", "departement": "48"})).text
    await reader.get("/api/v1/sessions", params={"activity_type": "labtour"})
    await reader.get("/api/v1/sessions")  # asks for nothing in particular

    assert "Votre recherche est notée" in page
    assert "Votre recherche est notée" not in again
    demand = await house.bus.ask(ListDemand(), OPERATOR)
    assert {(line.wanted, line.searches, line.hidden) for line in demand.lines} == {
        (Wanted(words="petanque administrative", department="48"), None, 0),
        (Wanted(activity_type=ActivityType.LABTOUR), None, 0),
    }
    async with house.database.connect() as connection:
        subjects = (await connection.scalars(text("select subject from outbox where subject like '%demand%'"))).all()
    assert len(subjects) == 2
    with pytest.raises(Refused, match="not of the lab"):
        await house.bus.ask(ListDemand(), replace(OPERATOR, actor="somebody", roles=frozenset({"agent"})))


async def test_P5_few_searches_are_not_counted_out(house: House) -> None:
    async with house.database.begin() as tx:
        for words, times in (("rare", 4), ("usual", 5)):
            await tx.execute(
                text(
                    """
                    insert into demand_signal (signal_id, words, hidden, heard_at)
                    select uuidv7(), :words, 3, now() from generate_series(1, :times)
                    """
                ),
                {"words": words, "times": times},
            )

    lines = (await house.bus.ask(ListDemand(), Caller("lab", frozenset({"lab_team"})))).lines

    assert [(line.wanted.words, line.searches, line.hidden) for line in lines] == [("usual", 5, 3), ("rare", None, 3)]

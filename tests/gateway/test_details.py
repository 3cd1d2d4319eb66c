"""What only one type of activity has, on the page of its sessions, in the API, and found by a search."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any

import httpx2
import pytest

from services.gateway.portal.details import Fact, facts, group, hours
from shared.contracts.catalog import ActivityType
from shared.contracts.details import (
    CoachingDetails,
    InnovationThursdayDetails,
    LabtourDetails,
    TrainingDetails,
    WorkshopSupportDetails,
)
from shared.contracts.feedback import Improvement
from tests.gateway.conftest import House, add_session

Eventually = Callable[..., Awaitable[Any]]


def test_facts_say_what_somebody_has_said_and_nothing_else() -> None:
    training = TrainingDetails(objectives=("Écrire clair", "Relire"), duration_hours=7.5)

    assert facts(None) == []
    assert facts(training) == [Fact("Objectifs", ["Écrire clair", "Relire"]), Fact("Prérequis", ["Aucun"]), Fact("Durée", ["7 h 30"])]
    assert facts(LabtourDetails(place_visited="Un fablab", group_max=12))[1] == Fact("Taille du groupe", ["12 personnes au plus"])
    assert facts(InnovationThursdayDetails(recorded=False)) == [Fact("Enregistrement", ["La séance n’est pas enregistrée"])]
    assert facts(WorkshopSupportDetails(preparation_weeks=1)) == [Fact("Préparation", ["1 semaine avant l’atelier"])]
    assert facts(CoachingDetails(duration_months=6, rhythm="Tous les quinze jours"))[0] == Fact("Durée", ["6 mois"])


@pytest.mark.parametrize(("number", "said"), [(None, ""), (0.5, "30 min"), (1, "1 h"), (1.25, "1 h 15"), (14, "14 h"), (1.999, "2 h")])
def test_hours_are_said_as_people_say_them(number: float | None, said: str) -> None:
    assert hours(number) == said


def test_the_size_of_a_group_is_said_with_one_bound_or_two() -> None:
    assert [group(4, 12), group(1, 1), group(None, 1), group(3, None), group(None, None)] == [
        "de 4 à 12 personnes",
        "1 personne",
        "1 personne au plus",
        "à partir de 3 personnes",
        "",
    ]


async def test_the_page_the_api_and_the_search_have_them(house: House, eventually: Eventually) -> None:
    await house.start("catalog")
    details = LabtourDetails(place_visited="Une halle <ferroviaire>", to_see=("Découpe laser",), group_min=4, group_max=12)
    improvement = Improvement(said="Trop <vite>", done="Une demi-heure de plus", since=date(2026, 10, 1))
    draft = {"details": details, "audience": "Équipes de terrain", "improvements": (improvement,)}
    session_id = await add_session(house, activity_type=ActivityType.LABTOUR, draft=draft)
    browser = house.browser()

    async def found() -> httpx2.Response | None:
        answer = await browser.get("/api/v1/sessions", params={"q": "decoupe ferroviaire terrain"})
        return answer if answer.json()["sessions"] and not answer.json()["near"] else None

    (item,) = (await eventually(found)).json()["sessions"]
    assert (item["session_id"], item["audience"]) == (str(session_id), "Équipes de terrain")
    assert item["details"] == details.model_dump(mode="json")
    page = (await browser.get(f"/seances/{session_id}")).text
    assert "<dt>Le lieu visité</dt>\n<dd>Une halle &lt;ferroviaire&gt;</dd>" in page
    assert "<dd>de 4 à 12 personnes</dd>" in page
    assert "<dt>Public</dt><dd>Équipes de terrain</dd>" in page
    assert item["improvements"] == [improvement.model_dump(mode="json")]
    assert "Vous avez dit, nous avons fait" in page
    said = "<dt>«\N{NO-BREAK SPACE}Trop &lt;vite&gt;\N{NO-BREAK SPACE}»</dt>"
    assert f'{said}\n<dd>Une demi-heure de plus <span class="muted">(octobre 2026)</span></dd>' in page

"""The tailored requests of the demonstration, as the lab finds them on Monday 1 March 2027 (G5)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from deploy.demo import OPERATOR, load
from deploy.demo_plan import demo_id
from shared.contracts.booking import ListBookings
from shared.contracts.catalog import GetSession
from shared.contracts.tailored import GetTailoredRequest, ListTailoredRequests, TailoredRequest
from tests.demo.conftest import Stack

Start = Callable[..., Awaitable[Stack]]


async def test_G5_every_request_stands_where_its_story_says(start: Start, eventually: Callable[..., Awaitable[Any]]) -> None:
    stack = await start("catalog", "booking", "projects", "gateway")
    report = await load(stack.operator)
    assert [str(refused) for refused in report.refused] == []

    async def of(slug: str) -> TailoredRequest:
        return await stack.operator.ask(GetTailoredRequest(tailored_request_id=demo_id("tailored-request", slug)), OPERATOR)

    async def stories() -> bool:
        return {slug: (await of(slug)).state.value for slug in EXPECTED} == EXPECTED

    await eventually(stories)

    executives = await of("direction-chambre-temoin")
    assert executives.session_id
    session = await stack.operator.ask(GetSession(session_id=executives.session_id), OPERATOR)
    assert (session.private, session.capacity) == (True, 6)
    assert session.closes_at
    assert session.closes_at - executives.submitted_at == timedelta(days=9, hours=6)  # agreed nine days later
    mine = (await stack.operator.ask(ListBookings(agent_id=executives.agent_id), OPERATOR)).bookings
    assert executives.session_id in {booking.session_id for booking in mine}

    stuck = await of("cuisine-en-cadrage")
    assert stuck.overdue
    withdrawn = await of("capteurs-desistement")
    assert (withdrawn.priority, withdrawn.proposals[0].state) == (True, "withdrawn")
    listed = (await stack.operator.ask(ListTailoredRequests(), OPERATOR)).requests
    assert [each.tailored_request_id for each in listed[:2]] == [withdrawn.tailored_request_id, stuck.tailored_request_id]
    assert "fauteuil" in (await of("mediatheque-plain-pied")).access_needs
    replaced = await of("tiers-lieu-vacances")
    assert [each.periods[0].local_start.date().isoformat() for each in replaced.proposals] == ["2027-05-04"]


EXPECTED = {
    "direction-chambre-temoin": "scheduled",
    "cuisine-en-cadrage": "framing",
    "capteurs-desistement": "proposed",
    "tiers-lieu-vacances": "scheduled",
    "mediatheque-plain-pied": "proposed",
    "foix-deux-accueils": "scheduled",
    "perpignan-secheresse": "proposed",
    "rodez-parcours-d-accueil": "proposed",
    "mende-loup-et-pastoralisme": "framing",
    "montauban-quarante-idees": "submitted",
}

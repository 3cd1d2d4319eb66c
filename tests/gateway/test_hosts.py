"""G5 over HTTP: the host's page by a signed link, the agent's and the lab's API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from deploy.agents import Agent
from shared import clock
from shared.bus import Caller
from shared.contracts.gateway import AddContact, GetContact
from shared.contracts.tailored import FrameTailoredRequest, GetTailoredRequest, ProposeDates, SubmitTailoredRequest, TailoredRequest
from shared.errors import Refused
from shared.links import Link, Purpose
from tests.gateway.conftest import ALICE, BOB, OPERATOR, OTHERS, House

SECRET = SecretStr("what notify and the gateway share")
HOST = uuid4()
LAB_MEMBER: Agent = next(agent for agent in OTHERS if "lab_team" in agent.roles or "operator" in agent.roles)


@pytest.fixture
async def open_house(house: House) -> House:
    await house.start("catalog", "booking")
    await house.register(ALICE, BOB, LAB_MEMBER)
    return house


def a_date(days: int = 20) -> dict[str, Any]:
    day = (clock.now() + timedelta(days=days)).date().isoformat()
    return {
        "proposal_id": str(uuid4()),
        "activity_id": str(uuid4()),
        "periods": [{"local_start": f"{day}T14:00:00", "local_end": f"{day}T16:00:00"}],
        "place": "La Chambre témoin, Nîmes",
        "capacity": 6,
        "cost": "Gratuit.",
        "host_contact_id": str(HOST),
    }


def a_wish() -> dict[str, Any]:
    today = clock.now().date()
    return {
        "activity_type": "labtour",
        "wishes": "Voir comment un lieu essaie.",
        "participants": 6,
        "access_needs": "Une personne en fauteuil",
        "earliest": today.isoformat(),
        "latest": (today + timedelta(days=60)).isoformat(),
    }


async def proposed(house: House) -> TailoredRequest:
    about = {"tailored_request_id": uuid4(), "agent_id": ALICE.agent_id, "org_unit": "prefecture-30"}
    order = SubmitTailoredRequest.model_validate(a_wish() | about)
    request = await house.bus.ask(order, OPERATOR)
    await house.bus.ask(FrameTailoredRequest(tailored_request_id=request.tailored_request_id), OPERATOR)
    dates = ProposeDates.model_validate({"tailored_request_id": request.tailored_request_id, "proposals": [a_date()]})
    return await house.bus.ask(dates, OPERATOR)


async def now_of(house: House, request: TailoredRequest) -> TailoredRequest:
    return await house.bus.ask(GetTailoredRequest(tailored_request_id=request.tailored_request_id), OPERATOR)


def link(request: TailoredRequest, purpose: Purpose, host: UUID = HOST, days: float = 10) -> str:
    signed = Link(purpose, request.proposals[0].proposal_id, host, clock.now() + timedelta(days=days)).sign(SECRET)
    return f"/reponse/{signed}"


# --- the host's page -----------------------------------------------------------------------------------------------------------------


async def test_G5_opening_the_hosts_link_changes_nothing_its_form_does_and_once(open_house: House) -> None:
    request = await proposed(open_house)
    anybody, yes = open_house.browser(), link(request, Purpose.ACCEPT_AS_HOST)

    for _ in range(3):  # a scanner, a preview, the person
        page = await anybody.get(yes)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
        assert "Accueillir ce groupe" in page.text
        assert "Labtour, 6 personnes" in page.text
        assert "Besoins d’accessibilité : Une personne en fauteuil" in page.text
        assert ALICE.usual_name not in page.text
        assert "<script" not in page.text
    assert (await now_of(open_house, request)).proposals[0].state == "asked"

    done = await anybody.post(yes)
    assert (done.status_code, "C’est enregistré" in done.text) == (200, True)
    assert (await now_of(open_house, request)).proposals[0].state == "ready"
    again = await anybody.post(yes)
    assert (again.status_code, "Vous avez accepté cette date." in again.text) == (409, True)
    assert "Réponse déjà donnée" in (await anybody.get(yes)).text


async def test_G5_the_other_link_refuses_and_after_a_yes_renounces(open_house: House) -> None:
    request = await proposed(open_house)
    anybody, no = open_house.browser(), link(request, Purpose.REFUSE_AS_HOST)
    await anybody.post(link(request, Purpose.ACCEPT_AS_HOST))

    assert "Oui, nous renonçons" in (await anybody.get(no)).text
    assert "plus rien à prévoir" in (await anybody.post(no)).text

    assert (await now_of(open_house, request)).state == "framing"
    assert "Vous avez décliné cette date." in (await anybody.get(no)).text


async def test_a_late_link_says_so_and_a_forged_or_anothers_one_is_none(open_house: House) -> None:
    request = await proposed(open_house)
    anybody = open_house.browser()
    await anybody.post(link(request, Purpose.REFUSE_AS_HOST))

    late = await anybody.get(link(request, Purpose.ACCEPT_AS_HOST, days=-1))

    assert (late.status_code, "Ce lien a expiré" in late.text) == (410, True)
    assert (await anybody.get(link(request, Purpose.ACCEPT_AS_HOST)[:-4])).status_code == 404
    assert (await anybody.get(link(request, Purpose.ACCEPT_AS_HOST, host=uuid4()))).status_code == 404


async def test_P4_a_contact_is_an_address_that_only_notify_learns(open_house: House) -> None:
    contact_id = uuid4()
    for email in ("accueil@exemple.invalid", "hote@exemple.invalid"):
        await open_house.bus.ask(AddContact(contact_id=contact_id, email=email), OPERATOR)

    found = await open_house.bus.ask(GetContact(agent_id=contact_id), Caller("notify"))
    assert (found.email, found.given_name, found.usual_name) == ("hote@exemple.invalid", "", "")
    nobody = Caller(str(ALICE.agent_id), frozenset({"agent"}))
    orders: Any = (GetContact(agent_id=contact_id), AddContact(contact_id=uuid4(), email="x@exemple.invalid"))
    for order in orders:
        with pytest.raises(Refused) as refused:
            await open_house.bus.ask(order, nobody)
        assert refused.value.code == "not_allowed"


# --- the API -------------------------------------------------------------------------------------------------------------------------


async def test_G5_from_the_wish_to_the_agreement_over_http(open_house: House) -> None:
    agent, lab = await open_house.script(ALICE), await open_house.script(LAB_MEMBER)
    key = {"Idempotency-Key": "une-demande"}

    first, second = [await agent.post("/api/v1/tailored-requests", json=a_wish(), headers=key) for _ in range(2)]
    assert (first.status_code, first.json()) == (201, second.json())
    path = first.headers["location"]
    assert first.json()["org_unit"] == ALICE.org_unit.code
    assert first.json()["answer_due_at"]

    assert (await agent.post(f"{path}/frame")).status_code == 403
    assert (await lab.post(f"{path}/frame")).json()["state"] == "framing"
    a_date_without_host = a_date() | {"host_contact_id": None}
    dates = await lab.post(f"{path}/proposals", json={"proposals": [a_date_without_host, a_date()]})
    assert [each["state"] for each in dates.json()["proposals"]] == ["ready", "asked"]
    to_confirm = await agent.post(f"{path}/proposals/{dates.json()['proposals'][1]['proposal_id']}/agree")
    assert (to_confirm.status_code, to_confirm.json()["code"]) == (409, "host_not_confirmed")
    agreed = await agent.post(f"{path}/proposals/{a_date_without_host['proposal_id']}/agree")
    assert (agreed.json()["state"], agreed.json()["session_id"] is not None) == ("agreed", True)

    assert len((await agent.get("/api/v1/me/tailored-requests")).json()["requests"]) == 1
    assert (await agent.get("/api/v1/lab/tailored-requests")).status_code == 403
    assert (await lab.get("/api/v1/lab/tailored-requests?overdue=true")).json() == {"requests": []}
    assert (await (await open_house.script(BOB)).get(path)).status_code == 404


async def test_a_framing_note_is_written_in_turns_and_exported_over_http(open_house: House) -> None:
    agent, lab = await open_house.script(ALICE), await open_house.script(LAB_MEMBER)
    path = (await agent.post("/api/v1/tailored-requests", json=a_wish())).headers["location"]
    await lab.post(f"{path}/frame")
    note = (await agent.get(f"{path}/framing-note")).json()
    texts = {name: note[name] for name in ("objective", "decision_rights", "participants", "deliverables", "constraints")}

    mine = await agent.post(f"{path}/framing-note/versions", json=texts | {"based_on": 1, "objective": "Trois idées"})
    theirs = await lab.post(f"{path}/framing-note/versions", json=texts | {"based_on": 1})

    assert (mine.status_code, mine.json()["version"]) == (200, 2)
    assert (theirs.status_code, theirs.json()["code"], theirs.json()["version"]) == (409, "framing_note_conflict", 2)
    exported = await lab.get(f"{path}/framing-note.md")
    assert exported.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "## Objectif\n\nTrois idées" in exported.text


async def test_the_lab_declines_and_the_agent_reads_why_and_where_to_turn(open_house: House) -> None:
    agent, lab = await open_house.script(ALICE), await open_house.script(LAB_MEMBER)
    path = (await agent.post("/api/v1/tailored-requests", json=a_wish())).headers["location"]

    await lab.post(f"{path}/decline", json={"reason": "Aucun lieu pour ce thème.", "redirection": "La formation du 18 mars."})

    found = (await agent.get(path)).json()
    assert (found["state"], found["reason"], found["redirection"]) == (
        "declined",
        "Aucun lieu pour ce thème.",
        "La formation du 18 mars.",
    )
    assert (await agent.post(f"{path}/withdraw")).json()["code"] == "tailored_request_moved_on"

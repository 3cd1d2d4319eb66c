"""Projects through NATS, as the gateway asks it: the whole path, wrong payloads, keys, parallel callers."""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pydantic_core import from_json, to_json

from services.projects.calls import handlers as calls
from services.projects.engagements import handlers
from shared.bus import ACTOR, ROLES, Bus, Caller
from shared.contracts.messages import Message, Request
from shared.contracts.projects import EngagementState, GetEngagement, GetPortfolio, Outcome
from shared.database import Database
from shared.errors import InvalidRequest, KeyReused, NotAllowed, Refused
from shared.requests import Responder
from shared.settings import Settings
from tests.projects.given import (
    COACH,
    DEMONSTRATION,
    LAB_TEAM,
    LEAD,
    LEAD_ID,
    STRANGER,
    a_closing,
    a_decision,
    a_start,
    an_application,
    an_entry,
    everything_told,
    given_application,
    given_engagement,
    shift_to,
    told,
)

ReplyT = TypeVar("ReplyT", bound=Message)


@pytest.fixture
async def projects(settings_for: Callable[..., Settings]) -> AsyncIterator[Database]:
    """Projects, answering."""
    shift_to(DEMONSTRATION)
    database, bus = Database.of(settings_for("projects")), await Bus.connect(settings_for("projects"))
    responder = Responder(bus, database, [calls.requests, handlers.requests])
    await responder.start()
    yield database
    await responder.drain()
    await bus.close()
    await database.dispose()


@pytest.fixture
async def gateway(settings_for: Callable[..., Settings]) -> AsyncIterator[Bus]:
    bus = await Bus.connect(settings_for("gateway"))
    yield bus
    await bus.close()


async def code_of(asked: Awaitable[Message]) -> str:
    try:
        await asked
    except Refused as refusal:
        return refusal.code
    return "ok"


async def test_a_project_goes_from_the_application_to_its_lessons_through_the_bus(projects: Database, gateway: Bus) -> None:
    order = an_application()
    await gateway.ask(order, LEAD)
    await gateway.ask(a_decision(order.application_id, "accepted_with_conditions"), LAB_TEAM)
    start = a_start(order.application_id)
    await gateway.ask(start, LAB_TEAM)
    await gateway.ask(an_entry(start.engagement_id), LEAD)
    closed = await gateway.ask(a_closing(start.engagement_id), COACH)

    assert await gateway.ask(GetEngagement(engagement_id=start.engagement_id), LEAD) == closed
    assert (closed.state, closed.outcome, closed.logbook_total) == (EngagementState.CLOSED, Outcome.ADOPTED, 1)
    portfolio = await gateway.ask(GetPortfolio(agent_id=LEAD_ID), LEAD)
    assert (portfolio.applications[0].engagement_id, portfolio.engagements) == (start.engagement_id, (closed,))
    assert await code_of(gateway.ask(GetEngagement(engagement_id=start.engagement_id), STRANGER)) == "engagement_unknown"
    assert await code_of(gateway.ask(GetPortfolio(agent_id=LEAD_ID), STRANGER)) == NotAllowed.code
    assert [version for _, version in await told(projects, start.engagement_id)] == [1, 2, 3]


async def test_every_refusal_reaches_its_caller_with_a_code_a_status_and_french_words(projects: Database, gateway: Bus) -> None:
    waiting, engagement = await given_application(projects), await given_engagement(projects)
    requests: list[tuple[Request[Any], Caller, str, int]] = [
        (an_application(application_id=waiting.application_id, title="Un autre titre"), LEAD, "application_exists", 409),
        (an_application(), STRANGER, "not_allowed", 403),
        (a_decision(uuid4()), LAB_TEAM, "application_unknown", 404),
        (a_decision(waiting.application_id, reason=""), LAB_TEAM, "reason_required", 422),
        (a_decision(waiting.application_id, "declined", redirection=""), LAB_TEAM, "redirection_required", 422),
        (a_decision(waiting.application_id, redirection="Formation"), LAB_TEAM, "redirection_unexpected", 422),
        (a_decision(engagement.application_id), LAB_TEAM, "already_decided", 409),
        (a_start(waiting.application_id), LAB_TEAM, "application_not_accepted", 409),
        (a_start(engagement.application_id), LAB_TEAM, "engagement_exists", 409),
        (an_entry(uuid4()), LEAD, "engagement_unknown", 404),
        (a_closing(engagement.engagement_id, lessons_learned=""), COACH, "lessons_learned_required", 422),
        (a_closing(engagement.engagement_id), LEAD, "not_allowed", 403),
    ]

    for request, caller, code, status in requests:
        with pytest.raises(Refused) as refused:
            await gateway.ask(request, caller)
        assert (refused.value.code, refused.value.status) == (code, status)
        assert refused.value.title.endswith((".", "!"))
        assert refused.value.title != "Demande refusée."


async def test_two_parallel_decisions_through_the_bus_leave_one(projects: Database, gateway: Bus) -> None:
    application_id = (await given_application(projects)).application_id

    codes = await gather(
        code_of(gateway.ask(a_decision(application_id), LAB_TEAM)), code_of(gateway.ask(a_decision(application_id, "declined"), LAB_TEAM))
    )

    assert sorted(codes) == ["already_decided", "ok"]


async def test_the_same_key_asked_ten_times_at_once_closes_an_engagement_once(projects: Database, gateway: Bus) -> None:
    engagement = await given_engagement(projects)
    caller, order = replace(COACH, idempotency_key="close-once"), a_closing(engagement.engagement_id)

    codes = await gather(*(code_of(gateway.ask(order, caller)) for _ in range(10)))

    assert set(codes) <= {"ok", "idempotency_key_in_use"}
    assert "ok" in codes
    assert (await gateway.ask(order, caller)).version == 2
    assert await code_of(gateway.ask(order, COACH)) == "engagement_is_closed"
    assert await code_of(gateway.ask(order.model_copy(update={"outcome": Outcome.MERGED}), caller)) == KeyReused.code
    assert await told(projects, engagement.engagement_id) == [("engagement_started", 1), ("engagement_closed", 2)]


async def test_a_refusal_is_not_kept_under_its_key_and_is_decided_again(projects: Database, gateway: Bus) -> None:
    application = await given_application(projects)
    caller, order = replace(LAB_TEAM, idempotency_key="start-when-accepted"), a_start(application.application_id)

    assert await code_of(gateway.ask(order, caller)) == "application_not_accepted"
    await gateway.ask(a_decision(application.application_id), LAB_TEAM)

    assert (await gateway.ask(order, caller)).engagement_id == order.engagement_id


# --- bad input ---------------------------------------------------------------------------------------------------------------------------


async def send(client: Client, request: type[Request[Any]], body: bytes) -> dict[str, Any]:
    answer = await client.request(request.subject, body, timeout=5, headers={ACTOR: LAB_TEAM.actor, ROLES: "lab_team"})
    return from_json(answer.data)["problem"]


WRONG = [
    (an_application(), {"title": "ab"}, "title"),
    (an_application(), {"title": "   "}, "title"),
    (an_application(), {"title": "x" * 201}, "title"),
    (an_application(), {"problem": "x" * 10_001}, "problem"),
    (an_application(), {"project_lead_id": "agent-0001"}, "project_lead_id"),
    (a_decision(uuid4()), {"decision": "postponed"}, "decision"),
    (a_decision(uuid4()), {"decision": "submitted"}, "decision"),
    (a_decision(uuid4()), {"reason": "x" * 2001}, "reason"),
    (a_start(uuid4()), {"starts_on": "31/08/2026"}, "starts_on"),
    (a_start(uuid4()), {"planned_end_on": "2027-02-29"}, "planned_end_on"),
    (a_start(uuid4()), {"coach_id": None}, "coach_id"),
    (an_entry(uuid4()), {"kind": "gossip"}, "kind"),
    (an_entry(uuid4()), {"text": "\n \n"}, "text"),
    (a_closing(uuid4()), {"outcome": "forgotten"}, "outcome"),
    (a_closing(uuid4()), {"reason": ""}, "reason"),
    (a_closing(uuid4()), {"lessons_learned": "x" * 10_001}, "lessons_learned"),
]


async def test_a_wrong_member_is_named_and_nothing_is_written(
    projects: Database, nats_as: Callable[..., Awaitable[Client]], gateway: Bus
) -> None:
    client = await nats_as("gateway")
    for order, changed, member in WRONG:
        problem = await send(client, type(order), to_json(order.model_dump(mode="json") | changed))

        assert (problem["code"], problem["status"]) == (InvalidRequest.code, 422)
        assert [fault["where"] for fault in problem["errors"]] == [member]
    for body in (b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"engagement_id": 1}', b'{"title": "a\\u0000bc"}'):
        assert (await send(client, type(an_application()), body))["code"] == InvalidRequest.code

    assert await everything_told(projects) == []
    assert (await gateway.ask(an_application(), LEAD)).version == 1


async def test_a_year_of_another_age_is_a_wrong_request_and_no_failure(projects: Database, gateway: Bus) -> None:
    application = await given_application(projects, "accepted")
    for year in ("0001", "9999"):
        order = a_start(application.application_id, starts_on=f"{year}-12-31", planned_end_on=f"{year}-12-31")
        assert await code_of(gateway.ask(order, LAB_TEAM)) == InvalidRequest.code

"""Catalog through NATS, as the gateway and `labo` ask it: bad payloads, roles, keys."""

from __future__ import annotations

from asyncio import gather
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest
from nats.aio.client import Client
from pydantic_core import from_json, to_json

from services.catalog.activities import handlers
from shared.bus import ACTOR, ROLES, Bus, Caller
from shared.contracts.catalog import AddHost, DraftActivity, GetSession, RescheduleSession
from shared.contracts.messages import Acknowledged, Request
from shared.database import Database
from shared.errors import InvalidRequest, NotAllowed, Refused
from shared.requests import Responder
from shared.settings import Settings
from tests.catalog.givens import AGENT, DEMONSTRATION, OPERATOR, a_draft, given_session, shift_to, told


@pytest.fixture
async def catalog(settings_for: Callable[..., Settings]) -> AsyncIterator[Database]:
    """A catalog that answers."""
    shift_to(DEMONSTRATION)
    database, bus = Database.of(settings_for("catalog")), await Bus.connect(settings_for("catalog"))
    responder = Responder(bus, database, [handlers.requests])
    await responder.start()
    yield database
    await responder.drain()
    await bus.close()
    await database.dispose()


@pytest.fixture
async def operator(settings_for: Callable[..., Settings]) -> AsyncIterator[Bus]:
    bus = await Bus.connect(settings_for("operator", postgres_password=""), user="operator")
    yield bus
    await bus.close()


async def send(client: Client, request: type[Request[Acknowledged]], body: bytes) -> dict[str, Any]:
    answer = await client.request(request.subject, body, timeout=5, headers={ACTOR: "operator", ROLES: "operator"})
    return from_json(answer.data)["problem"]


async def test_a_session_read_through_the_bus_is_the_session(catalog: Database, operator: Bus) -> None:
    session = await given_session(catalog)

    assert await operator.ask(GetSession(session_id=session.session_id), AGENT) == session
    with pytest.raises(Refused) as refused:
        await operator.ask(GetSession(session_id=uuid4()), AGENT)
    assert (refused.value.code, refused.value.status) == ("session_unknown", 404)


async def test_an_agent_is_told_that_it_may_not(catalog: Database, operator: Bus) -> None:
    with pytest.raises(Refused) as refused:
        await operator.ask(a_draft(), AGENT)

    assert (refused.value.code, refused.value.status) == (NotAllowed.code, 403)
    assert await told(catalog) == []


@pytest.mark.parametrize(
    ("changed", "member"),
    [
        ({"activity_type": "party"}, "activity_type"),
        ({"activity_id": "not-an-id"}, "activity_id"),
        ({"title": ""}, "title"),
        ({"summary": "x" * 401}, "summary"),
        ({"theme": None}, "theme"),
        ({"delivery_mode": 3}, "delivery_mode"),
    ],
)
async def test_a_wrong_member_is_named_and_nothing_is_written(
    catalog: Database, nats_as: Callable[..., Awaitable[Client]], changed: dict[str, object], member: str
) -> None:
    body = to_json(a_draft().model_dump(mode="json") | changed)

    problem = await send(await nats_as("operator"), DraftActivity, body)

    assert (problem["code"], problem["status"]) == (InvalidRequest.code, 422)
    assert [fault["where"] for fault in problem["errors"]] == [member]
    assert await told(catalog) == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"host_id": 1}'])
async def test_a_body_that_is_no_request_is_refused_and_the_next_one_served(
    catalog: Database, nats_as: Callable[..., Awaitable[Client]], operator: Bus, body: bytes
) -> None:
    assert (await send(await nats_as("operator"), AddHost, body))["code"] == InvalidRequest.code

    assert (await operator.ask(AddHost(host_id=uuid4(), name="Fablab", kind="fablab"), OPERATOR)).version == 1


async def test_a_character_that_no_text_may_hold_is_refused_rather_than_failing(catalog: Database, operator: Bus) -> None:
    with pytest.raises(Refused) as refused:
        await operator.ask(AddHost(host_id=uuid4(), name="Fab\0lab", kind="fablab"), OPERATOR)

    assert refused.value.code == InvalidRequest.code


async def test_the_same_key_asked_ten_times_at_once_moves_a_session_once(catalog: Database, operator: Bus) -> None:
    session = await given_session(catalog)
    caller = Caller(actor="operator", roles=frozenset({"operator"}), idempotency_key="move-once")
    move = RescheduleSession(session_id=session.session_id, capacity=9)

    answers = await gather(*(operator.ask(move, caller) for _ in range(10)), return_exceptions=True)

    done = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert {answer.version for answer in done} == {2}
    assert {answer.code for answer in answers if isinstance(answer, Refused)} <= {"idempotency_key_in_use"}
    assert (await operator.ask(move, caller)).version == 2

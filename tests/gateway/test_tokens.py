"""Bearer tokens: whom they let in, and whom no longer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from deploy.child import free_port
from services.gateway.directory.domain import AgentUnknown
from services.gateway.login import store, tokens
from services.gateway.login.handlers import NotInProduction, issue_demo_token
from shared.bus import Caller
from shared.contracts.gateway import IssueDemoToken
from shared.database import Database, is_infrastructure
from shared.errors import NotAllowed
from tests.gateway.conftest import ALICE, OPERATOR, OTHERS, House
from tests.gateway.given import refusal

PRIVATE = ["/me", "/me/bookings", "/me/projects", f"/bookings/{UUID(int=1)}"]


@pytest.mark.parametrize("path", PRIVATE)
async def test_a_stranger_is_asked_to_sign_in(house: House, path: str) -> None:
    answer = await house.browser().get(f"/api/v1{path}")

    assert refusal(answer) == (401, "not_signed_in")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("authorization", ["Bearer nonsense", "Basic YTpi", "Bearer", "Bearer a b", ""])
async def test_what_is_no_token_of_ours_is_refused_even_where_none_is_needed(house: House, authorization: str) -> None:
    answer = await house.browser().get("/api/v1/sessions", headers={"Authorization": authorization})

    assert refusal(answer) == (401, "token_invalid")
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("end", ["expires_at = clock_timestamp()", "revoked_at = clock_timestamp()"])
async def test_a_token_that_expired_or_was_revoked_is_refused(house: House, end: str) -> None:
    await house.register(ALICE)
    script = await house.script(ALICE)
    async with house.database.begin() as tx:
        await tx.execute(text(f"update api_token set {end}"))

    assert refusal(await script.get("/api/v1/me")) == (401, "token_invalid")


async def test_a_revoked_token_that_was_just_seen_serves_30_seconds_at_most(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.register(ALICE)
    script = await house.script(ALICE)
    assert (await script.get("/api/v1/me")).status_code == 200
    async with house.database.begin() as tx:
        await tx.execute(text("update api_token set revoked_at = clock_timestamp()"))

    real = tokens.time.monotonic
    monkeypatch.setattr(tokens.time, "monotonic", lambda: real() + tokens.CACHE_SECONDS)

    assert tokens.CACHE_SECONDS <= 30
    assert refusal(await script.get("/api/v1/me")) == (401, "token_invalid")


async def test_a_token_is_stored_as_its_hash_and_issued_to_operators_of_a_demonstration(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.register(ALICE)
    token = await house.token(ALICE)

    async with house.database.connect() as connection:
        stored = (await connection.execute(text("select token_hash::text from api_token"))).scalars().all()
    assert len(stored) == 1
    assert token not in stored[0]
    with pytest.raises(NotAllowed):
        await issue_demo_token(IssueDemoToken(sub=ALICE.sub), Caller("x", frozenset({"agent"})), house.database)
    with pytest.raises(AgentUnknown):
        await issue_demo_token(IssueDemoToken(sub="nobody"), OPERATOR, house.database)
    monkeypatch.setenv("LABO_ENVIRONMENT", "production")
    with pytest.raises(NotInProduction):
        await issue_demo_token(IssueDemoToken(sub=ALICE.sub), OPERATOR, house.database)


async def test_a_crowd_at_a_process_that_has_just_started_takes_few_queries(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.register(*OTHERS[:40])
    secrets = await asyncio.gather(*(house.token(agent) for agent in OTHERS[:40]))
    asked: list[int] = []
    real = store.token_agents

    async def counted(connection: Any, hashes: Sequence[bytes]) -> Any:
        asked.append(len(hashes))
        return await real(connection, hashes)

    monkeypatch.setattr(store, "token_agents", counted)
    crowd = tokens.Tokens(house.database)

    found = await asyncio.gather(*(crowd.find(store.hash_of(secret)) for secret in (*secrets, "nobody's")))

    assert [agent.agent_id if agent else None for agent in found] == [*(agent.agent_id for agent in OTHERS[:40]), None]
    assert sum(asked) == 41
    assert len(asked) <= 2
    assert crowd.known(store.hash_of("nobody's")) is None


async def test_with_the_database_away_no_token_is_taken_for_a_wrong_one(house: House) -> None:
    away = Database.of(house.settings.model_copy(update={"postgres_port": free_port()}))
    crowd = tokens.Tokens(away)

    answers = await asyncio.gather(*(crowd.find(store.hash_of(str(number))) for number in range(3)), return_exceptions=True)
    await away.dispose()

    assert all(isinstance(answer, Exception) and is_infrastructure(answer) for answer in answers)

"""Who people are: one row each, known by their sub, and an event whenever others may care."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.gateway.directory import handlers
from services.gateway.directory.domain import WORKPLACE_UNKNOWN, Agent, AgentIdConflict, AgentUnknown, Identity
from services.gateway.login.domain import AddressMissing, identity_of
from shared.bus import Caller
from shared.contracts.gateway import GetContact, RegisterAgent
from shared.database import Database
from shared.errors import NotAllowed

OPERATOR = Caller("operator", frozenset({"operator"}))
NOTIFY = Caller("notify")
SIRET = "00000010100014"
GARONNE = Identity(sub="agent-0001", email="garonne.tilleul@exemple.invalid", given_name="Garonne", usual_name="Tilleul", siret=SIRET)


@pytest.fixture
async def directory(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("gateway")


def an_order(**changed: Any) -> RegisterAgent:
    given: dict[str, Any] = {
        "agent_id": uuid4(),
        "sub": "agent-0001",
        "given_name": "Garonne",
        "usual_name": "Tilleul",
        "email": "garonne.tilleul@exemple.invalid",
        "siret": SIRET,
        "org_unit": "PREF-31",
    }
    return RegisterAgent(**given | changed)


async def register(directory: Database, order: RegisterAgent, caller: Caller = OPERATOR) -> int:
    async with directory.begin() as tx:
        return (await handlers.register_agent(order, caller, tx)).version


async def sign_in(directory: Database, identity: Identity) -> Agent:
    async with directory.begin() as tx:
        return await handlers.welcome(tx, identity)


async def said(directory: Database) -> list[tuple[str, int]]:
    """Facts and versions in the outbox, in order."""
    async with directory.connect() as connection:
        rows = await connection.execute(text("select split_part(subject, '.', 3) as fact, aggregate_version from outbox order by id"))
        return [(row.fact, row.aggregate_version) for row in rows]


# --- the operator records people ---------------------------------------------------------------------------------------------------------


async def test_recording_a_person_twice_says_it_once(directory: Database) -> None:
    order = an_order()

    assert [await register(directory, order), await register(directory, order)] == [1, 1]

    assert await said(directory) == [("agent_registered", 1)]


async def test_a_changed_address_is_a_new_version_without_the_address_in_the_event(directory: Database) -> None:
    order = an_order()
    await register(directory, order)

    version = await register(directory, order.model_copy(update={"email": "tilleul@exemple.invalid"}))

    assert version == 2
    assert await said(directory) == [("agent_registered", 1), ("agent_changed", 2)]
    async with directory.connect() as connection:
        bodies = await connection.scalars(text("select convert_from(payload, 'UTF8') || headers::text from outbox"))
    assert not any("exemple.invalid" in body or "Tilleul" in body for body in bodies)


@pytest.mark.parametrize("changed", [{"agent_id": UUID(int=1)}, {"sub": "agent-0002"}])
async def test_an_id_or_a_sub_that_belongs_to_somebody_else_is_refused(directory: Database, changed: dict[str, Any]) -> None:
    order = an_order()
    await register(directory, order)

    with pytest.raises(AgentIdConflict):
        await register(directory, order.model_copy(update=changed))


async def test_only_an_operator_records_people(directory: Database) -> None:
    with pytest.raises(NotAllowed):
        await register(directory, an_order(), Caller(str(uuid4()), frozenset({"agent", "lab_team"})))


async def test_P4_only_notify_learns_an_address(directory: Database) -> None:
    order = an_order()
    await register(directory, order)

    contact = await handlers.get_contact(GetContact(agent_id=order.agent_id), NOTIFY, directory)

    assert (contact.given_name, contact.usual_name, contact.email) == ("Garonne", "Tilleul", "garonne.tilleul@exemple.invalid")
    with pytest.raises(NotAllowed):
        await handlers.get_contact(GetContact(agent_id=order.agent_id), Caller(str(order.agent_id), frozenset({"agent"})), directory)
    with pytest.raises(AgentUnknown):
        await handlers.get_contact(GetContact(agent_id=uuid4()), NOTIFY, directory)


# --- people sign in ----------------------------------------------------------------------------------------------------------------------


async def test_S1_a_first_sign_in_registers_the_agent_where_the_siret_says(directory: Database) -> None:
    await register(directory, an_order(sub="someone-else", email="autre@exemple.invalid"))

    agent = await sign_in(directory, GARONNE)

    assert (agent.org_unit, agent.roles, agent.version) == ("PREF-31", ("agent",), 1)
    assert await said(directory) == [("agent_registered", 1), ("agent_registered", 1)]


async def test_W1_where_a_workplace_is_goes_with_everybody_who_works_there(directory: Database) -> None:
    await sign_in(directory, GARONNE)
    await register(directory, an_order(sub="someone-else", email="autre@exemple.invalid", department="31"))
    await register(directory, an_order(sub="a-third", email="tiers@exemple.invalid"))  # where it is stays, if that is not said

    again = await sign_in(directory, GARONNE)

    assert again.department == "31"
    async with directory.connect() as connection:
        told = (await connection.scalars(text("select payload from outbox order by id"))).all()
    assert [json.loads(payload)["department"] for payload in told] == [None, "31", "31", "31"]


async def test_S1_an_unknown_siret_locks_nobody_out(directory: Database) -> None:
    assert (await sign_in(directory, GARONNE)).org_unit == WORKPLACE_UNKNOWN


async def test_S1_the_same_sub_with_a_new_address_is_the_same_agent(directory: Database) -> None:
    first = await sign_in(directory, GARONNE)

    again = await sign_in(directory, Identity(sub="agent-0001", email="nouvelle@exemple.invalid"))

    assert (again.agent_id, again.email, again.usual_name) == (first.agent_id, "nouvelle@exemple.invalid", "Tilleul")
    assert await said(directory) == [("agent_registered", 1), ("agent_changed", 2)]


async def test_S1_a_known_address_with_a_new_sub_is_linked_not_locked_out(directory: Database) -> None:
    order = an_order(roles=("agent", "coach"))
    await register(directory, order)

    linked = await sign_in(directory, Identity(sub="from-another-provider", email="GARONNE.Tilleul@exemple.invalid", siret=SIRET))
    again = await sign_in(directory, Identity(sub="from-another-provider", email="garonne.tilleul@exemple.invalid"))

    assert linked.agent_id == again.agent_id == order.agent_id
    assert again.roles == ("agent", "coach")


async def test_an_address_that_the_provider_has_not_verified_links_nobody(directory: Database) -> None:
    order = an_order()
    await register(directory, order)

    stranger = await sign_in(directory, Identity(sub="x", email=order.email, email_verified=False))

    assert stranger.agent_id != order.agent_id


async def test_homonyms_who_share_a_mailbox_stay_two_people(directory: Database) -> None:
    await register(directory, an_order())
    await register(directory, an_order(sub="agent-0002"))

    third = await sign_in(directory, Identity(sub="agent-0003", email="garonne.tilleul@exemple.invalid"))

    async with directory.connect() as connection:
        assert await connection.scalar(text("select count(*) from agents")) == 3
    assert third.sub == "agent-0003"


async def test_signing_in_again_without_change_says_nothing(directory: Database) -> None:
    await sign_in(directory, GARONNE)
    await sign_in(directory, GARONNE)

    assert await said(directory) == [("agent_registered", 1)]


async def test_two_first_sign_ins_at_once_register_one_agent(directory: Database) -> None:
    agents = await asyncio.gather(*(sign_in(directory, GARONNE) for _ in range(6)))

    assert len({agent.agent_id for agent in agents}) == 1
    assert await said(directory) == [("agent_registered", 1)]


# --- claims ------------------------------------------------------------------------------------------------------------------------------


def test_S1_the_family_name_is_usual_name_then_family_name() -> None:
    assert identity_of({"sub": "a", "email": "a@b", "usual_name": "Tilleul", "family_name": "Aulne"}).usual_name == "Tilleul"
    assert identity_of({"sub": "a", "email": "a@b", "family_name": "Aulne"}).usual_name == "Aulne"


def test_claims_of_another_kind_count_for_nothing() -> None:
    found = identity_of({"sub": "a", "email": "a@b", "given_name": ["Garonne"], "siret": "123", "email_verified": False})

    assert (found.given_name, found.siret, found.email_verified) == ("", None, False)


@pytest.mark.parametrize("email", [None, "", "nobody", "a@b@c", "a b@c", 7])
def test_nobody_enters_without_an_address(email: object) -> None:
    with pytest.raises(AddressMissing):
        identity_of({"sub": "a", "email": email})


def test_a_nameless_newcomer_is_called_by_their_address() -> None:
    arrived = Identity(sub="zoe", email="zoe.aulne@exemple.invalid").arrives(UUID(int=1), None)

    assert arrived.usual_name == "zoe.aulne"

"""The invented people are those that `domain.md` asks for, and every tool gives them the same ids."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

from deploy.agents import agent_id, read_agents


def test_there_are_180_of_them_in_24_administrations_with_one_innovation_referent_each() -> None:
    agents = read_agents()

    assert [agent.sub for agent in agents] == [f"agent-{number:04d}" for number in range(1, 181)]
    units = Counter(agent.org_unit.code for agent in agents)
    assert len(units) == 24
    assert Counter(agent.org_unit.code for agent in agents if agent.innovation_referent) == Counter(dict.fromkeys(units, 1))


def test_roles_are_those_of_the_demonstration() -> None:
    roles = Counter(role for agent in read_agents() for role in agent.roles)

    assert (roles["coach"], roles["committee"], roles["operator"]) == (6, 9, 2)


def test_nobody_real_can_be_written_to() -> None:
    addresses = [agent.email for agent in read_agents()]

    assert len(set(addresses)) == 180
    assert all(address.endswith("@exemple.invalid") for address in addresses)
    assert all(agent.org_unit.siret.startswith("000") for agent in read_agents())


def test_every_case_of_the_demonstration_has_its_person() -> None:
    notes = {agent.note.partition(" ")[0].rstrip(":") for agent in read_agents() if agent.note}
    homonyms = [name for name, number in Counter(agent.name for agent in read_agents()).items() if number == 2]

    cases = {"needs_step_free_access", "changed_mail", "two_strikes", "under_erasure", "booked_twice_on_one_slot", "bounced_mailbox"}
    assert notes == cases | {"homonym_of"}
    assert homonyms == ["Adour Bouleau"]


def test_an_id_never_changes() -> None:
    assert agent_id("agent-0001") == UUID("1384ad27-55b2-527f-a8ed-08183048a9fd")

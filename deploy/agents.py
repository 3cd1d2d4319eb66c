"""The invented people of the demonstration, read from `demo/agents.toml`: for the sign-in page, the directory and `labo demo`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

FILE = Path(__file__).with_name("demo") / "agents.toml"
NAMESPACE = UUID("6f2f4c1e-0e0b-5d8a-9c55-1ab000000001")
"""An agent's id is the uuid5 of its `sub` in here, so that every tool derives the same one."""


@dataclass(frozen=True, slots=True)
class OrgUnit:
    code: str
    name: str
    department: str
    siret: str


@dataclass(frozen=True, slots=True)
class Agent:
    sub: str
    given_name: str
    usual_name: str
    email: str
    org_unit: OrgUnit
    roles: tuple[str, ...] = ("agent",)
    innovation_referent: bool = False
    persona: str | None = None
    """Who this is, in a few French words, for those on the first page of the local sign-in."""
    note: str | None = None
    """Which case of the demonstration this agent stands for."""

    @property
    def agent_id(self) -> UUID:
        return agent_id(self.sub)

    @property
    def name(self) -> str:
        return f"{self.given_name} {self.usual_name}"


def agent_id(sub: str) -> UUID:
    return uuid5(NAMESPACE, sub)


@cache
def read_agents(file: Path = FILE) -> tuple[Agent, ...]:
    """Everybody, in the order of the file."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    units = {unit["code"]: OrgUnit(**unit) for unit in document["org_units"]}
    return tuple(_agent(said, units) for said in document["agents"])


def _agent(said: dict[str, Any], units: dict[str, OrgUnit]) -> Agent:
    read: dict[str, Any] = {"org_unit": units[said["org_unit"]], "roles": tuple(said.get("roles", ("agent",)))}
    return Agent(**said | read)

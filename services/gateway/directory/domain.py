"""Who a person is to us: what the identity provider or the operator says, laid over what we knew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from shared.contracts.gateway import AgentChanged, AgentRegistered, Role
from shared.errors import Refused

WORKPLACE_UNKNOWN = "unknown"
"""Org unit of an agent whose SIRET nobody has told us about yet."""


class AgentUnknown(Refused):
    code, status, title = "agent_unknown", 404, "Cet agent n'est pas dans l'annuaire."


class AgentIdConflict(Refused):
    code, title = "agent_id_conflict", "Cet identifiant d'agent ou de connexion appartient déjà à une autre personne."


@dataclass(frozen=True, slots=True)
class Agent:
    agent_id: UUID
    sub: str
    given_name: str
    usual_name: str
    email: str
    siret: str | None
    org_unit: str
    roles: tuple[Role, ...]
    version: int
    innovation_referent: bool = False
    """May book for agents of the same org unit."""
    department: str | None = None
    """Where their workplace is, as far as we were told."""

    def becomes(self, told: Agent) -> Agent:
        """What was just told, laid over this agent. The version rises with what others may know of, not with the sub."""
        new = replace(told, agent_id=self.agent_id, version=self.version)
        return new if replace(new, sub=self.sub) == self else replace(new, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a SIRET stands for, as operators told it."""

    org_unit: str
    department: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """What the identity provider vouches for at a sign-in. `sub` is the identity; all else may change or be missing (S1)."""

    sub: str
    email: str
    given_name: str = ""
    usual_name: str = ""
    siret: str | None = None
    email_verified: bool = True
    """False when the provider says that it has not verified the address: it links nobody then."""

    def arrives(self, agent_id: UUID, workplace: Workplace | None) -> Agent:
        """A person never seen before."""
        return Agent(
            agent_id=agent_id,
            sub=self.sub,
            given_name=self.given_name,
            usual_name=self.usual_name or self.email.partition("@")[0],
            email=self.email,
            siret=self.siret,
            org_unit=workplace.org_unit if workplace else WORKPLACE_UNKNOWN,
            department=workplace and workplace.department,
            roles=("agent",),
            version=1,
        )

    def updates(self, known: Agent, workplace: Workplace | None) -> Agent:
        """A known person: what the provider left out stays as it was, and so do the roles, which it knows nothing of."""
        return replace(
            known,
            sub=self.sub,
            given_name=self.given_name or known.given_name,
            usual_name=self.usual_name or known.usual_name,
            email=self.email,
            siret=self.siret or known.siret,
            org_unit=workplace.org_unit if workplace else known.org_unit,
            department=workplace.department if workplace else known.department,
        )


def registered(agent: Agent) -> AgentRegistered:
    return AgentRegistered(**_said(agent))


def changed(agent: Agent) -> AgentChanged:
    return AgentChanged(**_said(agent))


def _said(agent: Agent) -> dict[str, Any]:
    """What others may know of them."""
    return {name: getattr(agent, name) for name in ("agent_id", "version", "org_unit", "department", "roles")}

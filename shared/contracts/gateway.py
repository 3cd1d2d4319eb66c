"""What gateway answers and says: the directory, the only place where people have names (P4)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.messages import Acknowledged, Event, Message, Request

Role = Literal["agent", "coach", "committee", "lab_team", "operator"]


class Contact(Message):
    """How to write to a person. Asked for when a mail is sent, never stored elsewhere, never in an event or a log."""

    agent_id: UUID
    given_name: str
    usual_name: str
    email: str


class AgentEvent(Event):
    aggregate: ClassVar[str] = "agent"
    agent_id: UUID
    org_unit: str
    """Code of the administration the agent works in."""
    roles: tuple[Role, ...]
    """What the agent may do in the lab."""


class AgentRegistered(AgentEvent):
    """A person signed in for the first time, or was imported."""

    subject: ClassVar[str] = "evt.gateway.agent_registered.v1"


class AgentChanged(AgentEvent):
    """Org unit or roles changed, or the contact data (which stays in the directory)."""

    subject: ClassVar[str] = "evt.gateway.agent_changed.v1"


class GetContact(Request[Contact]):
    """The address of one agent. Only notify may ask. Refuses `agent_unknown`."""

    subject: ClassVar[str] = "rpc.gateway.get_contact.v1"
    agent_id: UUID


class RegisterAgent(Request[Acknowledged]):
    """Record or update a person by `sub`. Needs the role `operator`. Refuses `not_allowed`, `agent_id_conflict`."""

    subject: ClassVar[str] = "rpc.gateway.register_agent.v1"
    agent_id: UUID
    sub: Annotated[str, Field(min_length=1, max_length=255)]
    given_name: Annotated[str, Field(max_length=100)]
    usual_name: Annotated[str, Field(max_length=100)]
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]
    siret: Annotated[str, Field(pattern=r"^\d{14}$")] | None = None
    org_unit: Annotated[str, Field(max_length=100)]
    roles: tuple[Role, ...] = ("agent",)


class DemoToken(Message):
    token: str
    """Bearer token, shown once; only its hash is stored."""
    agent_id: UUID
    expires_in: int
    """Seconds."""


class IssueDemoToken(Request[DemoToken]):
    """A bearer token for scripts, on the embedded stack only (`not_in_production`). Needs `operator`. Refuses `agent_unknown`."""

    subject: ClassVar[str] = "rpc.gateway.issue_demo_token.v1"
    sub: str

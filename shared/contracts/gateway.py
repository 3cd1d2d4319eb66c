"""What gateway answers and says: the directory, the only place where people have names (P4)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.catalog import ActivityType, DeliveryMode
from shared.contracts.messages import Acknowledged, Event, Message, Request
from shared.contracts.quotas import Department

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
    department: Department | None = None
    """Where that is, as far as the directory was told."""
    roles: tuple[Role, ...]
    """What the agent may do in the lab."""


class AgentRegistered(AgentEvent):
    """A person signed in for the first time, or was imported."""

    subject: ClassVar[str] = "evt.gateway.agent_registered.v1"


class AgentChanged(AgentEvent):
    """Org unit or roles changed, or the contact data (which stays in the directory)."""

    subject: ClassVar[str] = "evt.gateway.agent_changed.v1"


class Wanted(Message):
    """What somebody searched: words without accents, and what they filtered by. Nothing in it can name a person."""

    words: str = ""
    activity_type: ActivityType | None = None
    delivery_mode: DeliveryMode | None = None
    department: str | None = None
    """Two-character code, such as `31`."""
    theme: str | None = None


class DemandSignalled(Event):
    """A search of the programme found no session with a seat left: something that the lab might plan."""

    subject: ClassVar[str] = "evt.gateway.demand_signalled.v1"
    aggregate: ClassVar[str] = "signal"
    signal_id: UUID
    wanted: Wanted
    hidden: int
    """Sessions that it would have found, had they not been full or cancelled."""
    heard_at: AwareDatetime
    """Domain time of the search."""


class DemandLine(Message):
    wanted: Wanted
    searches: int | None
    """How often in that time; none when fewer than five, since few might be one person (P5)."""
    hidden: int
    """At most so many sessions matched, and were full or cancelled."""
    last_heard_at: AwareDatetime


class Demand(Message):
    """What was searched in vain, the most wanted first."""

    lines: tuple[DemandLine, ...]


class ListDemand(Request[Demand]):
    """What was searched in vain, at most 200 lines. For the lab: `operator` or `lab_team`, otherwise `not_allowed`."""

    subject: ClassVar[str] = "rpc.gateway.list_demand.v1"
    days: Annotated[int, Field(ge=1, le=730)] = 90
    """How far back."""


class GetContact(Request[Contact]):
    """The address of one agent, or of a contact such as a line manager, who has no names here. Only notify may ask.

    Refuses `agent_unknown`, `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.gateway.get_contact.v1"
    agent_id: UUID


class AddContact(Request[Acknowledged]):
    """Record how to reach somebody who is no agent, such as whoever answers for a host; asked again, it corrects the address.

    For `lab_team` and `operator`. Refuses `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.gateway.add_contact.v1"
    contact_id: UUID
    """Opaque: what others, and events, know them by."""
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)]


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
    innovation_referent: bool = False
    """Whether they may book for agents of their org unit."""
    department: Department | None = None
    """Where they work; without it, where the workplace of this SIRET is known to be."""


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

"""Asking booking for a seat, as the API and the portal do: for oneself, or for somebody of one's own service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.contacts import store as contacts
from services.gateway.contacts.domain import address_of_manager
from services.gateway.desk import Desk
from services.gateway.directory import store as directory
from services.gateway.directory.domain import Agent, AgentUnknown
from services.gateway.login.principal import Principal
from services.gateway.programme.domain import SessionUnknown
from shared.bus import Bus, Caller
from shared.contracts.agenda import SwapBooking
from shared.contracts.booking import Booking, BookSeat
from shared.contracts.catalog import GetSession
from shared.contracts.groups import BookGroup, GroupBooking
from shared.errors import NotAllowed, Refused


@dataclass(frozen=True, slots=True)
class Wish:
    """What comes with a booking, if anything."""

    line_manager_email: str = ""
    """Of whoever has to agree, where the session asks for it (B7)."""
    agent_email: str = ""
    """For whom, where it is somebody else."""
    remote: bool = False
    """At a distance, in a hybrid session (B9)."""

    @property
    def names_somebody(self) -> bool:
        return bool(self.line_manager_email or self.agent_email)


async def ask_for_seat(desk: Desk, session_id: UUID, principal: Principal, caller: Caller, wish: Wish) -> Booking:
    """`session_not_ready` becomes a 404 only when catalog says that there is no such session (E1)."""
    order = BookSeat(session_id=session_id, agent_id=principal.agent_id, remote=wish.remote)
    if wish.names_somebody:
        async with desk.database.begin() as tx:
            order = await _wished(tx, order, principal, wish)
    try:
        return await desk.bus.ask(order, caller)
    except Refused as refusal:
        if refusal.code == "session_not_ready" and not await _exists(desk.bus, session_id, caller):
            raise SessionUnknown(f"session {session_id}") from refusal
        raise


async def _wished(tx: AsyncConnection, order: BookSeat, principal: Principal, wish: Wish) -> BookSeat:
    """With opaque ids for the people who were named: addresses go no further than this."""
    agent = await _agent_for(tx, principal, wish.agent_email) if wish.agent_email else principal.agent
    manager_id = None
    if wish.line_manager_email:
        manager_id = await contacts.keep(tx, agent.agent_id, address_of_manager(wish.line_manager_email, agent.email))
    return order.model_copy(update={"agent_id": agent.agent_id, "manager_id": manager_id})


async def ask_for_exchange(desk: Desk, order: SwapBooking, principal: Principal, caller: Caller, line_manager_email: str = "") -> Booking:
    """One seat for another. Whom to ask for an approval may be named anew (B7)."""
    if line_manager_email:
        async with desk.database.begin() as tx:
            manager_id = await contacts.keep(tx, principal.agent_id, address_of_manager(line_manager_email, principal.agent.email))
        order = order.model_copy(update={"manager_id": manager_id})
    return await desk.bus.ask(order, caller)


async def _agent_for(tx: AsyncConnection, principal: Principal, email: str) -> Agent:
    """The lab books for anybody, an innovation referent for agents of their own service; others learn nothing of who is here."""
    booker = principal.agent
    lab = not {"operator", "lab_team"}.isdisjoint(booker.roles)
    if not lab and not booker.innovation_referent:
        raise NotAllowed(f"agent {booker.agent_id} books for nobody else")
    found = await directory.read_by_email(tx, email)
    if len(found) != 1 or not (lab or found[0].org_unit == booker.org_unit):
        raise AgentUnknown("no agent, or of another service")
    return found[0]


async def colleagues_of(connection: AsyncConnection, principal: Principal, emails: Sequence[str]) -> list[UUID]:
    """Who these addresses are of: agents of one's own service, and for the lab anybody's."""
    lab = not {"operator", "lab_team"}.isdisjoint(principal.agent.roles)
    agents = await agents_at(connection, emails, None if lab else principal.agent.org_unit)
    if not all(email in agents for email in emails):
        raise AgentUnknown("no agent, or of another service")
    return [*agents.values()]


async def agents_at(connection: AsyncConnection, emails: Sequence[str], org_unit: str | None) -> dict[str, UUID]:
    """Of these addresses, those that are an agent's of this org unit; None: of any."""
    agents: dict[str, UUID] = {}
    for email in emails:
        found = await directory.read_by_email(connection, email)
        if len(found) == 1 and org_unit in (None, found[0].org_unit):
            agents[email] = found[0].agent_id
    return agents


async def ask_for_group(bus: Bus, order: BookGroup, caller: Caller) -> GroupBooking:
    try:
        return await bus.ask(order, caller)
    except Refused as refusal:
        if refusal.code == "session_not_ready" and not await _exists(bus, order.session_id, caller):
            raise SessionUnknown(f"session {order.session_id}") from refusal
        raise


async def _exists(bus: Bus, session_id: UUID, caller: Caller) -> bool:
    """False only when catalog itself says no: one that is away says nothing."""
    try:
        await bus.ask(GetSession(session_id=session_id), caller, timeout=2)
    except Refused as refusal:
        return refusal.code != "session_unknown"
    return True

"""The directory's requests: who someone is, and the only way to their address."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.contacts import store as contacts
from services.gateway.directory import store
from services.gateway.directory.domain import Agent, AgentIdConflict, AgentUnknown, Identity, Workplace
from shared import telemetry
from shared.bus import Caller
from shared.contracts.gateway import AddContact, Contact, GetContact, RegisterAgent
from shared.contracts.messages import Acknowledged
from shared.database import Database
from shared.errors import NotAllowed
from shared.outbox import uuid7
from shared.requests import Requests

requests = Requests()
log = telemetry.log


@requests.query(GetContact)
async def get_contact(request: GetContact, caller: Caller, database: Database) -> Contact:
    if caller.actor != "notify" and not caller.has("operator"):
        raise NotAllowed(f"{caller.actor} asked for the address of {request.agent_id}")
    async with database.connect() as connection:
        agent = await store.read(connection, request.agent_id)
        email = None if agent else await contacts.read_email(connection, request.agent_id)
    if email is not None:
        return Contact(agent_id=request.agent_id, given_name="", usual_name="", email=email)
    if agent is None:
        raise AgentUnknown(f"agent {request.agent_id}")
    return Contact(agent_id=agent.agent_id, given_name=agent.given_name, usual_name=agent.usual_name, email=agent.email)


@requests.command(AddContact)
async def add_contact(request: AddContact, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} names no contacts")
    await contacts.add(tx, request.contact_id, request.email)
    return Acknowledged(version=1)


@requests.command(RegisterAgent)
async def register_agent(request: RegisterAgent, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    if not caller.has("operator"):
        raise NotAllowed(f"{caller.actor} registers nobody")
    told = Agent(**request.model_dump(), version=1)
    if told.siret:
        workplace = await store.remember_workplace(tx, told.siret, Workplace(told.org_unit, told.department))
        told = replace(told, department=workplace.department)
    known = await store.lock(tx, told.agent_id, told.sub)
    if not known and not await store.add(tx, told, caller):
        known = await store.lock(tx, told.agent_id, told.sub)
    if any(each.agent_id != told.agent_id or each.sub != told.sub for each in known):
        raise AgentIdConflict(f"agent {told.agent_id} or its sub is somebody else")
    version = (await store.change(tx, known[0], told, caller)).version if known else told.version
    return Acknowledged(version=version)


async def welcome(tx: AsyncConnection, identity: Identity) -> Agent:
    """Someone signs in: known by their sub, else linked by their e-mail address, else registered (S1).

    An address that belongs to exactly one agent with another sub moves that agent to the new sub, and says so in the log: providers
    change, and locking people out is worse. Two first sign-ins at once register one agent.
    """
    workplace = await store.workplace(tx, identity.siret)
    newcomer = identity.arrives(uuid7(), workplace)
    known = await store.lock(tx, newcomer.agent_id, identity.sub)
    if not known and identity.email_verified:
        known = await store.lock_by_email(tx, identity.email)
        if len(known) == 1:
            log.warning("agent_linked_by_email", agent_id=str(known[0].agent_id))
    if len(known) != 1:
        if await store.add(tx, newcomer, Caller(actor=str(newcomer.agent_id))):
            return newcomer
        known = await store.lock(tx, newcomer.agent_id, identity.sub)
    return await store.change(tx, known[0], identity.updates(known[0], workplace), Caller(actor=str(known[0].agent_id)))

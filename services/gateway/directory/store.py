"""The tables `agents` and `workplace`, and the only SQL that writes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.directory.domain import Agent, Workplace, changed, registered
from shared.outbox import Causing, record

COLUMNS = "agent_id, sub, given_name, usual_name, email, siret, org_unit, department, roles, version, innovation_referent"

_SELECT = f"select {COLUMNS} from agents"  # noqa: S608 - constants only
_LOCK = text(f"{_SELECT} where agent_id = :agent_id or sub = :sub for update")
_LOCK_EMAIL = text(f"{_SELECT} where lower(email) = lower(:email) for update")
_READ = text(f"{_SELECT} where agent_id = :agent_id")
_NAMES = text("select agent_id, given_name, usual_name from agents where agent_id = any(:agent_ids)")
_READ_SUB = text(f"{_SELECT} where sub = :sub")
_READ_EMAIL = text(f"{_SELECT} where lower(email) = lower(:email)")
_INSERT = text(
    f"insert into agents ({COLUMNS})"  # noqa: S608 - constants only
    " values (:agent_id, :sub, :given_name, :usual_name, :email, :siret, :org_unit, :department, :roles, :version, :innovation_referent)"
    " on conflict do nothing returning agent_id"
)
_UPDATE = text(
    "update agents set sub = :sub, given_name = :given_name, usual_name = :usual_name, email = :email, siret = :siret,"
    " org_unit = :org_unit, department = :department, roles = :roles, version = :version, innovation_referent = :innovation_referent"
    " where agent_id = :agent_id"
)


def agent_of(row: Row[Any]) -> Agent:
    """The agent in a row that has at least `COLUMNS`."""
    return Agent(
        agent_id=row.agent_id,
        sub=row.sub,
        given_name=row.given_name,
        usual_name=row.usual_name,
        email=row.email,
        siret=row.siret,
        org_unit=row.org_unit,
        roles=tuple(row.roles),
        version=row.version,
        innovation_referent=row.innovation_referent,
        department=row.department,
    )


async def lock(tx: AsyncConnection, agent_id: UUID, sub: str) -> list[Agent]:
    """Everybody who has this id or this sub: nobody, one, or two different people."""
    return [agent_of(row) for row in await tx.execute(_LOCK, {"agent_id": agent_id, "sub": sub})]


async def lock_by_email(tx: AsyncConnection, email: str) -> list[Agent]:
    return [agent_of(row) for row in await tx.execute(_LOCK_EMAIL, {"email": email})]


async def read(connection: AsyncConnection, agent_id: UUID) -> Agent | None:
    row = (await connection.execute(_READ, {"agent_id": agent_id})).one_or_none()
    return agent_of(row) if row else None


async def names(connection: AsyncConnection, agent_ids: Sequence[UUID]) -> dict[UUID, str]:
    """Of those who are in the directory, the usual name first."""
    rows = await connection.execute(_NAMES, {"agent_ids": list(agent_ids)})
    return {row.agent_id: " ".join(f"{row.usual_name} {row.given_name}".split()) for row in rows}


async def read_by_sub(connection: AsyncConnection, sub: str) -> Agent | None:
    row = (await connection.execute(_READ_SUB, {"sub": sub})).one_or_none()
    return agent_of(row) if row else None


async def read_by_email(connection: AsyncConnection, email: str) -> list[Agent]:
    return [agent_of(row) for row in await connection.execute(_READ_EMAIL, {"email": email})]


async def add(tx: AsyncConnection, agent: Agent, cause: Causing) -> bool:
    """Record a new agent; False when somebody else took its id or its sub in the meantime."""
    if await tx.scalar(_INSERT, _values(agent)) is None:
        return False
    await record(tx, registered(agent), cause=cause)
    return True


async def change(tx: AsyncConnection, known: Agent, told: Agent, cause: Causing) -> Agent:
    """Lay what was told over a locked agent; an event only when its version rises."""
    new = known.becomes(told)
    if new != known:
        await tx.execute(_UPDATE, _values(new))
    if new.version != known.version:
        await record(tx, changed(new), cause=cause)
    return new


_WORKPLACE = text("select org_unit, department from workplace where siret = :siret")
_REMEMBER_WORKPLACE = text(
    """
    insert into workplace as known (siret, org_unit, department) values (:siret, :org_unit, :department)
    on conflict (siret) do update set org_unit = excluded.org_unit, department = coalesce(excluded.department, known.department)
    returning department
    """
)


async def remember_workplace(tx: AsyncConnection, siret: str, told: Workplace) -> Workplace:
    """As it is known afterwards: where it is stays, if that is not said."""
    department = await tx.scalar(_REMEMBER_WORKPLACE, {"siret": siret, **asdict(told)})
    return replace(told, department=department)


async def workplace(connection: AsyncConnection, siret: str | None) -> Workplace | None:
    """What a SIRET stands for, if we were told."""
    if siret is None:
        return None
    row = (await connection.execute(_WORKPLACE, {"siret": siret})).one_or_none()
    return Workplace(row.org_unit, row.department) if row else None


def _values(agent: Agent) -> dict[str, Any]:
    return asdict(agent) | {"roles": list(agent.roles)}

"""The table `preference`: one row for each agent who chose something."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.preferences import Preferences, SetPreferences

_READ = text("select agent_id, version, reminders, waitlist, news, surveys, themes, departments from preference where agent_id = :agent_id")

_WRITE = text(
    """
    insert into preference (agent_id, version, reminders, waitlist, news, surveys, themes, departments)
    values (:agent_id, :version, :reminders, :waitlist, :news, :surveys, :themes, :departments)
    on conflict (agent_id) do update
    set version = excluded.version, reminders = excluded.reminders, waitlist = excluded.waitlist, news = excluded.news,
        surveys = excluded.surveys, themes = excluded.themes, departments = excluded.departments
    """
)


async def read(connection: AsyncConnection, agent_id: UUID) -> Preferences:
    row = (await connection.execute(_READ, {"agent_id": agent_id})).mappings().one_or_none()
    return Preferences.model_validate(dict(row)) if row else Preferences(agent_id=agent_id)


async def read_locked(tx: AsyncConnection, agent_id: UUID) -> Preferences:
    """With the agent's choices locked, whether there is a row yet or not: of two changes at once, the second sees the first."""
    await tx.execute(text("select pg_advisory_xact_lock(hashtextextended(:matter, 0))"), {"matter": f"preferences/{agent_id}"})
    return await read(tx, agent_id)


async def change(tx: AsyncConnection, known: Preferences, order: SetPreferences) -> Preferences:
    """`known` as the order changes it; nothing is written when it changes nothing."""
    wanted: dict[str, Any] = order.model_dump(exclude={"agent_id", "expected_version"}, exclude_none=True)
    chosen = known.model_copy(update=wanted)
    if chosen == known:
        return known
    chosen = chosen.model_copy(update={"version": known.version + 1})
    values = chosen.model_dump(exclude={"bookings", "projects"})
    await tx.execute(_WRITE, values | {"themes": list(chosen.themes), "departments": list(chosen.departments)})
    return chosen

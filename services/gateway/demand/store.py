"""Searches in vain: one row each, read by how often."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import clock
from shared.contracts.gateway import Demand, DemandLine, DemandSignalled, Wanted

FEW = 5  # P5: fewer are not counted out
MOST = 200

_INSERT = text(
    """
    insert into demand_signal (signal_id, words, activity_type, delivery_mode, department, theme, hidden, heard_at)
    values (:signal_id, :words, :activity_type, :delivery_mode, :department, :theme, :hidden, :heard_at)
    """
)
_READ = text(
    """
    select words, activity_type, delivery_mode, department, theme, count(*) as searches, max(hidden) as hidden, max(heard_at) as last
    from demand_signal where heard_at >= :since
    group by words, activity_type, delivery_mode, department, theme
    order by searches desc, last desc, words limit :most
    """
)


async def insert(tx: AsyncConnection, fact: DemandSignalled) -> None:
    about = fact.wanted.model_dump(mode="json")
    await tx.execute(_INSERT, about | {"signal_id": fact.signal_id, "hidden": fact.hidden, "heard_at": fact.heard_at})


async def read(connection: AsyncConnection, days: int) -> Demand:
    rows = await connection.execute(_READ, {"since": clock.now() - timedelta(days=days), "most": MOST})
    return Demand(lines=tuple(_line(dict(row)) for row in rows.mappings()))


def _line(row: dict[str, Any]) -> DemandLine:
    searches, hidden, last = row.pop("searches"), row.pop("hidden"), row.pop("last")
    return DemandLine(wanted=Wanted.model_validate(row), searches=searches if searches >= FEW else None, hidden=hidden, last_heard_at=last)

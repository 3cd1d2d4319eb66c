"""Calendar entries: one per period of a session and agent, for life; the only SQL that raises a SEQUENCE (K1)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.catalog import Period

_NAMESPACE = UUID("6f0d8b0e-6a7c-5d0f-9f57-1b1f2f1d7c11")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of one agent's calendar, as the next mail has to show it."""

    period_index: int
    uid: str
    sequence: int
    status: Literal["confirmed", "cancelled"]
    starts_at: datetime
    ends_at: datetime
    place: str
    changed: bool = True
    """False when the calendar shows it like this already."""


def uid_of(session_id: UUID, period_index: int, agent_id: UUID) -> str:
    """Fixed for life, computable again, and telling nothing about the agent."""
    return str(uuid5(_NAMESPACE, f"{session_id}/{period_index}/{agent_id}"))


# SEQUENCE rises when time, place or status change, and on nothing else: a mail that is tried again carries the same.
_CONFIRM = text(
    """
    insert into calendar_entry as entry (session_id, period_index, agent_id, uid, status, starts_at, ends_at, place, mail_id)
    select :session_id, period_index, :agent_id, uid, 'confirmed', starts_at, ends_at, :place, :mail_id
    from jsonb_to_recordset(cast(:periods as jsonb)) as p(period_index int, uid text, starts_at timestamptz, ends_at timestamptz)
    on conflict (session_id, agent_id, period_index) do update
    set sequence = entry.sequence + 1, status = 'confirmed', starts_at = excluded.starts_at, ends_at = excluded.ends_at,
        place = excluded.place, mail_id = excluded.mail_id
    where (entry.status, entry.starts_at, entry.ends_at, entry.place)
          is distinct from ('confirmed', excluded.starts_at, excluded.ends_at, excluded.place)
    """
)

# What was cancelled by a mail that never went out is cancelled again by the next one.
_CANCEL = text(
    """
    update calendar_entry as entry
    set sequence = entry.sequence + case when entry.status = 'confirmed' then 1 else 0 end, status = 'cancelled', mail_id = :mail_id
    where session_id = :session_id and agent_id = :agent_id and period_index >= :from_index
      and (entry.status = 'confirmed' or entry.mail_id = :mail_id
           or (select state from mail where mail.id = entry.mail_id) not in ('sending', 'sent', 'uncertain'))
    """
)

_READ = text(
    """
    select period_index, uid, sequence, status, starts_at, ends_at, place, mail_id = :mail_id as changed
    from calendar_entry
    where session_id = :session_id and agent_id = :agent_id and (status = 'confirmed' or mail_id = :mail_id)
    order by period_index
    """
)


async def confirm(
    tx: AsyncConnection, *, mail_id: UUID, session_id: UUID, agent_id: UUID, periods: Sequence[Period], place: str
) -> list[Entry]:
    """Put every period into the calendar, and take out those that the session no longer has."""
    rows = [
        {
            "period_index": index,
            "uid": uid_of(session_id, index, agent_id),
            "starts_at": period.starts_at.isoformat(),
            "ends_at": period.ends_at.isoformat(),
        }
        for index, period in enumerate(periods)
    ]
    about = {"mail_id": mail_id, "session_id": session_id, "agent_id": agent_id}
    await tx.execute(_CONFIRM, about | {"periods": json.dumps(rows), "place": place})
    await tx.execute(_CANCEL, about | {"from_index": len(periods)})
    return await _read(tx, about)


async def cancel(tx: AsyncConnection, *, mail_id: UUID, session_id: UUID, agent_id: UUID) -> list[Entry]:
    """Take the session out of the calendar; nothing comes back when it never was in it."""
    about = {"mail_id": mail_id, "session_id": session_id, "agent_id": agent_id}
    await tx.execute(_CANCEL, about | {"from_index": 0})
    return await _read(tx, about)


async def _read(tx: AsyncConnection, about: Mapping[str, UUID]) -> list[Entry]:
    rows = (await tx.execute(_READ, about)).mappings()
    return [Entry(**{str(name): value for name, value in row.items()}) for row in rows]

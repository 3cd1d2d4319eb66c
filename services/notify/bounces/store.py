"""Mails that came back, and the table `undeliverable`."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_BOUNCED = text(
    """
    update mail set state = 'bounced', last_error = :error, bounces = bounces + 1
    where id = :mail_id and state in ('sent', 'uncertain')
    returning agent_id, kind, bounces
    """
)
_DELAYED = text("update mail set last_error = :error where id = :mail_id and state in ('sent', 'uncertain')")
_STATE = text("select state from mail where id = :mail_id")
_MARK = text("insert into undeliverable (agent_id, mail_id) values (:agent_id, :mail_id) on conflict (agent_id) do nothing")
_CLEAR = text("delete from undeliverable where agent_id = :agent_id")
_SINCE = text("select since from undeliverable where agent_id = :agent_id")

# An entry of a calendar may change for as long as its session does; a year after its end nothing will.
_FORGET_ENTRIES = text("delete from calendar_entry where ends_at < cast(:domain_time as timestamptz) - cast(:age as interval)")
_FORGET_MAILS = text(
    """
    delete from mail where created_at < clock_timestamp() - cast(:age as interval) and state not in ('new', 'sending', 'deferred')
      and not exists (select from calendar_entry where calendar_entry.mail_id = mail.id)
      and not exists (select from mail as gathered where gathered.gathered_into = mail.id
                                                    and gathered.created_at >= clock_timestamp() - cast(:age as interval))
    """
)


async def bounced(tx: AsyncConnection, mail_id: UUID, error: str) -> Any | None:
    """Agent, kind and number of the bounce; None when the mail was not taken for delivered."""
    return (await tx.execute(_BOUNCED, {"mail_id": mail_id, "error": error})).one_or_none()


async def delayed(tx: AsyncConnection, mail_id: UUID, error: str) -> None:
    await tx.execute(_DELAYED, {"mail_id": mail_id, "error": error})


async def state_of(tx: AsyncConnection, mail_id: UUID) -> str | None:
    return await tx.scalar(_STATE, {"mail_id": mail_id})


async def mark(tx: AsyncConnection, agent_id: UUID, mail_id: UUID) -> None:
    """From the first mail on that came back."""
    await tx.execute(_MARK, {"agent_id": agent_id, "mail_id": mail_id})


async def clear(tx: AsyncConnection, agent_id: UUID) -> None:
    await tx.execute(_CLEAR, {"agent_id": agent_id})


async def since(connection: AsyncConnection, agent_id: UUID) -> datetime | None:
    return await connection.scalar(_SINCE, {"agent_id": agent_id})


async def forget(tx: AsyncConnection, domain_time: datetime, age: timedelta) -> dict[Literal["mails", "entries"], int]:
    """What is older than `age` (P1)."""
    entries = (await tx.execute(_FORGET_ENTRIES, {"domain_time": domain_time, "age": age})).rowcount
    return {"entries": entries, "mails": (await tx.execute(_FORGET_MAILS, {"age": age})).rowcount}

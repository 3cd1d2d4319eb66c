"""Mails gathered into a digest: dropped for themselves, told in another one. The rows are those of `mail`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail.claims import Mail
from services.notify.mail.domain import MailKind

_LOCK = text("select pg_advisory_xact_lock(hashtextextended(:matter, 0))")

_LATELY = text(
    """
    select count(*) from mail
    where agent_id = :agent_id and state in ('sending', 'sent', 'uncertain') and sending_since > clock_timestamp() - interval '1 hour'
    """
)

# A digest that is leaving takes nobody aboard any more: the next one does.
_DIGEST = text(
    """
    insert into mail as digest (key, kind, agent_id, next_attempt_at, traceparent)
    values (:key, :kind, :agent_id, :due_at, :traceparent)
    on conflict (key) do update set kind = digest.kind where digest.state in ('new', 'deferred')
    returning id
    """
)

_ABOARD = text("update mail set gathered_into = :digest_id where id = :id")

_GATHERED = text(
    """
    select id, lease, kind, agent_id, booking_id, session_id, details, attempts, created_at, traceparent
    from mail where gathered_into = :digest_id order by id
    """
)


async def sent_lately(tx: AsyncConnection, agent_id: UUID) -> int:
    """Mails of the last hour to this agent, who is locked until the next of them is on its way or gathered."""
    await tx.execute(_LOCK, {"matter": f"throttle/{agent_id}"})
    return await tx.scalar(_LATELY, {"agent_id": agent_id}) or 0


async def gather(tx: AsyncConnection, mail: Mail, slots: Sequence[tuple[str, datetime]]) -> None:
    """Into the first of these digests that has not left: each with its name and the real time at which it leaves."""
    for name, due_at in slots:
        values: dict[str, Any] = {"key": f"digest/{mail.agent_id}/{name}", "kind": MailKind.DIGEST, "agent_id": mail.agent_id}
        values |= {"due_at": due_at, "traceparent": mail.traceparent}
        if (digest_id := await tx.scalar(_DIGEST, values)) is not None:
            await tx.execute(_ABOARD, {"id": mail.id, "digest_id": digest_id})
            return
    raise RuntimeError(f"no digest takes mail {mail.id}")


async def gathered(tx: AsyncConnection, digest_id: UUID) -> Sequence[Mail]:
    rows = (await tx.execute(_GATHERED, {"digest_id": digest_id})).mappings()
    return [Mail(**{str(name): value for name, value in row.items()}) for row in rows]

"""The tables of mail, and the only SQL that writes them. The life of one mail: `services/notify/README.md`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail.domain import Before, MailKind
from shared.contracts.booking import ACTIVE_STATES, BookingEvent, BookingState
from shared.contracts.catalog import SessionState
from shared.contracts.groups import ACTIVE_GROUP_STATES, GroupEvent
from shared.database import fetch


@dataclass(frozen=True, slots=True)
class NewMail:
    """A mail that a fact calls for. `key` is one per fact and recipient: asked for twice, it is written once (M5)."""

    key: str
    kind: MailKind
    agent_id: UUID
    traceparent: str | None
    booking_id: UUID | None = None
    session_id: UUID | None = None
    application_id: UUID | None = None
    engagement_id: UUID | None = None
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


def key_of(aggregate: str, aggregate_id: UUID, version: int, agent_id: UUID) -> str:
    return f"{aggregate}/{aggregate_id}/{version}/{agent_id}"


_WRITE = """
    insert into mail (key, kind, agent_id, booking_id, session_id, application_id, engagement_id, details, traceparent)
    select key, kind, agent_id, booking_id, session_id, application_id, engagement_id, details::jsonb, traceparent
    from unnest($1::text[], $2::text[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[], $7::uuid[], $8::uuid[], $9::text[])
         as new(key, kind, agent_id, traceparent, booking_id, session_id, application_id, engagement_id, details)
    on conflict (key) do nothing
"""


async def write(tx: AsyncConnection, mails: Iterable[NewMail]) -> None:
    """All in one statement, whatever their number; those that exist already stay as they are."""
    rows = [
        (
            mail.key, mail.kind.value, mail.agent_id, mail.traceparent, mail.booking_id, mail.session_id, mail.application_id,
            mail.engagement_id, json.dumps(mail.details, default=str),
        )
        for mail in mails
    ]  # fmt: skip
    if rows:
        await fetch(tx, _WRITE, *map(list, zip(*rows, strict=True)))


# A move that is being written waits for these bookings, or these wait for it: either it writes to them, or their first mail tells of it.
_HOLD_SESSIONS = text("select 1 from session where session_id = any(:session_ids) order by session_id for share")

# In id order, so that two batches that share bookings queue up instead of embracing.
_FOLLOW_BOOKINGS = text(
    """
    insert into booking as known
        (booking_id, session_id, agent_id, version, state, remote, pending, of_group, decided_at, seated_at)
    select booking_id, session_id, agent_id, version, state, coalesce(remote, false),
           case pending ->> 'state' when 'open' then pending ->> 'kind' end, :of_group, decided_at,
           case when state = :confirmed then decided_at end
    from jsonb_to_recordset(cast(:rows as jsonb))
         as heard(booking_id uuid, session_id uuid, agent_id uuid, version int, state text, remote boolean, pending jsonb,
                  decided_at timestamptz)
    order by booking_id
    on conflict (booking_id) do update
    set version = excluded.version, state = excluded.state, remote = excluded.remote, pending = excluded.pending,
        decided_at = excluded.decided_at,
        seated_at = case when known.state = :confirmed and excluded.state = :confirmed then known.seated_at else excluded.seated_at end
    where known.version < excluded.version
    """
)


async def follow_bookings(tx: AsyncConnection, events: Sequence[BookingEvent]) -> None:
    """Keep the newest state of each booking; an older version changes nothing (P6)."""
    newest: dict[UUID, BookingEvent] = {}
    for event in events:
        if event.booking_id not in newest or newest[event.booking_id].version < event.version:
            newest[event.booking_id] = event
    sessions = sorted({event.session_id for event in newest.values()})
    await tx.execute(_HOLD_SESSIONS, {"session_ids": sessions})
    known = {"booking_id", "session_id", "agent_id", "version", "state", "remote", "pending", "decided_at"}
    rows = [event.model_dump_json(include=known) for event in newest.values()]
    await tx.execute(_FOLLOW_BOOKINGS, {"rows": f"[{','.join(rows)}]", "of_group": False, "confirmed": BookingState.CONFIRMED})


async def follow_group(tx: AsyncConnection, event: GroupEvent) -> None:
    """A group is kept beside the bookings, as a place of its contact: what is written about either is held and looked at the same way."""
    await tx.execute(_HOLD_SESSIONS, {"session_ids": [event.session_id]})
    said = event.model_dump(mode="json", include={"session_id", "version", "state", "decided_at"})
    row = said | {"booking_id": str(event.group_id), "agent_id": str(event.contact_agent_id)}
    await tx.execute(_FOLLOW_BOOKINGS, {"rows": json.dumps([row]), "of_group": True, "confirmed": BookingState.CONFIRMED})


_FOLLOW_SESSION = text(
    """
    insert into session as known (session_id, version, state, announced_at)
    values (:session_id, :version, cast(:state as jsonb), :announced_at)
    on conflict (session_id) do update set version = excluded.version, state = excluded.state, heard_at = clock_timestamp()
    where known.version < excluded.version
    returning old.state as before
    """
)


@dataclass(frozen=True, slots=True)
class Followed:
    """A session is now known at a newer version; `before` is how it was known, if it was."""

    before: SessionState | None


async def follow_session(tx: AsyncConnection, session: SessionState, said_at: datetime) -> Followed | None:
    """Keep the newest state of a session; None when this one, or a newer one, was known (E4)."""
    values = {"session_id": session.session_id, "version": session.version, "state": session.model_dump_json()}
    row = (await tx.execute(_FOLLOW_SESSION, values | {"announced_at": said_at})).one_or_none()
    if row is None:
        return None
    return Followed(SessionState.model_validate(row.before) if row.before else None)


# What an agent knew before a first move stays the "before" of the next ones, as long as no mail has told of any (E3).
_WRITE_MOVES = text(
    """
    insert into mail (key, kind, agent_id, booking_id, session_id, details, traceparent)
    select distinct on (agent_id) 'session/' || session_id || '/' || :version || '/' || agent_id, :kind, agent_id, booking_id, session_id,
           jsonb_build_object('reason', cast(:reason as text), 'before', coalesce(
               (select waiting.details -> 'before' from mail as waiting
                where waiting.session_id = booking.session_id and waiting.agent_id = booking.agent_id and waiting.kind = :kind
                  and waiting.state in ('new', 'deferred')
                order by waiting.id limit 1),
               cast(:before as jsonb))),
           :traceparent
    from booking
    where session_id = :session_id and state = any(:active)
    order by agent_id, of_group
    on conflict (key) do nothing
    """
)


async def write_moves(tx: AsyncConnection, session: SessionState, before: Before, reason: str, traceparent: str | None) -> None:
    """One mail for each agent who has a seat, waits for one, or is the contact of a group that does; a seat of one's own counts first."""
    was = {
        "periods": [period.model_dump(mode="json") for period in before.periods],
        "venue": before.venue and before.venue.model_dump(mode="json"),
    }
    values = {
        "session_id": session.session_id,
        "version": str(session.version),
        "kind": MailKind.SESSION_MOVED,
        "reason": reason,
        "before": json.dumps(was),
        "active": sorted({*ACTIVE_STATES, *ACTIVE_GROUP_STATES}),
        "traceparent": traceparent,
    }
    await tx.execute(_WRITE_MOVES, values)

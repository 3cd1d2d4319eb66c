"""The only SQL that writes what booking tells of the seats. What a change does to series and sessions, their own stores write."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import store as activities
from services.catalog.changes.domain import Revision
from services.catalog.series import store
from shared.contracts.availability import RemotePlaces, SessionAvailabilityChanged

NOBODY = RemotePlaces(capacity=0, held=0, waiting=0)

# In the order of ids, so that two batches that share sessions queue up.
_TELL = text(
    """
    insert into session_seats (session_id, held, waiting)
    select session_id, held, waiting
    from unnest(cast(:session_ids as uuid[]), cast(:held as int[]), cast(:waiting as int[])) as told(session_id, held, waiting)
    order by session_id
    on conflict (session_id) do update set held = excluded.held, waiting = excluded.waiting
    """
)


async def tell_seats(tx: AsyncConnection, told: Sequence[SessionAvailabilityChanged]) -> None:
    """In the room and at a distance together: a change tells them all (B9)."""
    distant = [each.remote or NOBODY for each in told]
    columns = {
        "session_ids": [each.session_id for each in told],
        "held": [each.held + there.held for each, there in zip(told, distant, strict=True)],
        "waiting": [each.waiting + there.waiting for each, there in zip(told, distant, strict=True)],
    }
    await tx.execute(_TELL, columns)


async def write(tx: AsyncConnection, revision: Revision) -> None:
    """The sessions, then the series, then the one that continues it and takes over its dates."""
    for fact in revision.facts.values():
        before = revision.sessions[fact.session_id]
        await activities.change_session(tx, before, fact.session)
    await store.change_series(tx, revision.before, revision.after)
    if revision.opened:
        await store.insert_series(tx, revision.opened)
        await store.hand_over(tx, revision.before, revision.opened)

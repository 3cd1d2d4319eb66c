"""The programme's tables, and the only SQL that writes them. All three are projections: a rebuild writes the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.programme.domain import activity_text, search_text, whereabouts
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import ActivityPublished, SessionState

_ACTIVITY = text(
    """
    insert into programme_activity (activity_id, description, content, archived, search)
    values (:activity_id, :description, cast(:content as jsonb), :archived, :search)
    on conflict (activity_id) do update set
        description = excluded.description, content = excluded.content, archived = excluded.archived,
        search = excluded.search, heard_at = clock_timestamp()
    """
)
_SESSION = text(
    """
    insert into programme_session
        (session_id, activity_id, activity_type, delivery_mode, department, status, starts_at, capacity, search, whereabouts, state)
    values
        (:session_id, :activity_id, :activity_type, :delivery_mode, :department, :status, :starts_at, :capacity, :search, :whereabouts,
         cast(:state as jsonb))
    on conflict (session_id) do update set
        activity_id = excluded.activity_id, activity_type = excluded.activity_type, delivery_mode = excluded.delivery_mode,
        department = excluded.department, status = excluded.status, starts_at = excluded.starts_at, capacity = excluded.capacity,
        search = excluded.search, whereabouts = excluded.whereabouts, state = excluded.state, heard_at = clock_timestamp()
    """
)
_AVAILABILITY = text(
    """
    insert into programme_availability (session_id, held, waiting, quorum, remote)
    select session_id, held, waiting, cast(quorum as jsonb), cast(remote as jsonb)
    from unnest(cast(:session_ids as uuid[]), cast(:held as int[]), cast(:waiting as int[]), cast(:quorums as text[]),
                cast(:remotes as text[])) as counters(session_id, held, waiting, quorum, remote)
    order by session_id
    on conflict (session_id) do update
    set held = excluded.held, waiting = excluded.waiting, quorum = excluded.quorum, remote = excluded.remote
    """
)


async def put_activity(tx: AsyncConnection, activity: ActivityPublished, *, archived: bool) -> None:
    await tx.execute(
        _ACTIVITY,
        {
            "activity_id": activity.activity_id,
            "description": activity.description,
            "content": activity.model_dump_json(),
            "archived": archived,
            "search": activity_text(activity),
        },
    )


async def put_session(tx: AsyncConnection, session: SessionState) -> None:
    await tx.execute(
        _SESSION,
        {
            "session_id": session.session_id,
            "activity_id": session.activity_id,
            "activity_type": session.activity_type,
            "delivery_mode": session.delivery_mode,
            "department": session.venue.department if session.venue else None,
            "status": session.status,
            "starts_at": session.starts_at,
            "capacity": session.capacity,
            "search": search_text(session),
            "whereabouts": whereabouts(session),
            "state": session.model_dump_json(),
        },
    )


async def put_availability(tx: AsyncConnection, counters: Sequence[SessionAvailabilityChanged]) -> None:
    """One announcement per session."""
    await tx.execute(
        _AVAILABILITY,
        {
            "session_ids": [each.session_id for each in counters],
            "held": [each.held for each in counters],
            "waiting": [each.waiting for each in counters],
            "quorums": [each.quorum and each.quorum.model_dump_json() for each in counters],
            "remotes": [each.remote and each.remote.model_dump_json() for each in counters],
        },
    )

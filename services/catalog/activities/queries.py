"""Reads: SQL straight to the reply, one query each. Columns bear the names of the reply's members; what is more is left out on reading."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.catalog import ListSessions, SessionList, SessionState
from shared.errors import InvalidRequest, Refused


class CursorInvalid(Refused):
    code, status, title = "cursor_invalid", 400, "Cette suite de liste n'est plus lisible : recommencez depuis le début."


_STATE = """
    cast(json_build_object(
        'session_id', session.session_id, 'version', session.version, 'activity_id', activity.activity_id,
        'activity_type', activity.activity_type, 'title', activity.title, 'summary', activity.summary, 'theme', activity.theme,
        'delivery_mode', activity.delivery_mode, 'venue', to_json(venue),
        'periods', (select json_agg(to_json(period) order by period.position) from period where period.session_id = session.session_id),
        'capacity', session.capacity, 'remote_capacity', session.remote_capacity, 'quorum', session.quorum,
        'status', session.status, 'cancellation_reason', session.cancellation_reason,
        'opens_at', session.asked -> 'opens_at', 'closes_at', session.asked -> 'closes_at',
        'private', coalesce(session.asked -> 'private', 'false'),
        'needs_approval', coalesce(cast(session.asked ->> 'needs_approval' as boolean), activity.needs_approval),
        'quota', session.asked -> 'quota',
        'series_id', (select root_id from series_date where series_date.session_id = session.session_id)
    ) as text)
"""

_READ_SESSION = text(
    f"""
    select {_STATE}
    from session join activity on activity.activity_id = session.activity_id left join venue on venue.venue_id = session.venue_id
    where session.session_id = :session_id and activity.status <> 'draft'
    """  # noqa: S608 - constants only
)

_LIST_SESSIONS = text(
    f"""
    select {_STATE}
    from period as first
         join session on session.session_id = first.session_id
         join activity on activity.activity_id = session.activity_id
         left join venue on venue.venue_id = session.venue_id
    where first.position = 1
      and activity.status = 'published'
      and not coalesce(cast(session.asked ->> 'private' as boolean), false)
      and (cast(:activity_type as text) is null or activity.activity_type = :activity_type)
      and first.starts_at >= coalesce(cast(:starts_after as timestamptz), '-infinity')
      and (first.starts_at, first.session_id) > (coalesce(cast(:cursor_at as timestamptz), '-infinity'), cast(:cursor_id as uuid))
    order by first.starts_at, first.session_id
    limit :limit
    """  # noqa: S608 - constants only
)


async def read_session(connection: AsyncConnection, session_id: UUID) -> SessionState | None:
    state = await connection.scalar(_READ_SESSION, {"session_id": session_id})
    return SessionState.model_validate_json(state) if state else None


async def list_sessions(connection: AsyncConnection, request: ListSessions) -> SessionList:
    """A page by keyset: what is added or moved meanwhile neither repeats nor hides the rest."""
    if request.starts_after and not 1 < request.starts_after.year < 9999:
        raise InvalidRequest("starts_after is not a date of this programme")
    cursor_at, cursor_id = read_cursor(request.cursor) if request.cursor is not None else (None, UUID(int=0))
    values = {
        "activity_type": request.activity_type,
        "starts_after": request.starts_after,
        "cursor_at": cursor_at,
        "cursor_id": cursor_id,
        "limit": request.limit + 1,
    }
    sessions = [SessionState.model_validate_json(state) for state in (await connection.scalars(_LIST_SESSIONS, values)).all()]
    page = tuple(sessions[: request.limit])
    return SessionList(sessions=page, next_cursor=write_cursor(page[-1]) if len(sessions) > request.limit else None)


def write_cursor(last: SessionState) -> str:
    return urlsafe_b64encode(f"{last.starts_at.astimezone(UTC).isoformat()} {last.session_id}".encode()).decode()


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        instant, session_id = urlsafe_b64decode(cursor).decode().split(" ")
        starts_at = datetime.fromisoformat(instant)
        if starts_at.tzinfo is not UTC:
            raise ValueError("not an instant in UTC")
        return starts_at, UUID(session_id)
    except ValueError as error:
        raise CursorInvalid("not a cursor of this list") from error

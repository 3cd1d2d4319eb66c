"""The programme as a list to filter, and one session of it. Only what this service keeps is read: no broker is needed (E7)."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.programme.domain import CursorInvalid, ListedSession, search_patterns
from shared import clock
from shared.bus import Bus, Caller
from shared.contracts.catalog import ActivityType, DeliveryMode, GetSession, SessionState

ANYBODY = Caller("gateway")


@dataclass(frozen=True, slots=True)
class Filters:
    """Which sessions; what is None or empty does not matter."""

    since: datetime
    activity_type: ActivityType | None = None
    delivery_mode: DeliveryMode | None = None
    department: str | None = None
    words: str = ""
    only_free: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    sessions: tuple[ListedSession, ...]
    next_cursor: str | None


_JOINED = """
    programme_session
    left join programme_activity using (activity_id)
    left join programme_availability using (session_id)
"""
_COLUMNS = "state, coalesce(description, '') as description, coalesce(held, 0) as held, coalesce(waiting, 0) as waiting"
_FREE = "(status = 'scheduled' and coalesce(waiting, 0) = 0 and capacity > coalesce(held, 0))"
_MATCHING = """
    starts_at >= :since
    and not coalesce(cast(state ->> 'private' as boolean), false)
    and (cast(:activity_type as text) is null or activity_type = :activity_type)
    and (cast(:delivery_mode as text) is null or delivery_mode = :delivery_mode)
    and (cast(:department as text) is null or department = :department)
    and (programme_session.search || ' ' || coalesce(programme_activity.search, '')) like all (cast(:patterns as text[]))
"""

_LIST = text(
    f"""
    select {_COLUMNS} from {_JOINED}
    where {_MATCHING} and (not cast(:only_free as boolean) or {_FREE})
      and (starts_at, session_id) > (cast(:cursor_at as timestamptz), cast(:cursor_id as uuid))
    order by starts_at, session_id limit :limit
    """  # noqa: S608 - constants only
)
_HIDDEN = text(f"select count(*) from {_JOINED} where {_MATCHING} and not {_FREE}")  # noqa: S608 - constants only
_READ = text(f"select {_COLUMNS} from {_JOINED} where session_id = any(:session_ids)")  # noqa: S608 - constants only
_DEPARTMENTS = text("select distinct department from programme_session where department is not null and starts_at >= :since order by 1")


async def list_sessions(connection: AsyncConnection, filters: Filters, *, limit: int, cursor: str | None = None) -> Page:
    """A page by keyset: what moves meanwhile neither repeats nor hides the rest."""
    cursor_at, cursor_id = read_cursor(cursor) if cursor else (filters.since, UUID(int=0))
    values = _values(filters) | {"only_free": filters.only_free, "cursor_at": cursor_at, "cursor_id": cursor_id, "limit": limit + 1}
    found = [_listed(row) for row in await connection.execute(_LIST, values)]
    page = found[:limit]
    return Page(tuple(page), write_cursor(page[-1].session) if len(found) > limit else None)


async def count_hidden(connection: AsyncConnection, filters: Filters) -> int:
    """How many sessions « il reste des places » leaves out: full ones and cancelled ones."""
    return await connection.scalar(_HIDDEN, _values(filters)) or 0


async def read_sessions(connection: AsyncConnection, session_ids: Sequence[UUID]) -> dict[UUID, ListedSession]:
    found = (_listed(row) for row in await connection.execute(_READ, {"session_ids": list(session_ids)}))
    return {each.session_id: each for each in found}


async def departments(connection: AsyncConnection, since: datetime) -> list[str]:
    return list((await connection.scalars(_DEPARTMENTS, {"since": since})).all())


async def find_session(connection: AsyncConnection, session_id: UUID, bus: Bus) -> ListedSession:
    """One session, of which catalog is asked when its event has not arrived. Raises catalog's `session_unknown`, or `unavailable`."""
    found = await read_sessions(connection, [session_id])
    if session_id in found:
        return found[session_id]
    return ListedSession(session=await bus.ask(GetSession(session_id=session_id), ANYBODY, timeout=2))


def start_of(day: date | None) -> datetime:
    """The start of that day in Paris, of today when there is none."""
    return datetime.combine(day or clock.now().astimezone(clock.PARIS).date(), time.min, clock.PARIS)


def _values(filters: Filters) -> dict[str, Any]:
    return {
        "since": filters.since,
        "activity_type": filters.activity_type,
        "delivery_mode": filters.delivery_mode,
        "department": filters.department,
        "patterns": search_patterns(filters.words),
    }


def _listed(row: Row[Any]) -> ListedSession:
    session = SessionState.model_validate(row.state, strict=False)
    return ListedSession(session=session, description=row.description, held=row.held, waiting=row.waiting)


def write_cursor(last: SessionState) -> str:
    return urlsafe_b64encode(f"{last.starts_at.astimezone(UTC).isoformat()} {last.session_id}".encode()).decode().rstrip("=")


def read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        instant, session_id = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(" ")
        starts_at = datetime.fromisoformat(instant)
        if starts_at.tzinfo is not UTC or not 1900 < starts_at.year < 2200:
            raise ValueError("not an instant of ours")
        return starts_at, UUID(session_id)
    except ValueError as error:
        raise CursorInvalid("not a cursor of this list") from error

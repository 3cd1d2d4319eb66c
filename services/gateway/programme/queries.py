"""The programme as a list to filter, and one session of it. Only what this service keeps is read: no broker is needed (E7)."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.programme.domain import CursorInvalid, ListedSession, search_patterns, search_words
from shared import clock
from shared.bus import Bus, Caller
from shared.contracts.availability import RemotePlaces
from shared.contracts.catalog import ActivityPublished, ActivityType, DeliveryMode, GetSession, SessionState
from shared.contracts.quorum import Quorum

ANYBODY = Caller("gateway")
NEAR = 0.5  # of the trigrams of a word: « innovatoin », « facilitaton », but not « formation » for « information »


@dataclass(frozen=True, slots=True)
class Filters:
    """Which sessions; what is None or empty does not matter."""

    since: datetime
    activity_type: ActivityType | None = None
    delivery_mode: DeliveryMode | None = None
    department: str | None = None
    words: str = ""
    only_free: bool = False
    theme: str | None = None
    until: datetime | None = None
    """The first instant that no longer counts."""


@dataclass(frozen=True, slots=True)
class Page:
    sessions: tuple[ListedSession, ...]
    next_cursor: str | None
    near: bool = False
    """True when nothing has these words, and these come near: one page, without a next one."""


@dataclass(frozen=True, slots=True)
class Facets:
    """How many sessions there would be with another choice of this one, the others staying as they are; most first."""

    activity_types: Mapping[str, int]
    delivery_modes: Mapping[str, int]
    departments: Mapping[str, int]
    themes: Mapping[str, int]

    def with_chosen(self, filters: Filters) -> Facets:
        """With what was chosen, though nothing has it, so that a form can show it."""
        return replace(
            self,
            departments={filters.department: 0, **self.departments} if filters.department else self.departments,
            themes={filters.theme: 0, **self.themes} if filters.theme else self.themes,
        )


_JOINED = """
    programme_session
    left join programme_activity using (activity_id)
    left join programme_availability using (session_id)
"""
_COLUMNS = """
    state, coalesce(description, '') as description, content, coalesce(held, 0) as held, coalesce(waiting, 0) as waiting, quorum, remote,
    greatest(programme_session.heard_at, programme_activity.heard_at) as heard_at
"""
# In the room or, of a hybrid session, at a distance (B9).
_FREE = """
    (status = 'scheduled' and (
        coalesce(waiting, 0) = 0 and capacity > coalesce(held, 0)
        or coalesce(cast(remote ->> 'waiting' as int) = 0 and cast(remote ->> 'capacity' as int) > cast(remote ->> 'held' as int), false)
    ))
"""
# A session says what its activity said when it was last changed; where the activity has been heard of since, its word counts.
_WHERE = "coalesce(whereabouts, programme_session.search)"
_THEME = "coalesce(content ->> 'theme', programme_session.theme)"
_TEXT = f"""
    case when content is null then programme_session.search || ' ' || coalesce(programme_activity.search, '')
         else programme_activity.search || ' ' || {_WHERE} end
"""
_LEXEMES = f"""
    case when content is null then programme_session.lexemes || coalesce(programme_activity.lexemes, '')
         else programme_activity.lexemes || to_tsvector('pg_catalog.french', {_WHERE}) end
"""
# All words as they are written, parts of words included; or all of them by their French stems.
_WORDS = f"""
    (({_TEXT}) like all (cast(:patterns as text[]))
     or ({_LEXEMES}) @@ plainto_tsquery('pg_catalog.french', :words))
"""
_NEAR_WORDS = f"(select bool_and(word_similarity(word, {_TEXT}) >= {NEAR}) from unnest(cast(:typed as text[])) as word)"  # noqa: S608 - constants only
_DATES = """
    starts_at >= :since and (cast(:until as timestamptz) is null or starts_at < :until)
    and not coalesce(cast(state ->> 'private' as boolean), false) and not coalesce(archived, false)
"""
_CHOICES = {
    "activity_types": ("activity_type", "(cast(:activity_type as text) is null or activity_type = :activity_type)"),
    "delivery_modes": ("delivery_mode", "(cast(:delivery_mode as text) is null or delivery_mode = :delivery_mode)"),
    "departments": ("department", "(cast(:department as text) is null or department = :department)"),
    "themes": ("theme", f"(cast(:theme as text) is null or {_THEME} = :theme)"),
}
_CHOSEN = " and ".join(condition for _, condition in _CHOICES.values())
_MATCHING = f"{_DATES} and {_CHOSEN} and {_WORDS}"

_FREE_IF_ASKED = f"(not cast(:only_free as boolean) or {_FREE})"
_LIST = text(
    f"""
    select {_COLUMNS} from {_JOINED}
    where {_MATCHING} and {_FREE_IF_ASKED}
      and (starts_at, session_id) > (cast(:cursor_at as timestamptz), cast(:cursor_id as uuid))
    order by starts_at, session_id limit :limit
    """  # noqa: S608 - constants only
)
_LIST_NEAR = text(
    f"""
    select {_COLUMNS} from {_JOINED} where {_DATES} and {_CHOSEN} and {_NEAR_WORDS} and {_FREE_IF_ASKED}
    order by starts_at, session_id limit :limit
    """  # noqa: S608 - constants only
)


def _count_others(facet: str) -> str:
    """Sessions by the values of one choice: all other choices hold, this one is left open."""
    others = " and ".join(f"{name}_met" for name in _CHOICES if name != facet)
    value = _CHOICES[facet][0]
    return f"select '{facet}' as facet, {value} as value, count(*) as sessions from met where {value} is not null and {others} group by 2"  # noqa: S608 - constants only


_MET = ", ".join(f"{condition} as {name}_met" for name, (_, condition) in _CHOICES.items())
_FACETS = text(
    f"""
    with met as (
        select activity_type, delivery_mode, department, {_THEME} as theme, {_MET}
        from {_JOINED} where {_DATES} and {_WORDS} and {_FREE_IF_ASKED}
    )
    {" union all ".join(_count_others(facet) for facet in _CHOICES)}
    order by sessions desc, value
    """  # noqa: S608 - constants only
)
_HIDDEN = text(f"select count(*) from {_JOINED} where {_MATCHING} and not {_FREE}")  # noqa: S608 - constants only
_READ = text(f"select {_COLUMNS} from {_JOINED} where session_id = any(:session_ids)")  # noqa: S608 - constants only


async def list_sessions(connection: AsyncConnection, filters: Filters, *, limit: int, cursor: str | None = None) -> Page:
    """A page by keyset: what moves meanwhile neither repeats nor hides the rest. When nothing has the words, what comes near them."""
    cursor_at, cursor_id = read_cursor(cursor) if cursor else (filters.since, UUID(int=0))
    values = _values(filters) | {"only_free": filters.only_free, "cursor_at": cursor_at, "cursor_id": cursor_id, "limit": limit + 1}
    found = [_listed(row) for row in await connection.execute(_LIST, values)]
    if not found and filters.words and not cursor:
        near = [_listed(row) for row in await connection.execute(_LIST_NEAR, values | {"limit": limit})]
        return Page(tuple(near), None, near=bool(near))
    page = found[:limit]
    return Page(tuple(page), write_cursor(page[-1].session) if len(found) > limit else None)


async def count_hidden(connection: AsyncConnection, filters: Filters) -> int:
    """How many sessions « il reste des places » leaves out: full ones and cancelled ones."""
    return await connection.scalar(_HIDDEN, _values(filters)) or 0


async def read_sessions(connection: AsyncConnection, session_ids: Sequence[UUID]) -> dict[UUID, ListedSession]:
    found = (_listed(row) for row in await connection.execute(_READ, {"session_ids": list(session_ids)}))
    return {each.session_id: each for each in found}


async def read_facets(connection: AsyncConnection, filters: Filters) -> Facets:
    found: dict[str, dict[str, int]] = {facet: {} for facet in _CHOICES}
    for row in await connection.execute(_FACETS, _values(filters) | {"only_free": filters.only_free}):
        found[row.facet][row.value] = row.sessions
    return Facets(**found)


async def find_session(connection: AsyncConnection, session_id: UUID, bus: Bus) -> ListedSession:
    """One session, of which catalog is asked when its event has not arrived. Raises catalog's `session_unknown`, or `unavailable`."""
    found = await read_sessions(connection, [session_id])
    if session_id in found:
        return found[session_id]
    return ListedSession(session=await bus.ask(GetSession(session_id=session_id), ANYBODY, timeout=2))


async def themes(connection: AsyncConnection) -> list[str]:
    """Those of the programme, past sessions included."""
    found = await connection.scalars(text(f"select distinct {_THEME} from {_JOINED} order by 1"))  # noqa: S608 - constants only
    return list(found.all())


def start_of(day: date | None) -> datetime:
    """The start of that day in Paris, of today when there is none."""
    return datetime.combine(day or clock.now().astimezone(clock.PARIS).date(), time.min, clock.PARIS)


def _values(filters: Filters) -> dict[str, Any]:
    return {
        "since": filters.since,
        "activity_type": filters.activity_type,
        "delivery_mode": filters.delivery_mode,
        "department": filters.department,
        "theme": filters.theme,
        "until": filters.until,
        "patterns": search_patterns(filters.words),
        "typed": search_words(filters.words),
        "words": " ".join(search_words(filters.words)),
    }


def _listed(row: Row[Any]) -> ListedSession:
    said = {name: row.content[name] for name in ("title", "summary", "theme")} if row.content else {}
    session = SessionState.model_validate(row.state | said, strict=False)
    quorum = Quorum.model_validate(row.quorum, strict=False) if row.quorum else None
    content = ActivityPublished.model_validate(row.content, strict=False) if row.content else None
    return ListedSession(
        session=session,
        description=row.description,
        audience=content.audience if content else "",
        details=content.details if content else None,
        improvements=content.improvements if content else (),
        held=row.held,
        waiting=row.waiting,
        quorum=quorum,
        remote=RemotePlaces.model_validate(row.remote, strict=False) if row.remote else None,
        heard_at=row.heard_at,
    )


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

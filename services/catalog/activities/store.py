"""The only SQL that writes catalog's tables, and what the rules read under a lock. Every `insert_…` answers False when the id is taken."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import queries
from services.catalog.activities.domain import Activity, Venue
from shared.contracts.catalog import AddHost, AddVenue, DraftActivity, ScheduleSession, SessionState, VenueSheet

# --- hosts and venues ----------------------------------------------------------------------------------------------------------------

_INSERT_HOST = text("insert into host (host_id, name, kind) values (:host_id, :name, :kind) on conflict (host_id) do nothing returning 1")

_READ_HOST = text("select host_id, name, kind from host where host_id = :host_id")

_INSERT_VENUE = text(
    """
    insert into venue (venue_id, host_id, name, address, city, department, capacity, step_free_access, public_transport, closed_weekdays,
                       notice_days)
    values (:venue_id, :host_id, :name, :address, :city, :department, :capacity, :step_free_access, :public_transport, :closed_weekdays,
            :notice_days)
    on conflict (venue_id) do nothing returning 1
    """
)

_READ_VENUE = text(
    """
    select venue_id, host_id, name, address, city, department, capacity, step_free_access, public_transport, closed_weekdays,
           notice_days
    from venue where venue_id = :venue_id
    """
)


async def insert_host(tx: AsyncConnection, host: AddHost) -> bool:
    return await tx.scalar(_INSERT_HOST, host.model_dump()) is not None


async def read_host(tx: AsyncConnection, host_id: UUID) -> AddHost | None:
    row = (await tx.execute(_READ_HOST, {"host_id": host_id})).mappings().one_or_none()
    return AddHost.model_validate(dict(row)) if row else None


async def insert_venue(tx: AsyncConnection, venue: AddVenue) -> bool:
    return await tx.scalar(_INSERT_VENUE, venue.model_dump() | {"closed_weekdays": list(venue.closed_weekdays)}) is not None


async def read_venue(tx: AsyncConnection, venue_id: UUID) -> AddVenue | None:
    row = (await tx.execute(_READ_VENUE, {"venue_id": venue_id})).mappings().one_or_none()
    return AddVenue.model_validate(dict(row)) if row else None


async def venue_for_rules(tx: AsyncConnection, venue_id: UUID) -> Venue | None:
    venue = await read_venue(tx, venue_id)
    if venue is None:
        return None
    sheet = VenueSheet.model_validate(venue.model_dump())
    return Venue(sheet=sheet, capacity=venue.capacity, closed_weekdays=frozenset(venue.closed_weekdays))


# --- activities ----------------------------------------------------------------------------------------------------------------------

_INSERT_ACTIVITY = text(
    """
    insert into activity
        (activity_id, activity_type, title, summary, description, theme, delivery_mode, host_id, needs_approval, audience, details,
         improvements, asked, status, version)
    values
        (:activity_id, :activity_type, :title, :summary, :description, :theme, :delivery_mode, :host_id, :needs_approval, :audience,
         cast(:details as jsonb), cast(:improvements as jsonb), cast(:asked as jsonb), 'draft', 0)
    on conflict (activity_id) do nothing returning 1
    """
)

_READ_ACTIVITY = text(
    """
    select activity_id, activity_type, title, summary, description, theme, delivery_mode, host_id, needs_approval, audience, details,
           improvements, status, version, revision
    from activity where activity_id = :activity_id
    """
)

_LOCK_ACTIVITY = text(f"{_READ_ACTIVITY.text} for update")

_READ_ACTIVITY_ASKED = text("select cast(asked as text) from activity where activity_id = :activity_id")

_SHARE_ACTIVITY = text("select status from activity where activity_id = :activity_id for share")

_ACTIVITY_EXISTS = text("select exists (select from activity where activity_id = :activity_id)")

_PUBLISH_ACTIVITY = text("update activity set status = 'published', version = :version where activity_id = :activity_id")


_IN_JSON = ("details", "improvements")


async def insert_activity(tx: AsyncConnection, activity: DraftActivity) -> bool:
    return await tx.scalar(_INSERT_ACTIVITY, columns_of(activity) | {"asked": activity.model_dump_json()}) is not None


def columns_of(activity: DraftActivity) -> dict[str, Any]:
    in_json = activity.model_dump(mode="json")
    return activity.model_dump() | {name: json.dumps(in_json[name]) if in_json[name] is not None else None for name in _IN_JSON}


async def read_activity_asked(tx: AsyncConnection, activity_id: UUID) -> DraftActivity | None:
    """The request that made this activity, where it is known."""
    asked = await tx.scalar(_READ_ACTIVITY_ASKED, {"activity_id": activity_id})
    return DraftActivity.model_validate_json(asked) if asked else None


async def lock_activity(tx: AsyncConnection, activity_id: UUID) -> Activity | None:
    return _activity((await tx.execute(_LOCK_ACTIVITY, {"activity_id": activity_id})).mappings().one_or_none())


async def read_activity(connection: AsyncConnection, activity_id: UUID) -> Activity | None:
    return _activity((await connection.execute(_READ_ACTIVITY, {"activity_id": activity_id})).mappings().one_or_none())


def _activity(row: RowMapping | None) -> Activity | None:
    return Activity(DraftActivity.model_validate(dict(row), strict=False), row["status"], row["version"], row["revision"]) if row else None


async def is_archived(tx: AsyncConnection, activity_id: UUID) -> bool:
    """Held until the transaction ends: whoever archives it waits."""
    return await tx.scalar(_SHARE_ACTIVITY, {"activity_id": activity_id}) == "archived"


async def activity_exists(connection: AsyncConnection, activity_id: UUID) -> bool:
    return bool(await connection.scalar(_ACTIVITY_EXISTS, {"activity_id": activity_id}))


async def publish_activity(tx: AsyncConnection, activity_id: UUID, version: int) -> None:
    await tx.execute(_PUBLISH_ACTIVITY, {"activity_id": activity_id, "version": version})


# --- sessions ------------------------------------------------------------------------------------------------------------------------

_INSERT_SESSION = text(
    """
    insert into session (session_id, activity_id, venue_id, capacity, remote_capacity, quorum, status, version, asked)
    values (:session_id, :activity_id, :venue_id, :capacity, :remote_capacity, :quorum, 'scheduled', 1, cast(:asked as jsonb))
    on conflict (session_id) do nothing returning 1
    """
)

_READ_ASKED = text("select cast(asked as text) from session where session_id = :session_id")

_LOCK_SESSION = text("select 1 from session where session_id = :session_id for update")

_CHANGE_SESSION = text(
    """
    update session
    set venue_id = :venue_id, capacity = :capacity, remote_capacity = :remote_capacity, status = :status, cancellation_reason = :reason,
        version = :version
    where session_id = :session_id
    """
)

_DELETE_PERIODS = text("delete from period where session_id = :session_id")

_INSERT_PERIODS = text(
    """
    insert into period (session_id, position, local_start, local_end, zone, starts_at, ends_at, moved_forward)
    select cast(:session_id as uuid), position, local_start, local_end, zone, starts_at, ends_at, moved_forward
    from unnest(cast(:local_start as timestamp[]), cast(:local_end as timestamp[]), cast(:zone as text[]),
                cast(:starts_at as timestamptz[]), cast(:ends_at as timestamptz[]), cast(:moved_forward as boolean[]))
         with ordinality as each_one(local_start, local_end, zone, starts_at, ends_at, moved_forward, position)
    """
)


async def read_asked(tx: AsyncConnection, session_id: UUID) -> ScheduleSession | None:
    """The request that made this session."""
    asked = await tx.scalar(_READ_ASKED, {"session_id": session_id})
    return ScheduleSession.model_validate_json(asked) if asked else None


async def insert_session(tx: AsyncConnection, asked: ScheduleSession, session: SessionState) -> bool:
    values = asked.model_dump(exclude={"periods"}) | {"asked": asked.model_dump_json()}
    if await tx.scalar(_INSERT_SESSION, values) is None:
        return False
    await _insert_periods(tx, session)
    return True


async def lock_session(tx: AsyncConnection, session_id: UUID) -> SessionState | None:
    """Two statements on purpose: after waiting for the lock, a single one would see the session of now with the periods of before."""
    if await tx.scalar(_LOCK_SESSION, {"session_id": session_id}) is None:
        return None
    return await queries.read_session(tx, session_id)


async def change_session(tx: AsyncConnection, before: SessionState, after: SessionState) -> None:
    values = {
        "session_id": after.session_id,
        "venue_id": after.venue.venue_id if after.venue else None,
        "capacity": after.capacity,
        "remote_capacity": after.remote_capacity,
        "status": after.status,
        "reason": after.cancellation_reason,
        "version": after.version,
    }
    await tx.execute(_CHANGE_SESSION, values)
    if after.periods != before.periods:
        await tx.execute(_DELETE_PERIODS, {"session_id": after.session_id})
        await _insert_periods(tx, after)


async def _insert_periods(tx: AsyncConnection, session: SessionState) -> None:
    columns = ("local_start", "local_end", "zone", "starts_at", "ends_at", "moved_forward")
    arrays = {name: [getattr(period, name) for period in session.periods] for name in columns}
    await tx.execute(_INSERT_PERIODS, {"session_id": session.session_id} | arrays)

"""Reads: SQL straight to the reply."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.attendance import store
from services.booking.attendance.domain import Sheet
from shared.contracts.attendance import AttendanceSheet, Presence, SheetLine

_PRESENCES = text(
    "select booking_id, half_day, way, at from attendance_presence where session_id = :session_id order by booking_id, half_day"
)
_OPEN = text(
    """
    select session_id from attendance_sheet
    where state = 'open' and status = 'scheduled' and ends_at <= :now order by ends_at limit :limit
    """
)


async def sheet(connection: AsyncConnection, of: Sheet) -> AttendanceSheet:
    """The sheet as whoever keeps it sees it."""
    presences: defaultdict[UUID, list[Presence]] = defaultdict(list)
    for row in await connection.execute(_PRESENCES, {"session_id": of.session_id}):
        presences[row.booking_id].append(Presence(half_day=row.half_day, way=row.way, at=row.at))
    lines = tuple(
        SheetLine(booking_id=each.booking_id, agent_id=each.agent_id, presences=tuple(presences[each.booking_id]), outcome=each.outcome)
        for each in await store.roll(connection, of.session_id)
    )
    return without_lines(of).model_copy(update={"lines": lines})


def without_lines(of: Sheet) -> AttendanceSheet:
    return AttendanceSheet(
        session_id=of.session_id,
        state=of.state,
        version=of.version,
        trainer_id=of.trainer_id,
        link_until=of.link_until,
        half_days=tuple(of.half_days),
        lines=(),
    )


async def open_sheets(connection: AsyncConnection, now: datetime, limit: int) -> list[Sheet]:
    found = (await connection.scalars(_OPEN, {"now": now, "limit": limit})).all()
    sheets = [await store.read_sheet(connection, session_id) for session_id in found]
    return [each for each in sheets if each is not None]

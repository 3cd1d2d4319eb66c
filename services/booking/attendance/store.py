"""Tables `attendance…`, and the only SQL that writes them. Whoever decides holds the lock on the row of `attendance_sheet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.attendance.domain import Sheet, place_of
from shared.contracts.attendance import AttendanceEvent, CheckInWay, HalfDaySheet, HandEntry, SheetState
from shared.contracts.booking import AttendanceOutcome
from shared.contracts.catalog import SessionState
from shared.database import fetch
from shared.outbox import uuid7

_LOCK = text("select * from attendance_sheet where session_id = :session_id for update")
_HALF_DAYS = text(
    """
    select number, day, part, starts_at, ends_at, closed_at, closed_by from attendance_half_day
    where session_id = :session_id order by number
    """
)
_IN_USE = text("select distinct half_day from attendance_presence where session_id = :session_id")

_OPEN = text(
    """
    insert into attendance_sheet (session_id, catalog_version, status, title, place, starts_at, ends_at)
    values (:session_id, 0, 'scheduled', :title, :place, :starts_at, :ends_at) on conflict do nothing
    """
)
_FOLLOW = text(
    """
    update attendance_sheet
    set catalog_version = :catalog_version, status = :status, title = :title, place = :place, starts_at = :starts_at, ends_at = :ends_at,
        moved_at = :moved_at
    where session_id = :session_id
    """
)
_FORGET = text("delete from attendance_half_day where session_id = :session_id and number <> all(:kept)")
_PLAN = text(
    """
    insert into attendance_half_day (session_id, number, day, part, starts_at, ends_at)
    values (:session_id, :number, :day, :part, :starts_at, :ends_at)
    """
)
_KEEP = text("update attendance_sheet set state = :state, version = :version, trainer_id = :trainer_id where session_id = :session_id")
_SIGN = text(
    "update attendance_half_day set closed_at = :closed_at, closed_by = :closed_by where session_id = :session_id and number = :number"
)

_PRESENT = """
    insert into attendance_presence (booking_id, half_day, session_id, way, at, author)
    select booking_id, $2, $3, $4, $5, $6 from unnest($1::uuid[]) as there(booking_id) on conflict do nothing
"""
_NOT_PRESENT = "delete from attendance_presence where half_day = $2 and booking_id = any($1::uuid[])"
_ENTER = """
    insert into attendance_entry (entry_id, booking_id, session_id, half_day, present, author, reason, entered_at)
    select entry_id, booking_id, $4, $5, present, $6, $7, $8
    from unnest($1::uuid[], $2::uuid[], $3::boolean[]) as entry(entry_id, booking_id, present)
"""

_ROLL = text(
    """
    select booking_id, agent_id, booked_at, attendance.outcome, attendance.version, attendance.half_days,
           excuse.booking_id is not null as excused,
           (select coalesce(array_agg(half_day order by half_day), '{}') from attendance_presence presence
            where presence.booking_id = booking.booking_id) as present
    from booking
    left join attendance using (booking_id, session_id, agent_id)
    left join attendance_excuse excuse using (booking_id)
    where session_id = :session_id and state = 'confirmed'
    order by booking_id
    """
)
_RECORD = """
    insert into attendance as known (booking_id, session_id, agent_id, outcome, half_days, version, recorded_at, decided_at)
    select booking_id, session_id, agent_id, outcome, cast(string_to_array(half_days, ',') as integer[]), version, decided_at, decided_at
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::timestamptz[])
         as fact(booking_id, session_id, agent_id, outcome, half_days, version, decided_at)
    on conflict (booking_id) do update
    set outcome = excluded.outcome, half_days = excluded.half_days, version = excluded.version, decided_at = excluded.decided_at
"""
_EXCUSE = text(
    """
    insert into attendance_excuse (booking_id, declared_at, declared_by) values (:booking_id, :declared_at, :declared_by)
    on conflict do nothing
    """
)


@dataclass(frozen=True, slots=True)
class Expected:
    """A confirmed booking of the session, and what is known of it."""

    booking_id: UUID
    agent_id: UUID
    booked_at: datetime
    present: frozenset[int]
    excused: bool
    outcome: AttendanceOutcome | None = None
    half_days: tuple[int, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """The booking that somebody speaks of."""

    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    state: str
    booked_at: datetime


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was said of a booking."""

    outcome: AttendanceOutcome
    recorded_at: datetime

    @property
    def excusable(self) -> bool:
        return self.outcome is AttendanceOutcome.ABSENT


async def lock_sheet(tx: AsyncConnection, session_id: UUID) -> Sheet | None:
    row = (await tx.execute(_LOCK, {"session_id": session_id})).mappings().one_or_none()
    return None if row is None else _sheet(row, await half_days(tx, session_id))


async def read_sheet(connection: AsyncConnection, session_id: UUID) -> Sheet | None:
    statement = text("select * from attendance_sheet where session_id = :session_id")
    row = (await connection.execute(statement, {"session_id": session_id})).mappings().one_or_none()
    return None if row is None else _sheet(row, await half_days(connection, session_id))


async def half_days(connection: AsyncConnection, session_id: UUID) -> list[HalfDaySheet]:
    rows = await connection.execute(_HALF_DAYS, {"session_id": session_id})
    return [HalfDaySheet.model_validate(dict(row)) for row in rows.mappings()]


async def open_sheet(tx: AsyncConnection, session: SessionState) -> Sheet:
    """The sheet of a session, made when it is first heard of, and locked."""
    about = {"title": session.title, "place": place_of(session.venue), "starts_at": session.starts_at, "ends_at": session.ends_at}
    await tx.execute(_OPEN, about | {"session_id": session.session_id})
    sheet = await lock_sheet(tx, session.session_id)
    if sheet is None:
        raise LookupError(f"the sheet of session {session.session_id} was there a moment ago")
    return sheet


async def half_days_in_use(tx: AsyncConnection, session_id: UUID) -> set[int]:
    return set((await tx.scalars(_IN_USE, {"session_id": session_id})).all())


async def replan(tx: AsyncConnection, sheet: Sheet, half_days: Sequence[HalfDaySheet]) -> None:
    """Write what catalog says, and the half-days that follow from it."""
    kept = {each.number for each in sheet.half_days} & {each.number for each in half_days if each in sheet.half_days}
    sheet.half_days = sorted(half_days, key=lambda each: each.number)
    about = {"title": sheet.title, "place": sheet.place, "starts_at": sheet.starts_at, "ends_at": sheet.ends_at}
    about |= {"catalog_version": sheet.catalog_version, "status": sheet.status, "moved_at": sheet.moved_at}
    await tx.execute(_FOLLOW, about | {"session_id": sheet.session_id})
    await tx.execute(_FORGET, {"session_id": sheet.session_id, "kept": sorted(kept)})
    for each in sheet.half_days:
        if each.number not in kept:
            values = each.model_dump(include={"number", "day", "part", "starts_at", "ends_at"})
            await tx.execute(_PLAN, values | {"session_id": sheet.session_id})


async def keep(tx: AsyncConnection, sheet: Sheet) -> None:
    values = {"state": sheet.state.value, "version": sheet.version, "trainer_id": sheet.trainer_id, "session_id": sheet.session_id}
    await tx.execute(_KEEP, values)


async def sign(tx: AsyncConnection, sheet: Sheet, number: int) -> None:
    signed = sheet.half_day(number)
    await tx.execute(_SIGN, signed.model_dump(include={"number", "closed_at", "closed_by"}) | {"session_id": sheet.session_id})


async def place(connection: AsyncConnection, booking_id: UUID) -> Place | None:
    statement = text("select booking_id, session_id, agent_id, state, booked_at from booking where booking_id = :booking_id")
    row = (await connection.execute(statement, {"booking_id": booking_id})).mappings().one_or_none()
    return None if row is None else Place(**{str(name): value for name, value in row.items()})


async def attendance(connection: AsyncConnection, booking_id: UUID) -> Recorded | None:
    statement = text("select outcome, recorded_at from attendance where booking_id = :booking_id")
    row = (await connection.execute(statement, {"booking_id": booking_id})).one_or_none()
    return None if row is None else Recorded(AttendanceOutcome(row.outcome), row.recorded_at)


async def check_in(tx: AsyncConnection, place: Place, half_day: int, way: CheckInWay, at: datetime, author: str) -> None:
    """Twice is once: the first one stays."""
    await fetch(tx, _PRESENT, [place.booking_id], half_day, place.session_id, way.value, at, author)


async def enter(
    tx: AsyncConnection, sheet: Sheet, half_day: int, entries: Sequence[HandEntry], author: str, reason: str, now: datetime
) -> None:
    there = [entry.booking_id for entry in entries if entry.present]
    gone = [entry.booking_id for entry in entries if not entry.present]
    ids, presents = [entry.booking_id for entry in entries], [entry.present for entry in entries]
    await fetch(tx, _ENTER, [uuid7() for _ in entries], ids, presents, sheet.session_id, half_day, author, reason, now)
    await fetch(tx, _PRESENT, there, half_day, sheet.session_id, CheckInWay.BY_HAND.value, now, author)
    await fetch(tx, _NOT_PRESENT, gone, half_day)


async def roll(connection: AsyncConnection, session_id: UUID) -> list[Expected]:
    """Everybody who has a seat (the lock on the sheet is held, or a picture is good enough)."""
    rows = await connection.execute(_ROLL, {"session_id": session_id})
    return [
        Expected(
            booking_id=row.booking_id,
            agent_id=row.agent_id,
            booked_at=row.booked_at,
            present=frozenset(row.present),
            excused=row.excused,
            outcome=row.outcome and AttendanceOutcome(row.outcome),
            half_days=tuple(row.half_days or ()),
            version=row.version or 0,
        )
        for row in rows
    ]


async def record(tx: AsyncConnection, facts: Sequence[AttendanceEvent]) -> None:
    if facts:
        await fetch(
            tx,
            _RECORD,
            [fact.booking_id for fact in facts],
            [fact.session_id for fact in facts],
            [fact.agent_id for fact in facts],
            [fact.outcome.value for fact in facts],
            [",".join(map(str, fact.half_days)) for fact in facts],
            [fact.version for fact in facts],
            [fact.decided_at for fact in facts],
        )


async def excuse(tx: AsyncConnection, booking_id: UUID, author: str, now: datetime) -> None:
    await tx.execute(_EXCUSE, {"booking_id": booking_id, "declared_at": now, "declared_by": author})


async def is_excused(connection: AsyncConnection, booking_id: UUID) -> bool:
    statement = text("select exists (select from attendance_excuse where booking_id = :booking_id)")
    return bool(await connection.scalar(statement, {"booking_id": booking_id}))


def _sheet(row: Mapping[Any, Any], half_days: list[HalfDaySheet]) -> Sheet:
    return Sheet(
        session_id=row["session_id"],
        state=SheetState(row["state"]),
        status=row["status"],
        version=row["version"],
        trainer_id=row["trainer_id"],
        secret=bytes(row["secret"]),
        half_days=half_days,
        title=row["title"],
        place=row["place"],
        catalog_version=row["catalog_version"],
        moved_at=row["moved_at"],
    )

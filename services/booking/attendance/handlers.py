"""What attendance answers and listens to. One who decides locks the sheet, decides, records, answers; the kernel opens and commits."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from holidays import country_holidays
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.attendance import domain, queries, store
from services.booking.attendance.domain import NotExpected, RoomCodeWrong, Sheet, SheetUnknown
from services.booking.attendance.settling import settle
from services.booking.seats.refusals import BookingUnknown, SessionIsCancelled
from services.booking.strikes import store as strikes
from shared import clock, outbox
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.attendance import (
    Attendance,
    AttendanceSheet,
    CheckedIn,
    CheckIn,
    CheckInWay,
    CloseHalfDay,
    DeclareExcuse,
    EnterAttendance,
    EntrustSheet,
    GetRoomCode,
    GetSheet,
    HalfDay,
    ListOpenSheets,
    RoomCode,
    SheetEntrusted,
    SheetList,
    SheetOverdue,
)
from shared.contracts.booking import BookingState
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled
from shared.database import Database
from shared.errors import NotAllowed
from shared.outbox import uuid7
from shared.requests import Requests
from shared.timers import Timer, Timers, set_timer

requests = Requests()
events = Consumers()
timers = Timers()

REMIND, GIVE_UP = "sheet_overdue", "sheet_given_up"

_FRENCH_HOLIDAYS = country_holidays("FR")


# --- orders ------------------------------------------------------------------------------------------------------------


@requests.command(EntrustSheet)
async def entrust_sheet(request: EntrustSheet, caller: Caller, tx: AsyncConnection) -> AttendanceSheet:
    if not _is_lab(caller):
        raise NotAllowed(f"{caller.actor} entrusts no sheet")
    sheet = await _lock(tx, request.session_id, caller)

    sheet.trainer_id = request.trainer_id or uuid7()
    sheet.version += 1

    await store.keep(tx, sheet)
    about = {"sheet_id": sheet.session_id, "session_id": sheet.session_id, "version": sheet.version, "trainer_id": sheet.trainer_id}
    await outbox.record(tx, SheetEntrusted.model_validate(about | {"expires_at": sheet.link_until}), cause=caller)
    return await queries.sheet(tx, sheet)


@requests.command(CheckIn)
async def check_in(request: CheckIn, caller: Caller, tx: AsyncConnection) -> CheckedIn:
    """The lock on the sheet puts check-ins and the signature of the half-day in one order: whoever comes after it is refused."""
    place = await store.place(tx, request.booking_id)
    sheet = place and await store.lock_sheet(tx, place.session_id)
    if place is None or sheet is None or not (caller.is_agent(place.agent_id) or _keeps(caller, sheet)):
        raise BookingUnknown(f"booking {request.booking_id}")
    if request.room_code is None and not _keeps(caller, sheet):
        raise RoomCodeWrong("none was given")
    if place.state != BookingState.CONFIRMED:
        raise NotExpected(f"booking {place.booking_id} is {place.state}")
    way = CheckInWay.PERSONAL_QR if request.room_code is None else CheckInWay.ROOM_CODE

    half_day, at = sheet.check_in(request.scanned_at, request.room_code, clock.now())

    await store.check_in(tx, place, half_day.number, way, at, caller.actor)
    found = HalfDay.model_validate(half_day.model_dump())
    return CheckedIn(booking_id=place.booking_id, session_id=place.session_id, half_day=found, way=way, at=at)


@requests.command(EnterAttendance)
async def enter_attendance(request: EnterAttendance, caller: Caller, tx: AsyncConnection) -> AttendanceSheet:
    sheet, now = await _lock(tx, request.session_id, caller), clock.now()
    half_day = sheet.half_day(request.half_day)
    if now < half_day.starts_at - domain.EARLY:
        raise domain.HalfDayNotBegun(f"half-day {half_day.number} begins at {half_day.starts_at.isoformat()}")
    expected = {each.booking_id for each in await store.roll(tx, sheet.session_id)}
    if strangers := [entry.booking_id for entry in request.entries if entry.booking_id not in expected]:
        raise NotExpected(f"no seat for {strangers[0]}")

    await store.enter(tx, sheet, half_day.number, request.entries, caller.actor, request.reason, now)

    await settle(tx, sheet, caller, now)
    return await queries.sheet(tx, sheet)


@requests.command(CloseHalfDay)
async def close_half_day(request: CloseHalfDay, caller: Caller, tx: AsyncConnection) -> AttendanceSheet:
    sheet, now = await _lock(tx, request.session_id, caller), clock.now()

    if sheet.sign(request.half_day, caller.actor, now):
        await store.sign(tx, sheet, request.half_day)
        await store.keep(tx, sheet)
        await settle(tx, sheet, caller, now)

    return await queries.sheet(tx, sheet)


@requests.command(DeclareExcuse)
async def declare_excuse(request: DeclareExcuse, caller: Caller, tx: AsyncConnection) -> Attendance:
    """Kept until the sheet is closed when that has not happened yet; afterwards it corrects the absence."""
    place = await store.place(tx, request.booking_id)
    if place is None or not (caller.is_agent(place.agent_id) or _is_lab(caller)):
        raise BookingUnknown(f"booking {request.booking_id}")
    sheet, now = await store.lock_sheet(tx, place.session_id), clock.now()
    before = None if sheet is None else await store.attendance(tx, place.booking_id)
    late = place.state == BookingState.LATE_CANCELLED and await strikes.has(tx, place.booking_id)
    if sheet is None or not (late or place.state == BookingState.CONFIRMED) or (before and not before.excusable):
        raise domain.NothingToExcuse(f"booking {place.booking_id} is {place.state}")
    since = max(sheet.ends_at, before.recorded_at) if before else sheet.ends_at
    domain.must_be_excusable(place.booked_at if late else sheet.starts_at, since, now, is_holiday)

    await store.excuse(tx, place.booking_id, caller.actor, now)

    await strikes.lift(tx, [place.booking_id])
    await settle(tx, sheet, caller, now, why="excuse")
    after = await store.attendance(tx, place.booking_id)
    about = {"booking_id": place.booking_id, "session_id": place.session_id, "agent_id": place.agent_id, "excused": True}
    return Attendance.model_validate(about | {"outcome": after and after.outcome})


# --- questions ---------------------------------------------------------------------------------------------------------


@requests.query(GetSheet)
async def get_sheet(request: GetSheet, caller: Caller, database: Database) -> AttendanceSheet:
    async with database.connect() as connection:
        return await queries.sheet(connection, await _read(connection, request.session_id, caller))


@requests.query(GetRoomCode)
async def get_room_code(request: GetRoomCode, caller: Caller, database: Database) -> RoomCode:
    async with database.connect() as connection:
        sheet = await _read(connection, request.session_id, caller)
    return sheet.room_code(clock.now())


@requests.query(ListOpenSheets)
async def list_open_sheets(request: ListOpenSheets, caller: Caller, database: Database) -> SheetList:
    if not _is_lab(caller):
        raise NotAllowed(f"{caller.actor} lists the open sheets")
    async with database.connect() as connection:
        found = await queries.open_sheets(connection, clock.now(), request.limit)
    return SheetList(sheets=tuple(queries.without_lines(sheet) for sheet in found))


# --- what catalog says, and what time brings ---------------------------------------------------------------------------


@events.effect("booking-attendance", SessionScheduled, SessionRescheduled, SessionCancelled)
async def follow_session(received: Received[SessionScheduled | SessionRescheduled | SessionCancelled], tx: AsyncConnection) -> None:
    """Half-days as the periods say; those that are signed or used stay. A session that is over when it is first heard of has no timers."""
    catalog, now = received.event.session, clock.now()
    sheet = await store.open_sheet(tx, catalog)
    if catalog.version <= sheet.catalog_version:
        return
    place = domain.place_of(catalog.venue)
    if sheet.half_days and domain.was_moved(sheet.starts_at, catalog.starts_at, sheet.place, place):
        sheet.moved_at = now
    if catalog.status == "cancelled" or sheet.moved_at == now:
        await strikes.lift_all(tx, sheet.session_id)
    sheet.catalog_version, sheet.status, sheet.title, sheet.place = catalog.version, catalog.status, catalog.title, place
    in_use = await store.half_days_in_use(tx, sheet.session_id)

    await store.replan(tx, sheet, domain.replanned(sheet.half_days, in_use, domain.half_days_of(catalog.periods)))

    if catalog.status == "scheduled" and sheet.ends_at > now:
        about = {"session_id": sheet.session_id}
        await set_timer(tx, f"sheet-overdue/{sheet.session_id}", sheet.ends_at + domain.REMINDED_AFTER, REMIND, about)
        await set_timer(tx, f"sheet-given-up/{sheet.session_id}", domain.given_up_at(sheet.ends_at, is_holiday), GIVE_UP, about)


@timers.on(REMIND)
async def remind(timer: Timer, tx: AsyncConnection) -> None:
    """48 hours after the end whoever keeps the sheet is reminded, once (N2). A session that moved has set the timer anew."""
    sheet = await store.lock_sheet(tx, UUID(timer.payload["session_id"]))
    if sheet is None or sheet.status == "cancelled" or sheet.state != "open":
        return
    sheet.version += 1
    about = {"sheet_id": sheet.session_id, "session_id": sheet.session_id, "version": sheet.version, "trainer_id": sheet.trainer_id}
    dates = {"unknown_at": domain.given_up_at(sheet.ends_at, is_holiday), "expires_at": sheet.link_until}

    await store.keep(tx, sheet)
    await outbox.record(tx, SheetOverdue.model_validate(about | dates), cause=timer)


@timers.on(GIVE_UP)
async def give_up(timer: Timer, tx: AsyncConnection) -> None:
    """After 10 working days an open sheet counts as never closed: unknown, and no strike (N2)."""
    sheet, now = await store.lock_sheet(tx, UUID(timer.payload["session_id"])), clock.now()
    if sheet is None or sheet.status == "cancelled" or not sheet.give_up(now, is_holiday):
        return

    await store.keep(tx, sheet)
    await settle(tx, sheet, timer, now)


# -----------------------------------------------------------------------------------------------------------------------


async def _lock(tx: AsyncConnection, session_id: UUID, caller: Caller) -> Sheet:
    return _kept(await store.lock_sheet(tx, session_id), session_id, caller)


async def _read(connection: AsyncConnection, session_id: UUID, caller: Caller) -> Sheet:
    return _kept(await store.read_sheet(connection, session_id), session_id, caller)


def _kept(sheet: Sheet | None, session_id: UUID, caller: Caller) -> Sheet:
    if sheet is None or not _keeps(caller, sheet):
        raise SheetUnknown(f"session {session_id}")
    if sheet.status == "cancelled":
        raise SessionIsCancelled(f"session {session_id}")
    return sheet


def _keeps(caller: Caller, sheet: Sheet) -> bool:
    return _is_lab(caller) or (sheet.trainer_id is not None and caller.is_agent(sheet.trainer_id))


def _is_lab(caller: Caller) -> bool:
    return caller.has("operator", "lab_team")


def is_holiday(day: date) -> bool:
    return day in _FRENCH_HOLIDAYS

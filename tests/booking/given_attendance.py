"""What the tests of attendance start from: a training of two half-days on Thursday 18 March 2027, and who speaks to its sheet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from services.booking.attendance import handlers
from shared import clock
from shared.bus import Caller
from shared.consumers import Received
from shared.contracts.attendance import (
    AttendanceSheet,
    CheckedIn,
    CheckIn,
    CloseHalfDay,
    EnterAttendance,
    EntrustSheet,
    GetSheet,
    HandEntry,
)
from shared.contracts.booking import Booking
from shared.contracts.catalog import ActivityType, Period, SessionCancelled, SessionRescheduled, SessionScheduled
from shared.contracts.messages import Envelope
from shared.database import Database
from shared.inbox import Delivery
from shared.outbox import uuid7
from shared.timers import TimerPoller
from tests.booking import given
from tests.booking.given import agent, book, it_is, paris

LAB = Caller(str(uuid4()), frozenset({"agent", "lab_team"}))
TRAINER = uuid4()
PLANNED = paris(2027, 3, 1, 10)
MORNING, LUNCH = paris(2027, 3, 18, 9), paris(2027, 3, 18, 12, 30)
AFTERNOON, EVENING = paris(2027, 3, 18, 14), paris(2027, 3, 18, 17, 30)

Dated = tuple[datetime, datetime]
BOTH: tuple[Dated, ...] = ((MORNING, LUNCH), (AFTERNOON, EVENING))


def a_period(start: datetime, end: datetime) -> Period:
    local = [moment.astimezone(clock.PARIS).replace(tzinfo=None) for moment in (start, end)]
    return Period(local_start=local[0], local_end=local[1], starts_at=start.astimezone(UTC), ends_at=end.astimezone(UTC))


def catalog_says(session_id: UUID, *dates: Dated, **more: Any) -> SessionScheduled | SessionRescheduled | SessionCancelled:
    event = given.catalog_says(session_id, activity_type=ActivityType.TRAINING, starts_at=dates[0][0], closes_at=dates[0][0], **more)
    session = event.session.model_copy(update={"periods": tuple(a_period(*each) for each in dates)})
    return event.model_copy(update={"session": session})


async def hear(database: Database, event: SessionScheduled | SessionRescheduled | SessionCancelled) -> None:
    """Seats and attendance both hear catalog, each with a durable of its own."""
    await given.hear(database, event)
    envelope = Envelope.of(event, event_id=uuid7(), time=datetime.now(UTC))
    received = Received(event, envelope, Delivery("EVT_CATALOG", 1, f"{event.subject}.{event.session_id}", {}, b""))
    async with database.begin() as tx:
        await handlers.follow_session(received, tx)


async def given_training(database: Database, *agents: UUID, dates: Sequence[Dated] = BOTH) -> tuple[UUID, list[Booking]]:
    """A session with these agents on it; its sheet is entrusted to the trainer."""
    it_is(PLANNED)
    session_id = uuid7()
    await hear(database, catalog_says(session_id, *dates))
    places = [await book(database, session_id, each) for each in agents]
    await ask(database, handlers.entrust_sheet, EntrustSheet(session_id=session_id, trainer_id=TRAINER), LAB)
    return session_id, places


async def ask(database: Database, command: Callable[..., Awaitable[Any]], request: Any, caller: Caller) -> Any:
    async with database.begin() as tx:
        return await command(request, caller, tx)


async def sheet_of(database: Database, session_id: UUID) -> AttendanceSheet:
    return await handlers.get_sheet(GetSheet(session_id=session_id), agent(TRAINER), database)


async def scan(database: Database, booking: Booking, caller: Caller | None = None, **more: Any) -> CheckedIn:
    """The trainer scans the agent's own code."""
    return await ask(database, handlers.check_in, CheckIn(booking_id=booking.booking_id, **more), caller or agent(TRAINER))


async def sign(database: Database, session_id: UUID, *half_days: int) -> AttendanceSheet:
    sheet: AttendanceSheet | None = None
    for number in half_days:
        sheet = await ask(database, handlers.close_half_day, CloseHalfDay(session_id=session_id, half_day=number), agent(TRAINER))
    assert sheet is not None
    return sheet


async def enter(
    database: Database, booking: Booking, half_day: int, *, present: bool = True, caller: Caller | None = None
) -> AttendanceSheet:
    entry = HandEntry(booking_id=booking.booking_id, present=present)
    order = EnterAttendance(session_id=booking.session_id, half_day=half_day, entries=(entry,), reason="Feuille papier signée")
    return await ask(database, handlers.enter_attendance, order, caller or agent(TRAINER))


async def outcomes(database: Database, session_id: UUID) -> dict[UUID, str]:
    """By agent, of those of whom something was said."""
    async with database.connect() as connection:
        rows = await connection.execute(text("select agent_id, outcome from attendance where session_id = :id"), {"id": session_id})
        return {row.agent_id: row.outcome for row in rows}


async def said(database: Database, kind: str) -> list[dict[str, Any]]:
    """What was recorded for the others to hear, in order."""
    async with database.connect() as connection:
        statement = text("select cast(convert_from(payload, 'UTF8') as jsonb) from outbox where subject like :kind order by id")
        return list((await connection.scalars(statement, {"kind": f"evt.booking.{kind}.v1.%"})).all())


async def timers_fire(database: Database, *registries: Any) -> int:
    owners = (given.handlers, given.pending, given.feedback, given.strikes, handlers)
    poller, fired = TimerPoller(database, [*(each.timers for each in owners), *registries]), 0
    while await poller.fire_next():
        fired += 1
    return fired


A_MINUTE = timedelta(minutes=1)

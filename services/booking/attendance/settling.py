"""What becomes of every booking once the sheet is closed or given up, and again after each correction: told only where it changed.

Certificates and strikes follow in the same transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.attendance import store
from services.booking.attendance.domain import Sheet
from services.booking.attendance.store import Expected
from services.booking.certificates import handlers as certificates
from services.booking.strikes import handlers as strikes
from shared import outbox
from shared.contracts.attendance import AttendanceCorrected, AttendanceRecorded, SheetState
from shared.outbox import Causing

Fact = AttendanceRecorded | AttendanceCorrected
Why = Literal["correction", "excuse"]


async def settle(tx: AsyncConnection, sheet: Sheet, cause: Causing, now: datetime, why: Why = "correction") -> None:
    if sheet.state is SheetState.OPEN:
        return
    expected = await store.roll(tx, sheet.session_id)
    facts = [fact for each in expected if (fact := _fact(sheet, each, now, why))]
    await store.record(tx, facts)
    await outbox.record(tx, *facts, cause=cause)
    await certificates.follow(tx, sheet, facts, cause, now)
    await strikes.follow(tx, sheet, facts, {each.booking_id: each.booked_at for each in expected}, now)


def _fact(sheet: Sheet, expected: Expected, now: datetime, why: Why) -> Fact | None:
    present = tuple(sorted(expected.present & sheet.closed))
    outcome = sheet.outcome(present, excused=expected.excused)
    if (outcome, present) == (expected.outcome, expected.half_days):
        return None
    about: dict[str, Any] = {
        "version": expected.version + 1,
        "attendance_id": expected.booking_id,
        "booking_id": expected.booking_id,
        "session_id": sheet.session_id,
        "agent_id": expected.agent_id,
        "outcome": outcome,
        "half_days": present,
        "of": len(sheet.half_days),
        "decided_at": now,
    }
    return AttendanceCorrected(**about, why=why) if expected.version else AttendanceRecorded(**about)

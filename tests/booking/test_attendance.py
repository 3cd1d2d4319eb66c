"""Sheets on real rows: check-in, entries by hand, signatures, what is said of it, and what time brings (A1-A4, N2)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.booking.attendance import domain, handlers
from services.booking.seats.refusals import BookingUnknown, SessionIsCancelled
from shared.contracts.attendance import DeclareExcuse, EntrustSheet, GetRoomCode, GetSheet, ListOpenSheets, SheetState
from shared.database import Database
from shared.errors import NotAllowed
from tests.booking.given import ALICE, BOB, CAROL, agent, cancel, confirm, it_is, now_of, paris
from tests.booking.given_attendance import (
    AFTERNOON,
    BOTH,
    EVENING,
    LAB,
    LUNCH,
    MORNING,
    TRAINER,
    ask,
    catalog_says,
    enter,
    given_training,
    hear,
    outcomes,
    said,
    scan,
    sheet_of,
    sign,
    timers_fire,
)


async def test_A1_who_was_scanned_attended_who_was_not_is_absent_once_both_half_days_are_signed(booking: Database) -> None:
    session_id, (alice, bob, carol) = await given_training(booking, ALICE, BOB, CAROL)
    it_is(MORNING)
    for place in (alice, bob):
        await scan(booking, place)
    it_is(AFTERNOON)
    await scan(booking, alice)
    assert await outcomes(booking, session_id) == {}

    it_is(EVENING)
    half_way = await sign(booking, session_id, 1)
    assert (half_way.state, await said(booking, "attendance_recorded")) == (SheetState.OPEN, []), "nothing before the sheet is closed (A3)"
    closed = await sign(booking, session_id, 2)

    assert closed.state is SheetState.CLOSED
    assert await outcomes(booking, session_id) == {ALICE: "attended", BOB: "attended", CAROL: "absent"}
    told = {event["agent_id"]: (event["version"], event["half_days"], event["of"]) for event in await said(booking, "attendance_recorded")}
    assert told == {str(ALICE): (1, [1, 2], 2), str(BOB): (1, [1], 2), str(CAROL): (1, [], 2)}
    assert [(await now_of(booking, place)).attendance for place in (alice, bob, carol)] == ["attended", "attended", "absent"]
    assert [line.outcome for line in closed.lines if line.agent_id == CAROL] == ["absent"]

    again = await sign(booking, session_id, 2)
    assert again == closed
    assert len(await said(booking, "attendance_recorded")) == 3, "signing twice says nothing twice"


async def test_A1_the_room_code_proves_that_an_agent_is_there(booking: Database) -> None:
    _, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(MORNING)
    shown = await handlers.get_room_code(GetRoomCode(session_id=alice.session_id), agent(TRAINER), booking)

    found = await scan(booking, alice, agent(ALICE), room_code=shown.code)
    assert (found.half_day.number, found.way) == (1, "room_code")

    for refused, caller, code in (
        (domain.RoomCodeWrong, agent(BOB), "ZZZZZZ"), (domain.RoomCodeWrong, agent(BOB), None), (BookingUnknown, agent(ALICE), shown.code),
    ):  # fmt: skip
        with pytest.raises(refused):
            await scan(booking, bob, caller, room_code=code)
    with pytest.raises(domain.SheetUnknown):
        await handlers.get_room_code(GetRoomCode(session_id=alice.session_id), agent(ALICE), booking)


async def test_A1_a_phone_without_network_sends_its_scan_later_until_the_half_day_is_signed(booking: Database) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(MORNING)
    code = (await handlers.get_room_code(GetRoomCode(session_id=session_id), agent(TRAINER), booking)).code

    it_is(EVENING)
    late = await scan(booking, alice, agent(ALICE), room_code=code, scanned_at=MORNING)
    assert (late.half_day.number, late.at) == (1, MORNING)
    with pytest.raises(domain.NoHalfDayNow):
        await scan(booking, alice, agent(ALICE), room_code=code)

    await sign(booking, session_id, 1)
    with pytest.raises(domain.HalfDayClosed):
        await scan(booking, bob, agent(BOB), room_code=code, scanned_at=MORNING)
    assert (await sheet_of(booking, session_id)).lines[1].presences == ()


async def test_only_who_has_a_seat_is_expected(booking: Database) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    await cancel(booking, bob)
    it_is(MORNING)

    with pytest.raises(domain.NotExpected):
        await scan(booking, bob)
    with pytest.raises(domain.NotExpected):
        await enter(booking, bob, 1)
    assert [line.booking_id for line in (await sheet_of(booking, session_id)).lines] == [alice.booking_id]


async def test_A4_an_entry_by_hand_keeps_author_and_reason_and_counts_like_a_scan(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    with pytest.raises(domain.HalfDayNotBegun):
        await enter(booking, alice, 1)
    it_is(LUNCH)

    await enter(booking, alice, 1)
    await enter(booking, alice, 1, present=False)
    sheet = await enter(booking, alice, 1, caller=LAB)

    assert [(each.half_day, each.way) for each in sheet.lines[0].presences] == [(1, "by_hand")]
    async with booking.connect() as connection:
        rows = await connection.execute(text("select present, author, reason from attendance_entry order by entry_id"))
        assert [tuple(row) for row in rows] == [
            (present, author, "Feuille papier signée")
            for present, author in ((True, str(TRAINER)), (False, str(TRAINER)), (True, LAB.actor))
        ]
    it_is(EVENING)
    await sign(booking, session_id, 1, 2)
    assert await outcomes(booking, session_id) == {ALICE: "attended"}


async def test_A2_a_correction_after_the_sheet_is_closed_says_what_is_so_now(booking: Database) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(EVENING)
    await enter(booking, alice, 1)
    await sign(booking, session_id, 1, 2)
    assert await outcomes(booking, session_id) == {ALICE: "attended", BOB: "absent"}

    await enter(booking, bob, 2)
    await enter(booking, alice, 1, present=False)
    await enter(booking, alice, 1, present=False)

    assert await outcomes(booking, session_id) == {ALICE: "absent", BOB: "attended"}
    corrected = [
        (event["agent_id"], event["version"], event["outcome"], event["why"]) for event in await said(booking, "attendance_corrected")
    ]
    assert corrected == [(str(BOB), 2, "attended", "correction"), (str(ALICE), 2, "absent", "correction")]


async def test_N2_after_48_hours_whoever_keeps_an_open_sheet_is_reminded_and_after_ten_working_days_nobody_is_absent(
    booking: Database,
) -> None:
    session_id, (alice, bob) = await given_training(booking, ALICE, BOB)
    it_is(MORNING)
    await scan(booking, alice)
    it_is(EVENING)
    await sign(booking, session_id, 1)

    it_is(EVENING + timedelta(hours=48))
    assert await timers_fire(booking) == 3, "the question of three days before, the survey of that evening, and the reminder"
    (reminder,) = await said(booking, "sheet_overdue")
    assert (reminder["trainer_id"], reminder["version"]) == (str(TRAINER), 2)
    listed = await handlers.list_open_sheets(ListOpenSheets(), LAB, booking)
    assert [sheet.session_id for sheet in listed.sheets] == [session_id]

    it_is(paris(2027, 4, 2, 17, 30))
    assert await timers_fire(booking) == 1
    assert (await sheet_of(booking, session_id)).state is SheetState.GIVEN_UP
    assert await outcomes(booking, session_id) == {ALICE: "attended", BOB: "unknown"}, "only what was signed counts"

    late = await sign(booking, session_id, 2)
    assert (late.state, await outcomes(booking, session_id)) == (SheetState.GIVEN_UP, {ALICE: "attended", BOB: "unknown"})
    await enter(booking, bob, 2)
    assert await outcomes(booking, session_id) == {ALICE: "attended", BOB: "attended"}
    assert await timers_fire(booking) == 0


async def test_N2_a_sheet_that_is_closed_in_time_reminds_nobody(booking: Database) -> None:
    session_id, _ = await given_training(booking, ALICE)
    it_is(EVENING)
    await sign(booking, session_id, 1, 2)

    it_is(paris(2027, 5, 1))
    assert await timers_fire(booking) == 4, "the question of three days before, the survey, and two that find the sheet closed"

    assert (await said(booking, "sheet_overdue"), await outcomes(booking, session_id)) == ([], {ALICE: "absent"})


async def test_N2_a_session_that_was_over_when_it_was_first_heard_of_is_not_waited_for(booking: Database) -> None:
    it_is(paris(2027, 6, 1))

    await hear(booking, catalog_says(uuid4(), *BOTH))

    assert await timers_fire(booking) == 1, "the survey, which asks nobody any more"


async def test_N4_a_cancelled_session_has_no_sheet_to_keep(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    await hear(booking, catalog_says(session_id, *BOTH, version=2, status="cancelled"))

    it_is(EVENING)
    for order in (sign(booking, session_id, 1), enter(booking, alice, 1), sheet_of(booking, session_id)):
        with pytest.raises(SessionIsCancelled):
            await order
    it_is(paris(2027, 5, 1))
    await timers_fire(booking)
    assert (await said(booking, "sheet_overdue"), await outcomes(booking, session_id)) == ([], {})


async def test_A1_a_session_that_moves_takes_its_half_days_and_its_reminder_along(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    later = tuple((start + timedelta(days=7), end + timedelta(days=7)) for start, end in BOTH)
    moved = catalog_says(session_id, *later, version=2)
    for _ in range(2):
        await hear(booking, moved)
    await hear(booking, catalog_says(session_id, *BOTH, version=1))
    await confirm(booking, alice)

    assert [each.starts_at for each in (await sheet_of(booking, session_id)).half_days] == [later[0][0], later[1][0]]
    it_is(EVENING + timedelta(days=2))
    await timers_fire(booking)
    assert await said(booking, "sheet_overdue") == []
    it_is(later[0][0])
    await scan(booking, alice)
    it_is(later[1][1] + timedelta(hours=48))
    assert await timers_fire(booking) == 3, "the question of three days before, the survey, and the reminder"


async def test_the_lab_says_who_keeps_a_sheet_and_nobody_else_sees_it(booking: Database) -> None:
    session_id, _ = await given_training(booking, ALICE)
    with pytest.raises(NotAllowed):
        await ask(booking, handlers.entrust_sheet, EntrustSheet(session_id=session_id, trainer_id=ALICE), agent(ALICE))
    with pytest.raises(domain.SheetUnknown):
        await ask(booking, handlers.entrust_sheet, EntrustSheet(session_id=uuid4()), LAB)

    sheet = await ask(booking, handlers.entrust_sheet, EntrustSheet(session_id=session_id), LAB)

    assert sheet.trainer_id not in (TRAINER, None), "somebody without an account"
    assert [event["trainer_id"] for event in await said(booking, "sheet_entrusted")] == [str(TRAINER), str(sheet.trainer_id)]
    for stranger in (TRAINER, ALICE):
        with pytest.raises(domain.SheetUnknown):
            await handlers.get_sheet(GetSheet(session_id=session_id), agent(stranger), booking)
    with pytest.raises(NotAllowed):
        await handlers.list_open_sheets(ListOpenSheets(), agent(ALICE), booking)


async def test_N3_an_absence_is_excused_by_the_agent_and_an_excuse_given_before_waits_for_the_sheet(booking: Database) -> None:
    session_id, (alice, bob, carol) = await given_training(booking, ALICE, BOB, CAROL)
    it_is(EVENING)
    await scan(booking, carol, scanned_at=MORNING)
    early = await ask(booking, handlers.declare_excuse, DeclareExcuse(booking_id=alice.booking_id), agent(ALICE))
    assert (early.outcome, early.excused) == (None, True)
    await sign(booking, session_id, 1, 2)
    assert await outcomes(booking, session_id) == {ALICE: "excused", BOB: "absent", CAROL: "attended"}

    excused = await ask(booking, handlers.declare_excuse, DeclareExcuse(booking_id=bob.booking_id), agent(BOB))

    assert excused.outcome == "excused"
    ((who, why),) = [(event["agent_id"], event["why"]) for event in await said(booking, "attendance_corrected")]
    assert (who, why) == (str(BOB), "excuse")
    for refused, place, caller in (
        (domain.NothingToExcuse, bob, agent(BOB)), (domain.NothingToExcuse, carol, agent(CAROL)), (BookingUnknown, bob, agent(ALICE)),
    ):  # fmt: skip
        with pytest.raises(refused):
            await ask(booking, handlers.declare_excuse, DeclareExcuse(booking_id=place.booking_id), caller)
    async with booking.connect() as connection:
        columns = await connection.scalars(
            text("select column_name from information_schema.columns where table_name = 'attendance_excuse'")
        )
        assert set(columns) == {"booking_id", "declared_at", "declared_by"}, "no detail is kept"

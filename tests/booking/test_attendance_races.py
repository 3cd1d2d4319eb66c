"""Attendance with real concurrency: each order in a transaction of its own."""

from __future__ import annotations

from asyncio import gather
from uuid import uuid4

from services.booking.attendance.domain import HalfDayClosed
from shared.database import Database
from tests.booking.given import ALICE, BOB, it_is
from tests.booking.given_attendance import EVENING, LUNCH, enter, given_training, outcomes, said, scan, sheet_of, sign

ROUNDS = 5


async def test_A1_two_check_ins_of_one_person_at_once_are_one(booking: Database) -> None:
    session_id, (alice,) = await given_training(booking, ALICE)
    it_is(LUNCH.replace(hour=10))

    answers = await gather(*(scan(booking, alice) for _ in range(8)))

    assert {answer.half_day.number for answer in answers} == {1}
    assert len((await sheet_of(booking, session_id)).lines[0].presences) == 1


async def test_N2_a_check_in_and_the_signature_at_once_whoever_was_let_in_is_on_the_sheet(booking: Database) -> None:
    for _ in range(ROUNDS):
        session_id, places = await given_training(booking, *(uuid4() for _ in range(6)))
        it_is(EVENING.replace(minute=20))
        await sign(booking, session_id, 1)

        answers = await gather(
            *(scan(booking, place) for place in places[:3]),
            sign(booking, session_id, 2),
            *(scan(booking, place) for place in places[3:]),
            return_exceptions=True,
        )

        let_in = {
            place.agent_id for place, answer in zip(places, answers[:3] + answers[4:], strict=True) if not isinstance(answer, Exception)
        }
        assert all(isinstance(answer, HalfDayClosed) for answer in answers if isinstance(answer, BaseException))
        found = await outcomes(booking, session_id)
        assert found == {place.agent_id: "attended" if place.agent_id in let_in else "absent" for place in places}


async def test_A2_corrections_at_once_are_told_in_one_order_without_a_gap(booking: Database) -> None:
    session_id, (alice, _) = await given_training(booking, ALICE, BOB)
    it_is(EVENING)
    await sign(booking, session_id, 1, 2)

    await gather(*(enter(booking, alice, half_day, present=present) for half_day in (1, 2) for present in (True, False, True)))

    sheet = await sheet_of(booking, session_id)
    (line,) = [line for line in sheet.lines if line.agent_id == ALICE]
    told = [event for event in await said(booking, "attendance_corrected") if event["agent_id"] == str(ALICE)]
    assert [event["version"] for event in told] == list(range(2, len(told) + 2))
    if told:
        assert told[-1]["half_days"] == [presence.half_day for presence in line.presences]
        assert told[-1]["outcome"] == line.outcome

"""Surveys: who is asked and when, answers that nobody signed, and what the lab may read (P5)."""

from __future__ import annotations

from asyncio import gather
from datetime import datetime, timedelta
from itertools import accumulate, permutations, repeat
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.feedback import handlers
from services.booking.feedback.domain import Answer, FeedbackClosed, FeedbackGiven, FeedbackNotAsked, Results, asked_at
from shared.bus import Caller
from shared.contracts.feedback import GetFeedback, GetInvitation, GiveFeedback, Invitation, SessionFeedback, Survey
from shared.database import Database
from shared.errors import NotAllowed
from tests.booking.given import (
    ALICE,
    BOB,
    OPERATOR,
    agent,
    book,
    cancel,
    catalog_says,
    confirm,
    given_session,
    hear,
    it_is,
    now_of,
    paris,
    timers_fire,
)
from tests.booking.given_attendance import given_training, said, scan, sign

START = paris(2027, 3, 18, 14)
FIVE = tuple(Answer(useful=1 + each % 4, applied=4 - each % 4, words=f"avis {each}") for each in range(5))


# --- the rules -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("survey", "ends_at", "asked"),
    [
        (Survey.HOT, paris(2027, 3, 18, 16), paris(2027, 3, 18, 18)),
        (Survey.HOT, paris(2027, 3, 18, 17), paris(2027, 3, 18, 18)),
        (Survey.HOT, paris(2027, 3, 18, 17, 1), paris(2027, 3, 19, 9)),
        (Survey.HOT, paris(2027, 3, 27, 18, 30), paris(2027, 3, 28, 9)),  # the clocks go forward in between
        (Survey.COLD, paris(2027, 3, 18, 16), paris(2027, 6, 18, 9)),
        (Survey.COLD, paris(2026, 11, 30, 16), paris(2027, 2, 28, 9)),
        (Survey.COLD, paris(2026, 12, 15, 16), paris(2027, 3, 15, 9)),
    ],
)
def test_people_are_asked_in_the_evening_and_three_months_later_by_the_clock_of_paris(
    survey: Survey, ends_at: datetime, asked: datetime
) -> None:
    assert asked_at(survey, ends_at) == asked


def after(*answers: Answer) -> list[Results]:
    return list(accumulate(answers, Results.receive, initial=Results()))


@pytest.mark.parametrize("number", range(5))
def test_P5_below_five_answers_neither_grades_nor_words_are_shown(number: int) -> None:
    results = after(*FIVE[:number])[-1]

    assert (results.shown, results.words) == ((), ())


def test_P5_no_two_states_that_a_reader_may_see_differ_by_fewer_than_five_answers() -> None:
    seen = [len(results.shown) for results in after(*repeat(FIVE[0], 4 * 5 + 3))]

    assert min(later - earlier for earlier in seen for later in seen if later > earlier) == 5
    assert seen[-1] == 4 * 5


def test_P5_the_order_of_arrival_leaves_no_trace() -> None:
    assert len({after(*order)[-1] for order in permutations(FIVE)}) == 1
    assert len({after(*order)[-1] for order in permutations(FIVE[:3])}) == 1


# --- who is asked --------------------------------------------------------------------------------------------------------------------


async def asked(booking: Database) -> list[dict[str, Any]]:
    return await said(booking, "feedback_requested")


async def test_who_had_a_seat_is_asked_at_18_h_and_three_months_later_and_nobody_twice(booking: Database) -> None:
    it_is(paris(2027, 3, 1, 9))
    session_id = await given_session(booking, starts_at=START, capacity=2)
    await book(booking, session_id, ALICE)
    await cancel(booking, await book(booking, session_id, BOB))

    it_is(paris(2027, 3, 18, 17, 59))
    await timers_fire(booking)
    assert await asked(booking) == []
    it_is(paris(2027, 3, 18, 18))
    await timers_fire(booking)
    (hot,) = await asked(booking)
    it_is(paris(2027, 6, 18, 9))
    await timers_fire(booking)

    assert (hot["agent_id"], hot["survey"]) == (str(ALICE), "hot")
    assert datetime.fromisoformat(hot["open_until"]) == paris(2027, 4, 1, 18), "the clocks have gone forward"
    assert [each["survey"] for each in await asked(booking)] == ["hot", "cold"]


async def test_who_is_known_to_have_been_absent_is_not_asked(booking: Database) -> None:
    session_id, (alice, _) = await given_training(booking, ALICE, BOB)
    it_is(paris(2027, 3, 18, 10))
    await scan(booking, alice)
    it_is(paris(2027, 3, 18, 17))
    await sign(booking, session_id, 1)
    await sign(booking, session_id, 2)

    it_is(paris(2027, 3, 19, 9))
    await timers_fire(booking)

    assert [each["agent_id"] for each in await asked(booking)] == [str(ALICE)]


async def test_a_survey_follows_a_session_that_moves_and_asks_nobody_of_one_that_is_cancelled(booking: Database) -> None:
    it_is(paris(2027, 3, 1, 9))
    moved, cancelled = await given_session(booking, starts_at=START), await given_session(booking, starts_at=START)
    place, _ = await book(booking, moved, ALICE), await book(booking, cancelled, BOB)
    await hear(booking, catalog_says(moved, version=2, starts_at=START + timedelta(days=1)))
    await confirm(booking, await now_of(booking, place))
    await hear(booking, catalog_says(cancelled, version=2, starts_at=START, status="cancelled"))

    it_is(paris(2027, 3, 18, 20))
    await timers_fire(booking)
    assert await asked(booking) == []
    it_is(paris(2027, 3, 19, 20))
    await timers_fire(booking)

    assert [each["agent_id"] for each in await asked(booking)] == [str(ALICE)]


async def test_nobody_is_asked_when_the_time_to_answer_is_over(booking: Database) -> None:
    it_is(paris(2027, 3, 1, 9))
    await book(booking, await given_session(booking, starts_at=START), ALICE)

    it_is(paris(2027, 4, 1, 18))
    await timers_fire(booking)

    assert await asked(booking) == []


# --- answers -------------------------------------------------------------------------------------------------------------------------


async def given_invitations(booking: Database, number: int, survey: str = "hot") -> tuple[UUID, list[tuple[UUID, Caller]]]:
    """A session that is over, and its invitations with whom they are for."""
    it_is(paris(2027, 3, 1, 9))
    session_id = await given_session(booking, starts_at=START, capacity=number)
    for _ in range(number):
        await book(booking, session_id, uuid4())
    it_is(paris(2027, 3, 18, 18) if survey == "hot" else paris(2027, 6, 18, 9))
    await timers_fire(booking)
    found = [each for each in await asked(booking) if each["survey"] == survey and each["session_id"] == str(session_id)]
    return session_id, [(UUID(each["invitation_id"]), agent(UUID(each["agent_id"]))) for each in found]


async def answer(booking: Database, invitation: tuple[UUID, Caller], *, useful: int = 4, words: str = "") -> Invitation:
    invitation_id, caller = invitation
    return await handlers.give_feedback(GiveFeedback(invitation_id=invitation_id, useful=useful, applied=3, words=words), caller, booking)


async def read(booking: Database, session_id: UUID) -> SessionFeedback:
    return await handlers.get_feedback(GetFeedback(session_id=session_id), OPERATOR, booking)


async def test_P5_four_answers_are_not_shown_the_fifth_shows_five_and_is_said_without_its_author(booking: Database) -> None:
    session_id, invitations = await given_invitations(booking, 7)

    for number, each in enumerate(invitations[:4]):
        await answer(booking, each, useful=2, words=f"avis {4 - number}")
    (hot,) = (await read(booking, session_id)).surveys
    assert (hot.asked, hot.answers, hot.useful, hot.words) == (7, 0, (0, 0, 0, 0), ())
    assert await said(booking, "feedback_received") == []

    await answer(booking, invitations[4], words="avis 5")
    await answer(booking, invitations[5], words="avis 6")

    (hot,) = (await read(booking, session_id)).surveys
    assert (hot.answers, hot.useful, hot.applied) == (5, (0, 4, 0, 1), (0, 0, 5, 0))
    assert hot.words == tuple(f"avis {number}" for number in range(1, 6))
    (fact,) = await said(booking, "feedback_received")
    assert (fact["version"], fact["answers"], set(fact)) == (1, 5, {"version", "feedback_id", "session_id", "survey", "answers"})


async def test_an_invitation_serves_once_for_whom_it_is_for_until_it_closes(booking: Database) -> None:
    _, (first, second) = await given_invitations(booking, 2)

    assert (await answer(booking, first)).answered
    with pytest.raises(FeedbackGiven):
        await answer(booking, first)
    with pytest.raises(FeedbackNotAsked):
        await answer(booking, (second[0], first[1]))
    with pytest.raises(FeedbackNotAsked):
        await handlers.get_invitation(GetInvitation(invitation_id=uuid4()), first[1], booking)
    it_is(paris(2027, 4, 1, 18))
    with pytest.raises(FeedbackClosed):
        await answer(booking, second)


async def test_only_the_lab_reads_what_came_back(booking: Database) -> None:
    with pytest.raises(NotAllowed):
        await handlers.get_feedback(GetFeedback(session_id=uuid4()), agent(ALICE), booking)


async def kept(booking: Database) -> tuple[int, int]:
    async with booking.connect() as connection:
        row = (await connection.execute(text("select jsonb_array_length(shown), jsonb_array_length(waiting) from feedback"))).one()
    return row[0], row[1]


async def test_six_answers_of_one_agent_at_once_count_once(booking: Database) -> None:
    _, (a_colleague, alice) = await given_invitations(booking, 2)
    await answer(booking, a_colleague)  # the very first waits for the row to be made, and not for its lock

    answers = await gather(*(answer(booking, alice) for _ in range(6)), return_exceptions=True)

    assert sorted(type(each).__name__ for each in answers) == ["FeedbackGiven"] * 5 + ["Invitation"]
    assert await kept(booking) == (0, 2)


async def test_P5_whoever_reads_while_people_answer_sees_none_or_five_and_no_answer_is_lost(booking: Database) -> None:
    session_id, invitations = await given_invitations(booking, 9)

    seen = await gather(*(step for each in invitations for step in (answer(booking, each), read(booking, session_id))))

    assert {each.surveys[0].answers for each in seen if isinstance(each, SessionFeedback)} <= {0, 5}
    assert await kept(booking) == (5, 4)
    assert [fact["version"] for fact in await said(booking, "feedback_received")] == [1]


async def test_P5_the_invitation_of_who_answered_last_is_written_by_no_other_transaction_than_the_rest(booking: Database) -> None:
    _, invitations = await given_invitations(booking, 3)
    await answer(booking, invitations[1])

    async with booking.connect() as connection:
        transactions = (await connection.execute(text("select distinct xmin::text from feedback_invitation"))).scalars().all()

    assert len(transactions) == 1


async def test_P5_what_was_said_is_nowhere_beside_who_said_it(booking: Database) -> None:
    """No column of any table holds both, whatever the kernel keeps of a request."""
    _, (alice,) = await given_invitations(booking, 1)
    await answer(booking, alice, words="Ce que personne d'autre ne dit")

    async with booking.connect() as connection:
        tables = (await connection.scalars(text("select tablename from pg_tables where schemaname = current_schema()"))).all()
        rows = {
            (table, row)
            for table in tables
            for row in (await connection.scalars(text(f"select cast(each as text) from {table} each"))).all()
        }
    holding = [(table, row) for table, row in rows if "personne" in row]
    assert [table for table, _ in holding] == ["feedback"]
    assert not any(alice[1].actor in row or str(alice[0]) in row for _, row in holding)

"""E6: while an operator changes the capacity under a crowd, the log alone says why each agent was answered what they were."""

from __future__ import annotations

import json
from asyncio import gather
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from shared.contracts.booking import Booking
from shared.database import Database
from tests.booking.given import book, cancel, catalog_says, given_session, hear, in_days, nothing_is_wrong

FACTS = text("select split_part(subject, '.', 3) as fact, payload from outbox where aggregate_type = 'booking'")

START = in_days(30)


async def facts_of(booking: Database, session_id: UUID) -> list[tuple[str, dict[str, Any]]]:
    async with booking.connect() as connection:
        facts = [(row.fact, json.loads(row.payload)) for row in await connection.execute(FACTS)]
    return [(name, fact) for name, fact in facts if fact["session_id"] == str(session_id)]


def explain(facts: list[tuple[str, dict[str, Any]]], capacities: list[int]) -> dict[str, tuple[str, int | None]]:
    """What each booking had to be answered: a careful reader goes through the numbers. One that is missing is what catalog said next."""
    capacity, held, answers, said = 0, 0, dict[str, tuple[str, int | None]](), iter(capacities)
    queue: list[str] = []
    by_number = {fact["session_sequence"]: (name, fact) for name, fact in facts}
    for number in range(1, max(by_number) + 1):
        name, fact = by_number.get(number, ("", {}))
        who = fact.get("booking_id", "")
        match name:
            case "":
                capacity = next(said)
            case "booking_confirmed":
                assert not queue, "nobody is seated past a queue (B2)"
                assert held < capacity, "nor beyond the capacity of that moment (B1)"
                held, answers[who] = held + 1, ("confirmed", None)
            case "waitlist_joined":
                assert queue or held >= capacity, "nobody waits beside a free seat"
                queue.append(who)
                answers[who] = ("waiting", len(queue))
            case "waitlist_promoted":
                assert queue.pop(0) == who, "the first of the queue"
                assert held < capacity
                held += 1
            case "booking_cancelled":
                held -= 1
            case _:
                pytest.fail(name)
    assert next(said, None) is None
    return answers


async def test_E6_each_of_fifty_answers_given_while_the_capacity_changes_is_explained_by_the_log(booking: Database) -> None:
    session_id, capacities = await given_session(booking, starts_at=START, capacity=12), [12, 20, 9, 31]
    seated = [await book(booking, session_id) for _ in range(3)]

    async def change_capacity() -> None:
        for version, capacity in enumerate(capacities[1:], start=2):
            await hear(booking, catalog_says(session_id, starts_at=START, version=version, capacity=capacity))

    *answers, _ = await gather(
        *(book(booking, session_id) for _ in range(25)),
        *(cancel(booking, each) for each in seated),
        *(book(booking, session_id) for _ in range(25)),
        change_capacity(),
    )

    given = [*seated, *(answer for answer in answers if isinstance(answer, Booking) and answer.version == 1)]
    why = explain(await facts_of(booking, session_id), capacities)
    assert {str(each.booking_id): (each.state.value, each.rank) for each in given} == why
    assert len(given) == 53
    await nothing_is_wrong(booking)

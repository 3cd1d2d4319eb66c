"""Offers on real rows: made, answered, expired by their timers, and raced for (W1-W5, W7)."""

from __future__ import annotations

from asyncio import Event, gather
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.seats import store
from services.booking.seats.domain import OfferAnswered, OfferExpired
from services.booking.seats.refusals import BookingNotActive, BookingUnknown
from shared.contracts.booking import Booking, BookingState, OfferState
from shared.contracts.catalog import ActivityType
from shared.database import Database, constraint_of
from shared.errors import Refused
from tests.booking.given import (
    BOB,
    MONDAY_1130,
    OPERATOR,
    STARTS_AT,
    accept,
    agent,
    an_order,
    book,
    book_together,
    cancel,
    catalog_says,
    counters,
    decline,
    findings,
    given_queue,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    one_waits,
    paris,
    timers_fire,
    told,
)

TRAINING = ActivityType.TRAINING


async def offer_of(database: Database, booking: Booking) -> str | None:
    now = await now_of(database, booking)
    return now.offer and now.offer.state.value


async def test_W2_a_freed_seat_is_held_for_the_head_of_the_queue_who_says_yes(booking: Database) -> None:
    session_id, (seat,), (head, second) = await given_queue(booking, seats=1, waiting=2)

    await cancel(booking, seat)

    offered = await now_of(booking, head)
    assert offered.offer is not None
    assert (offered.state, offered.offer.state, offered.offer.deadline) == (BookingState.WAITING, OfferState.OFFERED, MONDAY_1130)
    assert (offered.rank, offered.reason) == (None, "rang 1, place libérée le 12 mars 2027 à 18 h 30")
    assert (await now_of(booking, second)).rank == 1
    assert await counters(booking, session_id) == (1, 1, 1)
    assert (await book(booking, session_id)).rank == 2, "nobody new gets the seat meanwhile"
    await nothing_is_wrong(booking)

    taken = await accept(booking, head)

    assert (taken.state, taken.version, taken.reason) == (BookingState.CONFIRMED, 3, offered.reason)
    assert taken == await now_of(booking, head)
    assert await told(booking, head) == ["waitlist_joined", "seat_offer_made", "seat_offer_accepted"]
    assert await counters(booking, session_id) == (1, 1, 2)
    it_is(MONDAY_1130 + timedelta(minutes=1))
    assert await timers_fire(booking) == 2, "it finds a newer booking, and the question of three days before nobody to ask"
    assert (await now_of(booking, head)).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


@pytest.mark.parametrize("how", [decline, cancel])
async def test_W3_a_declined_seat_goes_on_to_the_next_in_the_same_transaction(booking: Database, how: Any) -> None:
    _, (seat,), (head, second) = await given_queue(booking, seats=1, waiting=2)
    await cancel(booking, seat)

    over = await how(booking, head)

    assert (over.state, over.offer.state) == (BookingState.LEFT, OfferState.DECLINED)
    assert over == await now_of(booking, head)
    assert await offer_of(booking, second) == "offered"
    assert await told(booking, head) == ["waitlist_joined", "seat_offer_made", "seat_offer_declined"]
    await nothing_is_wrong(booking)


async def test_W3_an_offer_that_nobody_answers_expires_and_the_next_is_served_in_the_same_transaction(booking: Database) -> None:
    session_id, (seat,), (head, second) = await given_queue(booking, seats=1, waiting=2)
    await cancel(booking, seat)
    it_is(MONDAY_1130 - timedelta(seconds=5))
    assert await timers_fire(booking) == 1, "the question of three days before"

    it_is(MONDAY_1130)
    assert await timers_fire(booking) == 1

    over = await now_of(booking, head)
    assert over.offer is not None
    assert (over.state, over.offer.state, over.reason) == (
        BookingState.LEFT,
        OfferState.EXPIRED,
        "proposition restée sans réponse le 15 mars 2027 à 11 h 30",
    )
    assert await told(booking, head) == ["waitlist_joined", "seat_offer_made", "seat_offer_expired"]
    again = (await now_of(booking, second)).offer
    assert again is not None
    assert again.deadline == paris(2027, 3, 15, 15, 30), "four working hours from now"
    with pytest.raises(OfferExpired) as late:
        await accept(booking, head)
    assert late.value.members == {"session_id": str(session_id), "rank": 1}
    back = await book(booking, session_id, head.agent_id)
    assert (back.rank, back.booking_id == head.booking_id) == (1, False), "at the end, as a new record"
    await nothing_is_wrong(booking)


async def test_W3_between_the_deadline_and_its_timer_it_is_already_too_late(booking: Database) -> None:
    _, (seat,), (head, _) = await given_queue(booking, seats=1, waiting=2)
    await cancel(booking, seat)
    it_is(MONDAY_1130)

    for answer in (accept, decline, cancel):
        with pytest.raises(OfferExpired):
            await answer(booking, head)

    assert await offer_of(booking, head) == "offered", "the timer ends it, once"


async def test_W2_seats_added_are_offered_to_as_many(booking: Database) -> None:
    session_id, _, queue = await given_queue(booking, seats=1, waiting=4)

    await hear(booking, catalog_says(session_id, version=2, capacity=3, starts_at=STARTS_AT, activity_type=TRAINING))

    assert [await offer_of(booking, each) for each in queue] == ["offered", "offered", None, None]
    assert [(await now_of(booking, each)).rank for each in queue] == [None, None, 1, 2]
    assert ((await now_of(booking, queue[1])).reason or "").startswith("rang 2, place ajoutée le")
    await nothing_is_wrong(booking)


async def test_W4_past_the_cut_off_a_freed_seat_stays_free(booking: Database) -> None:
    session_id, (seat,), (head,) = await given_queue(booking, seats=1, waiting=1)
    it_is(paris(2027, 3, 17, 14))

    await cancel(booking, seat)

    assert (await now_of(booking, head)).rank == 1
    assert await counters(booking, session_id) == (1, 0, 1)
    await nothing_is_wrong(booking)


async def test_W4_a_session_brought_forward_shortens_or_ends_its_offers(booking: Database) -> None:
    session_id, (seat,), (head, second) = await given_queue(booking, seats=1, waiting=2)
    await cancel(booking, seat)

    await hear(booking, catalog_says(session_id, version=2, capacity=1, starts_at=paris(2027, 3, 16, 10), activity_type=TRAINING))

    offer = (await now_of(booking, head)).offer
    assert offer is not None
    assert offer.deadline == paris(2027, 3, 15, 10)
    assert await told(booking, head) == ["waitlist_joined", "seat_offer_made", "seat_offer_made"]
    await nothing_is_wrong(booking)

    await hear(booking, catalog_says(session_id, version=3, capacity=1, starts_at=paris(2027, 3, 13, 10), activity_type=TRAINING))
    assert await offer_of(booking, head) == "expired"
    assert (await now_of(booking, second)).rank == 1, "nothing can be offered so late"
    it_is(MONDAY_1130)
    assert await timers_fire(booking) == 3, "both offers have ended already, and the survey is due"
    await nothing_is_wrong(booking)


async def test_W7_a_moved_session_keeps_its_queue_in_order(booking: Database) -> None:
    session_id, _, queue = await given_queue(booking, seats=1, waiting=3)

    await hear(booking, catalog_says(session_id, version=2, capacity=1, starts_at=STARTS_AT + timedelta(days=7), activity_type=TRAINING))

    assert [(await now_of(booking, each)).rank for each in queue] == [1, 2, 3]


async def test_another_agents_offer_does_not_exist_and_an_operator_may_answer_for_them(booking: Database) -> None:
    _, (seat,), (head,) = await given_queue(booking, seats=1, waiting=1)
    await cancel(booking, seat)

    with pytest.raises(BookingUnknown):
        await accept(booking, head, agent(BOB))
    with pytest.raises(BookingUnknown):
        await accept(booking, head.model_copy(update={"booking_id": uuid4()}))
    assert (await accept(booking, head, OPERATOR)).state is BookingState.CONFIRMED


# --- races ---------------------------------------------------------------------------------------------------------------------------


class Gate:
    """Lets the first who locks a session go on only once the second waits for that lock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locked, self.go = Event(), Event()
        for name in ("lock_session_of", "lock_for_orders"):
            monkeypatch.setattr(store, name, self.held(getattr(store, name)))

    def held(self, real: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def lock(*asked: Any) -> Any:
            found = await real(*asked)
            if not self.locked.is_set():
                self.locked.set()
                await self.go.wait()
            return found

        return lock


@pytest.mark.parametrize("first", ["accept", "expire"])
async def test_W3_accept_and_expiry_race_and_the_lock_decides(booking: Database, monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """The agent clicks in the last second; their transaction and the timer's meet at the session's row."""
    _, (seat,), (head, second) = await given_queue(booking, seats=1, waiting=2)
    await cancel(booking, seat)
    gate = Gate(monkeypatch)

    async def expire() -> int:
        it_is(MONDAY_1130)
        return await timers_fire(booking)

    async def accepted() -> str:
        it_is(MONDAY_1130 - timedelta(milliseconds=300))
        try:
            return (await accept(booking, head)).state.value
        except Refused as refusal:
            return refusal.code

    async def start(race: Any) -> Any:
        return await race

    async def second_one(race: Any) -> Any:
        await gate.locked.wait()
        outcome, _ = await gather(race, opened())
        return outcome

    async def opened() -> None:
        await one_waits(booking)
        it_is(MONDAY_1130 - timedelta(milliseconds=300) if first == "accept" else MONDAY_1130)
        gate.go.set()

    if first == "accept":
        outcome, _ = await gather(start(accepted()), second_one(expire()))
        assert outcome == "confirmed"
        assert await told(booking, head) == ["waitlist_joined", "seat_offer_made", "seat_offer_accepted"]
        assert (await now_of(booking, second)).rank == 1
    else:
        _, outcome = await gather(start(expire()), second_one(accepted()))
        assert outcome == "offer_expired"
        assert await told(booking, head) == ["waitlist_joined", "seat_offer_made", "seat_offer_expired"]
        assert await offer_of(booking, second) == "offered"
    it_is(MONDAY_1130 - timedelta(seconds=1))
    await nothing_is_wrong(booking)


async def test_cancel_accept_and_decline_of_one_offer_at_once_have_one_outcome(booking: Database) -> None:
    for _ in range(5):
        session_id, (seat,), (head, second) = await given_queue(booking, seats=1, waiting=2)
        await cancel(booking, seat)

        answers = await gather(accept(booking, head), decline(booking, head), accept(booking, head), return_exceptions=True)

        won = [answer for answer in answers if isinstance(answer, Booking)]
        assert len(won) == 1
        assert all(isinstance(answer, Booking | OfferAnswered) for answer in answers)
        assert (await offer_of(booking, second) == "offered") is (won[0].state is BookingState.LEFT)
        assert (await counters(booking, session_id))[1] == 1
        await nothing_is_wrong(booking)


async def test_cancel_and_accept_of_one_offer_at_once(booking: Database) -> None:
    for _ in range(5):
        session_id, (seat,), (head, _) = await given_queue(booking, seats=1, waiting=2)
        await cancel(booking, seat)

        answers = await gather(accept(booking, head), cancel(booking, head), return_exceptions=True)

        # accepted then cancelled is two facts, each true; cancelled first leaves nothing to accept
        assert all(isinstance(answer, Booking | OfferAnswered | BookingNotActive) for answer in answers)
        assert (await now_of(booking, head)).state in (BookingState.LATE_CANCELLED, BookingState.LEFT)
        assert await counters(booking, session_id) == (1, 1, 0)
        await nothing_is_wrong(booking)


async def test_two_hundred_join_at_once_then_seats_are_freed_and_the_first_ones_are_asked(booking: Database) -> None:
    session_id, seated, _ = await given_queue(booking, seats=10, waiting=0)
    groups = await gather(*(book_together(booking, [an_order(session_id) for _ in range(20)]) for _ in range(10)))
    queue = sorted((each for group in groups for each in group if isinstance(each, Booking)), key=lambda each: each.session_sequence)
    assert [each.rank for each in queue] == list(range(1, 201))

    await gather(*(cancel(booking, seat) for seat in seated))

    assert [await offer_of(booking, each) for each in queue[:11]] == ["offered"] * 10 + [None]
    await nothing_is_wrong(booking)
    await gather(*(accept(booking, each) for each in queue[:4]), *(decline(booking, each) for each in queue[4:7]))
    it_is(MONDAY_1130)
    pollers = await gather(*(timers_fire(booking) for _ in range(3)))

    assert sum(pollers) >= 10
    states = [await offer_of(booking, each) for each in queue[:20]]
    assert states == ["accepted"] * 4 + ["declined"] * 3 + ["expired"] * 6 + ["offered"] * 6 + [None]
    assert await counters(booking, session_id) == (10, 10, 181)
    await nothing_is_wrong(booking)


# --- what the database swears, and what the audit sees -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_hand", "constraint"),
    [
        ("update booking set state = 'confirmed' where offer_state = 'offered'", "booking_offer_waits"),  # the release before, promoting
        ("update booking set offer_state = 'offered' where state = 'waiting'", "booking_offer_whole"),
        ("update booking set offer_state = 'lost' where offer_state = 'offered'", "booking_offer_known"),
    ],
)
async def test_the_database_refuses_what_no_rule_of_offers_allows(booking: Database, by_hand: str, constraint: str) -> None:
    _, (seat,), _ = await given_queue(booking, seats=1, waiting=2)
    await cancel(booking, seat)

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(text(by_hand))

    assert constraint_of(refused.value) == constraint


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        (
            "update booking set state = 'left', offer_state = 'expired' where offer_state = 'offered'",
            "held_is_not_the_number_of_seats_given",
        ),
        ("delete from timer", "an_offer_that_nothing_ends"),
        ("update booking set version = version + 1 where offer_state = 'offered'", "an_offer_that_nothing_ends"),
        ("update booking set offer_deadline = offer_deadline + interval '5 days'", "an_offer_past_the_cut_off"),
        (
            "update booking set session_sequence = 7 where offer_state = 'offered'",  # the one who has the offer: those behind came before
            "seated_before_one_who_waited_longer",
        ),
        (
            "update booking set priority = true where session_sequence = 5",
            "seated_before_one_with_a_priority_token",
        ),
    ],
)
async def test_the_audit_sees_an_orphan_hold_and_a_queue_out_of_order(booking: Database, damage: str, finding: str) -> None:
    _, (seat,), _ = await given_queue(booking, seats=1, waiting=3)
    await cancel(booking, seat)
    await nothing_is_wrong(booking)

    async with booking.begin() as tx:
        for statement in damage.split(";"):
            await tx.execute(text(statement))

    assert finding in await findings(booking)

"""One place from its booking to its end, on real rows: what is answered, stored and told."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.booking.availability import handlers as availability
from services.booking.priority import store as priority
from services.booking.seats import handlers, store
from services.booking.seats.refusals import BookingNotActive, BookingUnknown, SessionStarted
from shared import clock
from shared.contracts.availability import GetAvailability
from shared.contracts.booking import BookingState, GetBooking, ListBookings
from shared.database import Database
from shared.errors import NotAllowed, VersionConflict
from tests.booking.given import (
    ALICE,
    BOB,
    CAROL,
    OPERATOR,
    agent,
    an_order,
    book,
    book_together,
    cancel,
    catalog_says,
    counters,
    given_queue,
    given_session,
    hear,
    in_days,
    nothing_is_wrong,
    now_of,
    told,
)


async def test_W1_a_freed_seat_goes_to_the_head_of_the_queue_in_the_same_transaction(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    alice, bob, carol = [await book(booking, session_id, who) for who in (ALICE, BOB, CAROL)]

    over = await cancel(booking, alice)

    assert (over.state, over.version) == (BookingState.CANCELLED_BY_AGENT, 2)
    promoted = await now_of(booking, bob)
    assert (promoted.state, promoted.version, promoted.session_sequence) == (BookingState.CONFIRMED, 2, bob.session_sequence)
    assert (promoted.reason or "").startswith("rang 1, place libérée le ")
    still = await now_of(booking, carol)
    assert (still.state, still.rank, still.waiting) == (BookingState.WAITING, 1, 1)
    assert await told(booking, alice) == ["booking_confirmed", "booking_cancelled"]
    assert await told(booking, bob) == ["waitlist_joined", "waitlist_promoted"]
    assert await told(booking, carol) == ["waitlist_joined"]
    await nothing_is_wrong(booking)


async def test_a_waiting_agent_who_leaves_frees_no_seat_and_promotes_nobody(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    alice, bob, carol = [await book(booking, session_id, who) for who in (ALICE, BOB, CAROL)]

    left = await cancel(booking, bob)

    assert left.state is BookingState.LEFT
    assert await counters(booking, session_id) == (1, 1, 1)
    assert (await now_of(booking, alice)).state is BookingState.CONFIRMED
    assert ((await now_of(booking, carol)).state, (await now_of(booking, carol)).rank) == (BookingState.WAITING, 1)
    assert await told(booking, bob) == ["waitlist_joined", "waitlist_left"]
    assert await told(booking, carol) == ["waitlist_joined"]
    await nothing_is_wrong(booking)


async def test_who_leaves_the_queue_promotes_nobody_even_when_a_seat_is_free_by_mistake(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    _, bob, carol = [await book(booking, session_id) for _ in range(3)]
    async with booking.begin() as tx:
        await tx.execute(text("update session set capacity = 2"))

    await cancel(booking, bob)

    assert await told(booking, carol) == ["waitlist_joined"]


async def test_B4_who_comes_back_is_last_and_the_old_entry_never_revives(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    alice, bob, carol = [await book(booking, session_id, who) for who in (ALICE, BOB, CAROL)]
    await cancel(booking, bob)

    back = await book(booking, session_id, BOB)
    await cancel(booking, alice)

    assert back.booking_id != bob.booking_id
    assert back.rank == 2
    assert (await now_of(booking, bob)).state is BookingState.LEFT
    assert (await now_of(booking, carol)).state is BookingState.CONFIRMED
    assert (await now_of(booking, back)).rank == 1
    with pytest.raises(BookingNotActive):
        await cancel(booking, bob)
    await nothing_is_wrong(booking)


async def test_N1_after_the_cut_off_of_a_training_the_seat_is_given_back_late_and_still_offered(booking: Database) -> None:
    _, (seat,), (head,) = await given_queue(booking, seats=1, waiting=1)

    assert (await cancel(booking, seat)).state is BookingState.LATE_CANCELLED
    assert (await now_of(booking, head)).offer is not None
    await nothing_is_wrong(booking)


async def test_W4_nobody_leaves_and_nobody_is_promoted_once_the_session_began(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1, starts_at=in_days(1))
    seat, head = await book(booking, session_id), await book(booking, session_id)
    clock.shift(timedelta(days=1), "embedded")

    for place in (seat, head):
        with pytest.raises(SessionStarted):
            await cancel(booking, place)
    await hear(booking, catalog_says(session_id, version=2, capacity=5, starts_at=in_days(-0.01)))

    assert (await now_of(booking, head)).state is BookingState.WAITING


async def test_B8_seats_added_serve_the_queue_before_the_public(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    places = [await book(booking, session_id) for _ in range(4)]

    await hear(booking, catalog_says(session_id, version=2, capacity=3))
    newcomer = await book(booking, session_id)

    now = [await now_of(booking, place) for place in places]
    assert [place.state for place in now] == [BookingState.CONFIRMED] * 3 + [BookingState.WAITING]
    assert [(place.reason or "")[:21] for place in now[1:3]] == ["rang 1, place ajoutée", "rang 2, place ajoutée"]
    assert newcomer.rank == 2
    await nothing_is_wrong(booking)


async def test_B8_seats_taken_away_under_the_bookings_remove_nobody_and_stop_promotions(booking: Database) -> None:
    session_id = await given_session(booking, capacity=3)
    places = [await book(booking, session_id) for _ in range(5)]

    await hear(booking, catalog_says(session_id, version=2, capacity=2))
    assert await counters(booking, session_id) == (2, 3, 2)

    await cancel(booking, places[0])
    assert await counters(booking, session_id) == (2, 2, 2)
    await cancel(booking, places[1])
    assert await counters(booking, session_id) == (2, 2, 1)
    assert (await now_of(booking, places[3])).state is BookingState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_M5_a_session_cancelled_twice_tells_nobody_twice(booking: Database) -> None:
    session_id = await given_session(booking, capacity=1)
    seat, entry = await book(booking, session_id), await book(booking, session_id)

    await hear(booking, catalog_says(session_id, version=2, status="cancelled"))
    await hear(booking, catalog_says(session_id, version=2, status="cancelled"))
    await hear(booking, catalog_says(session_id, version=3, status="cancelled"))

    assert await told(booking, seat) == ["booking_confirmed", "booking_cancelled"]
    assert await told(booking, entry) == ["waitlist_joined", "waitlist_left"]
    await nothing_is_wrong(booking)


async def test_a_session_first_heard_of_when_it_is_cancelled_stays_so(booking: Database) -> None:
    session_id = uuid4()
    await hear(booking, catalog_says(session_id, version=3, status="cancelled"))
    await hear(booking, catalog_says(session_id, version=1))

    with pytest.raises(Exception, match=str(session_id)) as refusal:
        await book(booking, session_id)
    assert getattr(refusal.value, "code", None) == "session_is_cancelled"


async def test_who_saw_an_older_version_cancels_nothing(booking: Database) -> None:
    place = await book(booking, await given_session(booking))

    with pytest.raises(VersionConflict):
        await cancel(booking, place, expected_version=2)
    assert (await cancel(booking, place, expected_version=1)).version == 2
    with pytest.raises(VersionConflict):
        await cancel(booking, place, expected_version=1)


# --- who may see and do what ------------------------------------------------------------------------------------------


async def test_another_agents_booking_does_not_exist(booking: Database) -> None:
    place = await book(booking, await given_session(booking), ALICE)

    for asked in (place.booking_id, uuid4()):
        with pytest.raises(BookingUnknown):
            await handlers.get_booking(GetBooking(booking_id=asked), agent(BOB), booking)
    for caller in (agent(BOB),):
        with pytest.raises(BookingUnknown):
            await cancel(booking, place, caller)
    with pytest.raises(NotAllowed):
        await handlers.list_bookings(ListBookings(agent_id=ALICE), agent(BOB), booking)
    assert (await now_of(booking, place)).version == 1


async def test_an_operator_sees_and_cancels_for_an_agent(booking: Database) -> None:
    place = await book(booking, await given_session(booking), ALICE)

    assert await handlers.get_booking(GetBooking(booking_id=place.booking_id), OPERATOR, booking) == place
    assert (await handlers.list_bookings(ListBookings(agent_id=ALICE), OPERATOR, booking)).bookings == (place,)
    assert (await cancel(booking, place, OPERATOR)).state is BookingState.CANCELLED_BY_AGENT


async def test_an_agent_sees_their_bookings_newest_first_with_rank_and_length_of_the_queue(booking: Database) -> None:
    full, free = await given_session(booking, capacity=1), await given_session(booking)
    await book(booking, full)
    await book(booking, full, BOB)
    waiting = await book(booking, full, ALICE)
    await book(booking, full, CAROL)
    seated = await book(booking, free, ALICE)
    gone = await cancel(booking, await book(booking, await given_session(booking), ALICE))

    listed = await handlers.list_bookings(ListBookings(agent_id=ALICE), agent(ALICE), booking)

    assert listed.bookings == (gone, seated, waiting.model_copy(update={"waiting": 3}))
    newest = await handlers.list_bookings(ListBookings(agent_id=ALICE, limit=1), agent(ALICE), booking)
    assert newest.bookings == (gone,)


async def test_availability_is_answered_in_the_order_asked_without_unknown_sessions(booking: Database) -> None:
    one, two = await given_session(booking, capacity=1), await given_session(booking, capacity=2)
    await book(booking, one)
    await book(booking, one)

    found = await availability.get_availability(GetAvailability(session_ids=(two, uuid4(), one, two)), agent(ALICE), booking)

    assert [(each.session_id, each.capacity, each.held, each.waiting) for each in found.sessions] == [(two, 2, 0, 0), (one, 1, 1, 1)]


async def test_bookings_without_a_queue_lock_once_and_write_once(booking: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = await given_session(booking, capacity=64)
    real, statements = store.fetch, list[str]()

    async def counted(tx: Any, query: str, *values: Any) -> Any:
        statements.append(query)
        return await real(tx, query, *values)

    for module in (store, priority):
        monkeypatch.setattr(module, "fetch", counted)

    await book_together(booking, [an_order(session_id) for _ in range(64)])

    assert len(statements) == 2, "offers and tokens cost a statement only where there is a queue"

"""Groups in the queue, on real rows: seats gather, a part is offered, what is left goes on; and what happens at once (B2, W1, W6)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from services.booking.queue.domain import GroupOfferExpired, GroupOfferUnknown
from shared.contracts.booking import Booking, BookingState
from shared.contracts.catalog import ActivityType
from shared.contracts.groups import GroupBooking, GroupState
from shared.database import Database
from tests.booking.given import (
    ALICE,
    an_order,
    book,
    book_together,
    cancel,
    catalog_says,
    confirm,
    counters,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    paris,
    timers_fire,
    told,
)
from tests.booking.group_givens import (
    GATHERED,
    VISIT,
    book_group,
    cancel_group,
    given_full_visit,
    given_visit,
    group_now,
    leave_part,
    seats,
    take_part,
    told_of,
)

LABTOUR = ActivityType.LABTOUR


# --- B2, W1 -------------------------------------------------------------------------------------------------------------------------


async def test_B2_a_group_joins_the_queue_behind_agents_and_agents_behind_a_group(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 4)
    first = await book(booking, session_id)

    group = await book_group(booking, session_id, 2)
    last = await book(booking, session_id)
    assert (group.rank, last.rank, (await now_of(booking, last)).rank, group.waiting) == (2, 3, 3, 2)
    await cancel(booking, seated[0])
    await cancel(booking, seated[1])

    assert await told(booking, first) == ["waitlist_joined", "seat_offer_made"]
    kept = await group_now(booking, group)
    assert (seats(kept), kept.rank, kept.reason) == ((0, 2, 1), 1, "rang 1, place libérée le 26 avril 2027 à 9 h")
    assert (await now_of(booking, last)).rank == 2
    await cancel(booking, seated[2])
    whole = await group_now(booking, group)
    assert (whole.state, seats(whole)) == (GroupState.CONFIRMED, (2, 0, 0))
    assert await told_of(booking, group) == ["requested", "seats_held", "confirmed"]
    assert (await now_of(booking, last)).rank == 1
    await nothing_is_wrong(booking)


async def test_W1_a_priority_token_goes_before_a_group(booking: Database) -> None:
    activity = uuid4()
    gone = await given_session(booking, capacity=1, activity_id=activity)
    await book(booking, gone, ALICE)
    await hear(booking, catalog_says(gone, version=2, status="cancelled", activity_id=activity))
    session_id = await given_session(booking, capacity=2, activity_id=activity, private=True)
    seat = await book(booking, session_id)
    await book(booking, session_id)
    group = await book_group(booking, session_id, 2)

    alice = await book(booking, session_id, ALICE)
    assert (alice.rank, (await group_now(booking, group)).rank) == (1, 2)
    await cancel(booking, seat)

    assert (await now_of(booking, alice)).state is BookingState.CONFIRMED
    assert seats(await group_now(booking, group)) == (0, 2, 0)
    await nothing_is_wrong(booking)


# --- W6 -----------------------------------------------------------------------------------------------------------------------------


async def test_W6_seats_gather_for_the_head_until_it_is_whole(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 6)
    group = await book_group(booking, session_id, 3)
    behind = await book(booking, session_id)

    for seat in seated[:2]:
        await cancel(booking, seat)
    assert seats(await group_now(booking, group)) == (0, 3, 2)
    assert await counters(booking, session_id) == (6, 6, 2), "nobody else gets them"
    await nothing_is_wrong(booking)
    await cancel(booking, seated[2])

    assert (await group_now(booking, group)).state is GroupState.CONFIRMED
    assert await told(booking, behind) == ["waitlist_joined"]
    assert await timers_fire(booking) == 0
    it_is(GATHERED)
    assert await timers_fire(booking) == 1, "it finds nothing kept any more"
    assert await told_of(booking, group) == ["requested", "seats_held", "seats_held", "confirmed"]
    await nothing_is_wrong(booking)


async def test_W6_after_five_working_days_a_part_is_offered_and_the_rest_keeps_the_head_rank(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 14)
    behind = await book(booking, session_id)
    it_is(GATHERED - timedelta(seconds=1))
    assert await timers_fire(booking) == 0
    with pytest.raises(GroupOfferUnknown):
        await take_part(booking, group)

    it_is(GATHERED)
    assert await timers_fire(booking) == 1
    offered = await group_now(booking, group)
    assert offered.offer is not None
    assert (offered.offer.seats, offered.offer.deadline) == (12, paris(2027, 5, 4, 14)), "16 working hours"
    assert (offered.state, seats(offered), offered.rank) == (GroupState.WAITING, (0, 14, 12), 1)
    await nothing_is_wrong(booking)
    taken = await take_part(booking, group)

    assert (taken.state, seats(taken), taken.rank, taken.offer) == (GroupState.PARTLY_CONFIRMED, (12, 2, 0), 1, None)
    assert await told_of(booking, group) == ["requested", "seats_held", "seats_offered", "confirmed"]
    assert (await now_of(booking, behind)).rank == 2
    assert taken.bypasses == ()
    await nothing_is_wrong(booking)


@pytest.mark.parametrize("silent", [False, True])
async def test_W6_what_a_group_leaves_goes_to_the_next_that_fit_and_the_group_keeps_its_rank(booking: Database, silent: bool) -> None:
    session_id, seated = await given_full_visit(booking, 6, kind=ActivityType.INNOVATION_THURSDAY)
    group = await book_group(booking, session_id, 4)
    too_large = await book_group(booking, session_id, 5)
    alone = await book(booking, session_id)
    small = await book_group(booking, session_id, 2)
    for seat in seated[:3]:
        await cancel(booking, seat)
    it_is(GATHERED)
    await timers_fire(booking)

    if silent:
        it_is(GATHERED + timedelta(days=2))
        assert await timers_fire(booking) == 1
    else:
        await leave_part(booking, group)

    head = await group_now(booking, group)
    assert (head.state, seats(head), head.rank) == (GroupState.WAITING, (0, 4, 0), 1)
    why = "proposées sans réponse : aux suivants" if silent else "laissées aux suivants"
    assert [(each.seats, each.reason.partition(" le ")[0]) for each in head.bypasses] == [(3, f"3 places {why}")]
    assert (await now_of(booking, alone)).state is BookingState.CONFIRMED
    assert (await group_now(booking, small)).state is GroupState.CONFIRMED
    assert [each.reason.partition(" :")[0] for each in (await group_now(booking, too_large)).bypasses] == [
        "3 places, trop peu pour le groupe"
    ]
    assert await told_of(booking, group) == ["requested", "seats_held", "seats_held", "seats_held", "seats_offered", "bypassed"]
    assert await counters(booking, session_id) == (6, 6, 2)
    await nothing_is_wrong(booking)


async def test_W6_what_nobody_in_the_queue_can_use_is_for_whoever_comes_and_new_seats_gather_again(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 6)
    group = await book_group(booking, session_id, 4)
    for seat in seated[:2]:
        await cancel(booking, seat)
    it_is(GATHERED)
    await timers_fire(booking)
    await leave_part(booking, group)
    assert await counters(booking, session_id) == (6, 4, 1)
    await nothing_is_wrong(booking)

    newcomer = await book(booking, session_id)
    assert newcomer.state is BookingState.CONFIRMED, "passed on, not jumped over"
    await cancel(booking, seated[2])
    gathering = await group_now(booking, group)
    assert (seats(gathering), gathering.rank) == ((0, 4, 1), 1)
    await cancel(booking, seated[3])
    await nothing_is_wrong(booking)
    await cancel(booking, seated[4])

    assert (await group_now(booking, group)).state is GroupState.CONFIRMED, "with the seat that was passed on and nobody took"
    assert await counters(booking, session_id) == (6, 6, 0)
    await nothing_is_wrong(booking)


async def test_W6_a_group_that_joins_beside_seats_too_few_for_it_is_told_before_newcomers_take_them(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 6)
    group = await book_group(booking, session_id, 4)
    for seat in seated[:2]:
        await cancel(booking, seat)
    it_is(GATHERED)
    await timers_fire(booking)
    await leave_part(booking, group)

    other = await book_group(booking, session_id, 3)
    assert (other.rank, [each.reason.partition(" :")[0] for each in other.bypasses]) == (2, ["2 places, trop peu pour le groupe"])
    assert await told_of(booking, other) == ["requested", "bypassed"]
    assert (await book(booking, session_id)).state is BookingState.CONFIRMED
    assert (await book_group(booking, session_id, 2, partial=True)).state is GroupState.PARTLY_CONFIRMED
    await nothing_is_wrong(booking)


async def test_W6_in_the_last_week_nothing_gathers_and_a_part_is_offered_at_once(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 6, now=VISIT - timedelta(days=7))
    group = await book_group(booking, session_id, 4)

    await cancel(booking, seated[0])

    offered = await group_now(booking, group)
    assert offered.offer is not None
    assert (offered.offer.seats, offered.offer.deadline) == (1, paris(2027, 5, 13, 18))
    await cancel(booking, seated[1])
    more = await group_now(booking, group)
    assert more.offer is not None
    assert (more.offer.seats, more.offer.deadline) == (2, offered.offer.deadline), "what comes meanwhile is part of it"
    assert seats(await take_part(booking, group)) == (2, 2, 0)
    await nothing_is_wrong(booking)


async def test_W6_accept_after_the_deadline_is_too_late(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 14)
    it_is(GATHERED)
    await timers_fire(booking)
    it_is(paris(2027, 5, 4, 14))

    for answer in (take_part, leave_part):
        with pytest.raises(GroupOfferExpired):
            await answer(booking, group)

    assert await timers_fire(booking) == 1
    assert seats(await group_now(booking, group)) == (0, 14, 0)
    await nothing_is_wrong(booking)


async def test_W4_a_session_brought_forward_keeps_no_seat_past_its_cut_off(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 6)
    group = await book_group(booking, session_id, 4)
    await cancel(booking, seated[0])
    about: dict[str, Any] = {"capacity": 6, "activity_type": LABTOUR, "private": True}

    await hear(booking, catalog_says(session_id, version=2, starts_at=paris(2027, 5, 6, 14), **about))
    assert (await group_now(booking, group)).holds_until == paris(2027, 4, 29, 14)
    for each in seated[1:]:
        await confirm(booking, each)
    it_is(paris(2027, 4, 29, 14))
    await timers_fire(booking)
    await hear(booking, catalog_says(session_id, version=3, starts_at=paris(2027, 4, 30, 16), **about))
    shortened = (await group_now(booking, group)).offer
    assert shortened is not None
    assert shortened.deadline == paris(2027, 4, 29, 16)
    await nothing_is_wrong(booking)
    await hear(booking, catalog_says(session_id, version=4, starts_at=paris(2027, 4, 30, 10), **about))

    assert seats(await group_now(booking, group)) == (0, 4, 0)
    assert await counters(booking, session_id) == (6, 5, 1)
    await nothing_is_wrong(booking)


# --- races --------------------------------------------------------------------------------------------------------------------------


async def test_G1_a_group_and_fifty_agents_at_once(booking: Database) -> None:
    """Whatever came first: nobody too many, the group whole or waiting with what is kept, agents in the order of their numbers."""
    for size in (6, 12):
        session_id = await given_visit(booking)

        group, answers = await gather(
            book_group(booking, session_id, size),
            gather(*(book_together(booking, [an_order(session_id) for _ in range(5)]) for _ in range(10))),
        )

        agents = [each for some in answers for each in some if isinstance(each, Booking)]
        assert len(agents) == 50
        given, awaited, held = seats(await group_now(booking, group))
        assert (given, awaited) in {(size, 0), (0, size)}, "never a part"
        assert held == 0 or awaited
        seated = sum(each.state is BookingState.CONFIRMED for each in agents)
        assert seated + given + held == 12
        await nothing_is_wrong(booking, session_id)


async def test_W6_fourteen_gather_while_agents_cancel_and_book(booking: Database) -> None:
    session_id, seated = await given_full_visit(booking, 20)
    group = await book_group(booking, session_id, 14)
    answers = await gather(
        *(cancel(booking, seat) for seat in seated[:14]),
        *(book_together(booking, [an_order(session_id) for _ in range(3)]) for _ in range(6)),
    )

    whole = await group_now(booking, group)
    assert (whole.state, seats(whole)) == (GroupState.CONFIRMED, (14, 0, 0))
    newcomers = [each for some in answers if not isinstance(some, Booking) for each in some]
    assert all(isinstance(each, Booking) and each.state is BookingState.WAITING for each in newcomers), "nobody passed the group (B2)"
    assert await counters(booking, session_id) == (20, 20, 18)
    assert (await told_of(booking, group)).count("seats_held") == 13
    await nothing_is_wrong(booking)


async def test_W6_the_contact_accepts_declines_and_the_deadline_comes_at_once(booking: Database) -> None:
    for _ in range(4):
        session_id = await given_visit(booking)
        group = await book_group(booking, session_id, 14)
        behind = await book(booking, session_id)
        it_is(GATHERED)
        await timers_fire(booking)

        answers = await gather(
            take_part(booking, group), leave_part(booking, group), take_part(booking, group), cancel_group(booking, group),
            return_exceptions=True,
        )  # fmt: skip

        assert all(isinstance(each, GroupBooking | GroupOfferUnknown) for each in answers)
        assert (await group_now(booking, group)).state is GroupState.CANCELLED
        assert await told(booking, behind) == ["waitlist_joined", "seat_offer_made"]
        assert await counters(booking, session_id) == (12, 1, 0)
        await nothing_is_wrong(booking, session_id)


async def test_groups_that_share_a_session_take_turns_and_never_more_than_there_are(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=30)

    groups = await gather(*(book_group(booking, session_id, size, partial=size % 2 == 0) for size in range(2, 14)))

    now = [await group_now(booking, each) for each in groups]
    assert sum(sum(seats(each)[::2]) for each in now) == 30
    waiting = sorted((each for each in now if each.seats_awaited), key=lambda each: each.session_sequence)
    assert [each.rank for each in waiting] == list(range(1, len(waiting) + 1))
    assert all(each.seats_held == 0 for each in waiting[1:])
    await nothing_is_wrong(booking)
    await gather(*(cancel_group(booking, each) for each in groups))
    assert await counters(booking, session_id) == (30, 0, 0)
    await nothing_is_wrong(booking)

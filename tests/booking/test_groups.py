"""Groups on real rows: seats at once or kept in the queue, a part offered, seats passed on (G1, G4, W6)."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.groups.domain import GroupCannotGrow, GroupExists, GroupNotActive, GroupTooLarge, GroupUnknown
from services.booking.seats.refusals import BookingClosed, SessionIsCancelled, SessionNotReady
from shared.contracts.booking import BookingState
from shared.contracts.catalog import ActivityType
from shared.contracts.groups import AcceptGroupOffer, BookGroup, GroupState
from shared.database import Database, constraint_of
from shared.errors import NotAllowed, Refused
from tests.booking.given import (
    ALICE,
    BOB,
    OPERATOR,
    agent,
    book,
    catalog_says,
    counters,
    findings,
    given_session,
    hear,
    it_is,
    nothing_is_wrong,
    now_of,
    told,
)
from tests.booking.group_givens import (
    GATHERED,
    VISIT,
    ask,
    book_group,
    cancel_group,
    given_visit,
    group_now,
    resize,
    seats,
    told_of,
)

LABTOUR = ActivityType.LABTOUR


# --- G1 -----------------------------------------------------------------------------------------------------------------------------


async def test_G1_a_group_that_fits_has_its_seats_at_once(booking: Database) -> None:
    session_id = await given_visit(booking)

    group = await book_group(booking, session_id, 8)

    assert (group.state, seats(group), group.rank) == (GroupState.CONFIRMED, (8, 0, 0), None)
    assert await told_of(booking, group) == ["confirmed"]
    assert await counters(booking, session_id) == (12, 8, 0)
    await nothing_is_wrong(booking)


async def test_G1_all_or_nothing_is_the_default_and_nothing_is_given_of_too_little(booking: Database) -> None:
    session_id = await given_visit(booking)

    group = await book_group(booking, session_id, 14)

    assert (group.state, seats(group), group.rank, group.offer) == (GroupState.WAITING, (0, 14, 12), 1, None)
    assert group.holds_until == GATHERED
    assert group.reason == "rang 1, places libres le 26 avril 2027 à 9 h"
    assert await told_of(booking, group) == ["requested", "seats_held"]
    assert await counters(booking, session_id) == (12, 12, 1), "what is kept counts as held"
    await nothing_is_wrong(booking)


async def test_G1_who_accepts_a_part_has_it_at_once_and_waits_for_the_rest(booking: Database) -> None:
    session_id = await given_visit(booking)

    group = await book_group(booking, session_id, 14, partial=True)
    assert (group.state, seats(group), group.rank) == (GroupState.PARTLY_CONFIRMED, (12, 2, 0), 1)
    behind = await book(booking, session_id)
    assert behind.rank == 2
    await hear(booking, catalog_says(session_id, version=2, capacity=13, starts_at=VISIT, activity_type=LABTOUR, private=True))
    assert seats(await group_now(booking, group)) == (13, 1, 0)
    await hear(booking, catalog_says(session_id, version=3, capacity=15, starts_at=VISIT, activity_type=LABTOUR, private=True))

    whole = await group_now(booking, group)
    assert (whole.state, seats(whole), whole.rank) == (GroupState.CONFIRMED, (14, 0, 0), None)
    assert await told_of(booking, group) == ["confirmed", "confirmed", "confirmed"]
    assert await told(booking, behind) == ["waitlist_joined", "seat_offer_made"]
    await nothing_is_wrong(booking)


# --- G4 -----------------------------------------------------------------------------------------------------------------------------


async def test_G4_groups_together_take_half_of_an_open_session_and_all_of_a_private_one(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=13, private=False)
    with pytest.raises(GroupTooLarge) as refused:
        await book_group(booking, session_id, 7)
    assert refused.value.members == {"most": 6}
    first = await book_group(booking, session_id, 4)
    with pytest.raises(GroupTooLarge) as second:
        await book_group(booking, session_id, 3)
    assert second.value.members == {"most": 2}
    await book_group(booking, session_id, 2)
    with pytest.raises(GroupTooLarge):
        await resize(booking, first, 5)

    await hear(booking, catalog_says(session_id, version=2, capacity=13, starts_at=VISIT, activity_type=LABTOUR, private=True))

    assert seats(await resize(booking, first, 11)) == (11, 0, 0)
    await nothing_is_wrong(booking)


# --- resizing, cancelling -----------------------------------------------------------------------------------------------------------


async def test_a_smaller_group_gives_up_what_it_awaits_first_and_is_whole_when_the_rest_is_kept(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 14)
    behind = await book(booking, session_id)

    whole = await resize(booking, group, 12)
    assert (whole.state, seats(whole), whole.seats_needed) == (GroupState.CONFIRMED, (12, 0, 0), 12)
    smaller = await resize(booking, group, 9)

    assert seats(smaller) == (9, 0, 0)
    assert await told_of(booking, group) == ["requested", "seats_held", "resized", "confirmed", "resized"]
    assert await told(booking, behind) == ["waitlist_joined", "seat_offer_made"]
    assert await counters(booking, session_id) == (12, 10, 0)
    await nothing_is_wrong(booking)


async def test_a_group_grows_into_seats_that_are_free_and_never_before_those_who_wait(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 8)

    assert seats(await resize(booking, group, 11)) == (11, 0, 0)
    with pytest.raises(GroupCannotGrow) as refused:
        await resize(booking, group, 13)
    assert refused.value.members == {"seats_free": 1}

    await book(booking, session_id)
    await book(booking, session_id)
    with pytest.raises(GroupCannotGrow):
        await resize(booking, group, 12)
    it_is(VISIT - timedelta(hours=23))
    with pytest.raises(BookingClosed):
        await resize(booking, group, 12)
    await nothing_is_wrong(booking)


async def test_a_group_that_is_cancelled_serves_the_queue(booking: Database) -> None:
    session_id = await given_visit(booking, kind=ActivityType.INNOVATION_THURSDAY)
    group = await book_group(booking, session_id, 14, partial=True)
    queue = [await book(booking, session_id) for _ in range(3)]

    over = await cancel_group(booking, group)

    assert (over.state, seats(over), over.rank) == (GroupState.CANCELLED, (0, 0, 0), None)
    assert [(await now_of(booking, each)).state for each in queue] == [BookingState.CONFIRMED] * 3
    assert await counters(booking, session_id) == (12, 3, 0)
    with pytest.raises(GroupNotActive):
        await cancel_group(booking, group)
    with pytest.raises(GroupNotActive):
        await resize(booking, group, 2)
    again = await book_group(booking, session_id, 2, contact=group.contact_agent_id)
    assert again.group_id != group.group_id
    await nothing_is_wrong(booking)


async def test_W7_a_cancelled_session_closes_its_groups_and_their_contacts_come_first_next_time(booking: Database) -> None:
    activity = uuid4()
    session_id = await given_session(booking, capacity=6, activity_id=activity, private=True)
    group = await book_group(booking, session_id, 4, contact=ALICE)
    waits = await book_group(booking, session_id, 5)
    await hear(booking, catalog_says(session_id, version=2, capacity=6, status="cancelled", activity_id=activity))

    for each in (group, waits):
        closed = await group_now(booking, each)
        assert (closed.state, seats(closed), closed.reason) == (GroupState.CLOSED, (0, 0, 0), "séance annulée : intervenant souffrant")
    assert await counters(booking, session_id) == (6, 0, 0)
    with pytest.raises(SessionIsCancelled):
        await book_group(booking, session_id, 2)
    other = await given_session(booking, capacity=1, activity_id=activity)
    await book(booking, other)
    await book(booking, other)
    assert (await book(booking, other, ALICE)).rank == 1
    await nothing_is_wrong(booking)


# --- who may ------------------------------------------------------------------------------------------------------------------------


async def test_another_agents_group_does_not_exist_and_the_lab_may_act_for_its_contact(booking: Database) -> None:
    session_id = await given_visit(booking)
    with pytest.raises(NotAllowed):
        await ask(booking, BookGroup(session_id=session_id, contact_agent_id=ALICE, seats_needed=3), agent(BOB))
    with pytest.raises(SessionNotReady):
        await book_group(booking, uuid4(), 3)
    group = await ask(booking, BookGroup(session_id=session_id, contact_agent_id=ALICE, seats_needed=3), OPERATOR)
    with pytest.raises(GroupUnknown):
        await ask(booking, AcceptGroupOffer(group_id=group.group_id), agent(BOB))
    with pytest.raises(GroupUnknown):
        await ask(booking, AcceptGroupOffer(group_id=uuid4()), OPERATOR)
    with pytest.raises(GroupExists) as twice:
        await book_group(booking, session_id, 2, contact=ALICE)
    assert twice.value.members == {"group_id": str(group.group_id)}


# --- what the database swears, and what the audit sees ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("by_hand", "constraint"),
    [
        ("update group_booking set choice = 'partial'", "group_never_silently_partial"),
        ("update group_booking set seats_held = 15", "group_holds_no_more_than_it_awaits"),
        ("update group_booking set holds_until = null", "group_holds_end"),
        ("update group_booking set state = 'cancelled'", "group_over_has_nothing"),
        ("update session set passed = 1", "session_passed_seats_are_free"),
        ("update group_booking set offered_at = now()", "group_offer_whole"),
    ],
)
async def test_the_database_refuses_what_no_rule_of_groups_allows(booking: Database, by_hand: str, constraint: str) -> None:
    await book_group(booking, await given_visit(booking), 14)

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(text(by_hand))

    assert constraint_of(refused.value) == constraint


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("update group_booking set seats_held = seats_held - 1", "held_is_not_the_number_of_seats_given"),
        ("update group_booking set session_sequence = 99", "a_place_from_the_future"),
        ("update session set waiting = waiting - 1", "waiting_is_not_the_length_of_the_queue"),
        ("delete from timer", "an_offer_that_nothing_ends"),
        ("update booking set session_sequence = 1; update group_booking set session_sequence = 9", "seated_before_one_who_waited_longer"),
        ("update session set held = held - 1; update group_booking set seats_held = seats_held - 1", "a_free_seat_and_a_queue"),
    ],
)
async def test_the_audit_sees_groups(booking: Database, damage: str, finding: str) -> None:
    session_id = await given_visit(booking)
    await book_group(booking, session_id, 14)
    await book(booking, session_id)
    await nothing_is_wrong(booking)

    async with booking.begin() as tx:
        for statement in ("update session set sequence = 10", *damage.split(";")):
            await tx.execute(text(statement))

    assert finding in await findings(booking)


async def test_a_refused_group_leaves_no_trace(booking: Database) -> None:
    session_id = await given_visit(booking, private=False)
    before = await counters(booking, session_id)

    with pytest.raises(Refused):
        await book_group(booking, session_id, 10)

    assert await counters(booking, session_id) == before
    await nothing_is_wrong(booking)

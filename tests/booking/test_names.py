"""Names on the seats of a group, on real rows: who has them, until when they may have none, who takes one over (G2, G3)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.booking.attendance import store as attendance
from services.booking.groups.domain import GroupHasMoreNames, GroupNotActive, GroupUnknown
from services.booking.groups.store import NAMES_DUE as KIND
from services.booking.names import handlers as names
from services.booking.names.domain import NamedElsewhere, TooManyNames
from services.booking.seats.refusals import AlreadyBooked, SessionStarted
from shared.contracts.booking import Booking, BookingState, PendingState
from shared.contracts.catalog import ActivityType
from shared.contracts.groups import GroupBooking, GroupState
from shared.database import Database
from shared.errors import Refused
from shared.timers import Timer
from tests.booking.given import (
    ALICE,
    BOB,
    CAROL,
    OPERATOR,
    accept,
    agent,
    book,
    cancel,
    catalog_says,
    counters,
    findings,
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
    MONDAY,
    VISIT,
    a_member,
    book_group,
    cancel_group,
    given_visit,
    group_now,
    name_seats,
    named,
    resize,
    seats,
    told_of,
)

TALK = ActivityType.INNOVATION_THURSDAY
NAMES_DUE = paris(2027, 5, 12, 14)
"""Five working days before Thursday 20 May 2027, 14:00: Whit Monday is the 17th."""
REMINDED = paris(2027, 5, 10, 14)


async def place_of(database: Database, session_id: UUID, agent_id: UUID) -> tuple[UUID, str]:
    async with database.connect() as connection:
        statement = text(
            """
            select booking_id, state from booking
            where session_id = :session_id and agent_id = :agent_id and state in ('confirmed', 'waiting')
            """
        )
        row = (await connection.execute(statement, {"session_id": session_id, "agent_id": agent_id})).one()
        return row.booking_id, row.state


# --- naming -------------------------------------------------------------------------------------------------------------------------


async def test_G2_a_name_is_the_booking_of_an_agent_and_takes_no_further_seat(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 5)

    after = await name_seats(booking, group, ALICE, BOB)

    assert (after.seats_unnamed, after.seats_named, after.state) == (3, 2, GroupState.CONFIRMED)
    assert {member.agent_id for member in after.members} == {ALICE, BOB}
    assert await counters(booking, session_id) == (12, 5, 0)
    assert await told_of(booking, group) == ["confirmed", "seats_named"]
    with pytest.raises(AlreadyBooked):
        await book(booking, session_id, ALICE)
    with pytest.raises(GroupHasMoreNames):
        await resize(booking, group, 1)
    await nothing_is_wrong(booking)


async def test_G2_naming_again_who_is_there_changes_nothing_and_too_many_names_name_nobody(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 3)
    await name_seats(booking, group, ALICE, BOB)

    again = await name_seats(booking, group, ALICE, BOB)
    with pytest.raises(TooManyNames) as refused:
        await name_seats(booking, group, BOB, CAROL, uuid4())

    assert refused.value.members == {"seats_unnamed": 1}
    assert again.version == 2
    assert await named(booking, group) == {ALICE, BOB}
    await nothing_is_wrong(booking)


async def test_G2_only_the_contact_and_the_lab_name_and_each_agent_is_in_one_group(booking: Database) -> None:
    session_id = await given_visit(booking)
    group, other = await book_group(booking, session_id, 3), await book_group(booking, session_id, 3)
    with pytest.raises(GroupUnknown):
        await name_seats(booking, group, ALICE, caller=agent(ALICE))
    await name_seats(booking, group, ALICE, caller=OPERATOR)
    with pytest.raises(NamedElsewhere) as refused:
        await name_seats(booking, other, BOB, ALICE)
    assert refused.value.members == {"agent_id": str(ALICE)}
    it_is(VISIT)
    with pytest.raises(SessionStarted):
        await name_seats(booking, group, BOB)
    await nothing_is_wrong(booking)


async def test_A1_who_is_named_is_on_the_attendance_sheet_as_anybody_is(booking: Database) -> None:
    session_id = await given_visit(booking)
    group, alone = await book_group(booking, session_id, 3), await book(booking, session_id)
    await name_seats(booking, group, ALICE)

    async with booking.connect() as connection:
        expected = {each.agent_id for each in await attendance.roll(connection, session_id)}

    assert expected == {ALICE, alone.agent_id}


async def test_G2_a_member_who_cancels_gives_the_seat_to_the_queue(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=3, kind=TALK)
    group = await book_group(booking, session_id, 3)
    waits = await book(booking, session_id)
    member = await a_member(booking, group, ALICE)

    await cancel(booking, member)

    assert (await now_of(booking, waits)).state is BookingState.CONFIRMED
    assert seats(await group_now(booking, group)) == (2, 0, 0)
    await nothing_is_wrong(booking)


async def test_G2_a_cancelled_group_takes_its_members_along_and_none_of_them_was_late(booking: Database) -> None:
    session_id = await given_visit(booking, kind=TALK)
    group = await book_group(booking, session_id, 5)
    member = await a_member(booking, group, ALICE)
    it_is(VISIT - timedelta(hours=3))  # past the cut-off of N1
    await cancel_group(booking, group)

    over = await now_of(booking, member)

    assert (over.state, over.reason) == (
        BookingState.CANCELLED_BY_AGENT,
        "l'inscription de votre groupe a été annulée par son contact, le 20 mai 2027 à 11 h",
    )
    assert await counters(booking, session_id) == (12, 0, 0)
    with pytest.raises(GroupNotActive):
        await name_seats(booking, group, BOB)
    await nothing_is_wrong(booking)


async def test_W7_a_cancelled_session_ends_the_seats_that_have_names(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 5)
    member = await a_member(booking, group, ALICE)

    await hear(booking, catalog_says(session_id, version=2, status="cancelled", starts_at=VISIT))

    assert (await now_of(booking, member)).state is BookingState.CANCELLED_BY_LAB
    assert await counters(booking, session_id) == (10, 0, 0)
    await nothing_is_wrong(booking)


# --- G3 -----------------------------------------------------------------------------------------------------------------------------


async def test_G3_who_had_a_seat_keeps_it_as_one_of_the_group_and_one_seat_is_free_for_the_queue(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=4, kind=TALK)
    alone = await book(booking, session_id, ALICE)
    group = await book_group(booking, session_id, 3)
    waits = await book(booking, session_id)

    after = await name_seats(booking, group, ALICE)

    assert (after.seats_unnamed, after.seats_named) == (2, 1)
    assert after.members[0].booking_id == alone.booking_id
    assert (await now_of(booking, waits)).state is BookingState.CONFIRMED
    assert await told(booking, alone) == ["booking_confirmed", "booking_joined_group"]
    assert await counters(booking, session_id) == (4, 4, 0)
    await nothing_is_wrong(booking)


async def test_G3_a_question_about_the_agents_own_seat_ends_with_it(booking: Database) -> None:
    it_is(MONDAY)
    session_id = await given_session(booking, capacity=4, starts_at=VISIT, kind=TALK, needs_approval=True)
    alone = await book(booking, session_id, ALICE, manager_id=uuid4())
    group = await book_group(booking, session_id, 2)
    assert alone.pending
    assert alone.pending.state is PendingState.OPEN

    await name_seats(booking, group, ALICE)

    after = await now_of(booking, alone)
    assert after.pending
    assert (after.state, after.pending.state) == (BookingState.CONFIRMED, PendingState.CLOSED)
    it_is(alone.pending.deadline)
    await timers_fire(booking)
    assert await counters(booking, session_id) == (4, 2, 0)
    await nothing_is_wrong(booking)


@pytest.mark.parametrize("offered", [False, True])
async def test_G3_who_waited_or_is_offered_a_seat_has_the_groups_and_nothing_else(booking: Database, offered: bool) -> None:
    session_id = await given_visit(booking, capacity=4)
    group = await book_group(booking, session_id, 3)
    last = await book(booking, session_id)
    waits, behind = await book(booking, session_id, ALICE), await book(booking, session_id)
    if offered:
        await cancel(booking, last)

    await name_seats(booking, group, ALICE)

    place, state = await place_of(booking, session_id, ALICE)
    assert (place != waits.booking_id, state) == (True, "confirmed")
    assert (await now_of(booking, waits)).state is BookingState.LEFT
    assert ((await now_of(booking, behind)).offer is not None) == offered
    with pytest.raises(Refused):
        await accept(booking, waits)
    assert await counters(booking, session_id) == (4, 4, 0 if offered else 1)
    await nothing_is_wrong(booking)


async def test_G3_of_naming_and_an_agents_own_booking_at_once_one_place_is_made(booking: Database) -> None:
    for _ in range(8):
        agent_id = uuid4()
        session_id = await given_visit(booking)
        group = await book_group(booking, session_id, 3)

        _, own = await gather(name_seats(booking, group, agent_id), book(booking, session_id, agent_id), return_exceptions=True)

        place, state = await place_of(booking, session_id, agent_id)
        assert state == "confirmed"
        assert isinstance(own, AlreadyBooked) or (isinstance(own, Booking) and own.booking_id == place)
        assert await counters(booking, session_id) == (12, 3, 0)
        assert await named(booking, group) == {agent_id}
    await nothing_is_wrong(booking)


async def test_G3_two_groups_that_name_one_agent_at_once_have_them_once(booking: Database) -> None:
    session_id = await given_visit(booking)
    groups = [await book_group(booking, session_id, 3) for _ in range(4)]

    answers = await gather(*(name_seats(booking, group, ALICE) for group in groups), return_exceptions=True)

    assert sum(isinstance(answer, GroupBooking) for answer in answers) == 1
    assert sum(isinstance(answer, NamedElsewhere) for answer in answers) == 3
    assert await counters(booking, session_id) == (12, 12, 0)
    await nothing_is_wrong(booking)


# --- the date -----------------------------------------------------------------------------------------------------------------------


async def test_G2_the_contact_is_reminded_and_seats_without_a_name_go_to_the_queue_five_working_days_before(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=5, kind=TALK)
    group = await book_group(booking, session_id, 5)
    queue = [await book(booking, session_id) for _ in range(4)]
    assert group.names_due_at == NAMES_DUE
    await name_seats(booking, group, ALICE, BOB)

    it_is(REMINDED)
    await timers_fire(booking)
    assert await told_of(booking, group) == ["confirmed", "seats_named", "names_due"]
    it_is(NAMES_DUE - timedelta(seconds=1))
    await timers_fire(booking)
    assert seats(await group_now(booking, group)) == (5, 0, 0)
    it_is(NAMES_DUE)
    await timers_fire(booking)

    left = await group_now(booking, group)
    assert (left.state, seats(left), left.reason) == (
        GroupState.CONFIRMED,
        (2, 0, 0),
        "3 places sans nom : aux suivants le 12 mai 2027 à 14 h",
    )
    assert [(await now_of(booking, each)).state.value for each in queue] == ["confirmed"] * 3 + ["waiting"]
    assert await told_of(booking, group) == ["confirmed", "seats_named", "names_due", "seats_released"]
    await nothing_is_wrong(booking)


async def test_G2_a_group_that_names_nobody_is_over_and_leaves_the_queue(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=4)
    group = await book_group(booking, session_id, 6, partial=True)

    it_is(NAMES_DUE)
    await timers_fire(booking)

    left = await group_now(booking, group)
    assert (left.state, seats(left), left.rank) == (GroupState.RELEASED, (0, 0, 0), None)
    assert await counters(booking, session_id) == (4, 0, 0)
    assert (await book_group(booking, session_id, 2, contact=group.contact_agent_id)).state is GroupState.CONFIRMED
    await nothing_is_wrong(booking)


async def test_G2_a_group_that_named_everybody_is_neither_reminded_nor_released(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 2)
    await name_seats(booking, group, ALICE, BOB)

    it_is(NAMES_DUE)
    await timers_fire(booking)

    assert await told_of(booking, group) == ["confirmed", "seats_named"]
    assert await counters(booking, session_id) == (12, 2, 0)


async def test_G2_seats_that_come_after_the_date_have_as_long_as_an_offer(booking: Database) -> None:
    """A group booked on the Tuesday before, 50 hours ahead: 4 working hours (W2)."""
    session_id = await given_visit(booking)
    it_is(paris(2027, 5, 18, 12))
    group = await book_group(booking, session_id, 3)

    assert group.names_due_at == paris(2027, 5, 18, 16)
    it_is(paris(2027, 5, 18, 16))
    await timers_fire(booking)

    assert (await group_now(booking, group)).state is GroupState.RELEASED
    await nothing_is_wrong(booking)


async def test_G2_more_seats_never_bring_the_date_of_the_others_forward(booking: Database) -> None:
    """16 working hours on the eighth day before, 4 on the seventh (W2): the first ones keep theirs."""
    session_id = await given_visit(booking, kind=TALK)
    it_is(paris(2027, 5, 12, 18))
    group = await book_group(booking, session_id, 3)
    first = group.names_due_at
    it_is(paris(2027, 5, 13, 14, 30))

    assert (await resize(booking, group, 5)).names_due_at == first


async def test_G2_a_session_that_moves_asks_for_names_by_another_date(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 3)

    later = VISIT + timedelta(days=7)
    await hear(booking, catalog_says(session_id, version=2, starts_at=later, activity_type=ActivityType.LABTOUR, private=True))

    assert (await group_now(booking, group)).names_due_at == paris(2027, 5, 20, 14)
    it_is(NAMES_DUE)
    await timers_fire(booking)
    assert seats(await group_now(booking, group)) == (3, 0, 0)
    it_is(paris(2027, 5, 20, 14))
    await timers_fire(booking)
    assert (await group_now(booking, group)).state is GroupState.RELEASED
    await nothing_is_wrong(booking)


async def test_G2_a_timer_of_a_date_that_has_changed_releases_nothing(booking: Database) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 3)
    timer = Timer(f"group/{group.group_id}/names", KIND, MONDAY, {"group_id": str(group.group_id)})

    async with booking.begin() as tx:
        await names.release_unnamed_seats(timer, tx)

    assert seats(await group_now(booking, group)) == (3, 0, 0)


async def test_G2_of_the_date_and_a_name_at_once_the_lock_decides(booking: Database) -> None:
    for _ in range(6):
        agent_id = uuid4()
        session_id = await given_visit(booking)
        group = await book_group(booking, session_id, 3)
        it_is(NAMES_DUE)

        answer, _ = await gather(name_seats(booking, group, agent_id), timers_fire(booking), return_exceptions=True)

        left = await group_now(booking, group)
        if isinstance(answer, GroupBooking):
            assert (left.state, seats(left)) == (GroupState.CONFIRMED, (1, 0, 0))
        else:
            assert isinstance(answer, GroupNotActive)
            assert (left.state, seats(left)) == (GroupState.RELEASED, (0, 0, 0))
        assert (await counters(booking, session_id))[1] == left.seats_named
    await nothing_is_wrong(booking)


# --- the audit ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "finding"),
    [
        ("delete from timer where key like '%/names'", "seats_without_a_name_that_nothing_ends"),
        (
            "update group_booking set state = 'cancelled', seats_unnamed = 0; update session set held = held - 2",
            "a_seat_of_a_group_that_is_over",
        ),
        ("update session set held = held - 1", "held_is_not_the_number_of_seats_given"),
    ],
)
async def test_the_audit_sees_names(booking: Database, damage: str, finding: str) -> None:
    session_id = await given_visit(booking)
    group = await book_group(booking, session_id, 3)
    await name_seats(booking, group, ALICE)
    await nothing_is_wrong(booking)

    async with booking.begin() as tx:
        for statement in damage.split(";"):
            await tx.execute(text(statement))

    assert finding in await findings(booking)

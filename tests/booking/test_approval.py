"""The line manager's approval on real rows: asked, given, refused, lapsed, and raced for (B7)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.booking.approval.domain import ApprovalAnswered, ApprovalExpired, ApprovalUnknown, LineManagerRequired, NoSeatLeft
from services.booking.seats import handlers
from services.booking.seats.refusals import BookingUnknown, SessionIsCancelled
from shared.bus import Caller
from shared.contracts.booking import Booking, BookingState, GetBooking, PendingKind, PendingState
from shared.contracts.catalog import ActivityType
from shared.database import Database, constraint_of
from shared.errors import NotAllowed, Refused, VersionConflict
from shared.requests import Order
from tests.booking.given import (
    ALICE,
    BOB,
    FRIDAY_EVENING,
    OPERATOR,
    STARTS_AT,
    accept,
    agent,
    an_order,
    approve,
    book,
    book_together,
    cancel,
    catalog_says,
    counters,
    findings,
    given_session,
    hear,
    it_is,
    manager,
    nothing_is_wrong,
    now_of,
    one_waits,
    paris,
    refuse,
    timers_fire,
    told,
)
from tests.booking.group_givens import book_group, group_now, leave_part

TRAINING = ActivityType.TRAINING
CHIEF = uuid4()
MONDAY = paris(2027, 3, 1, 9)
THURSDAY_9 = paris(2027, 3, 4, 9)
"""Three working days after Monday, 1 March, 9:00."""


async def given_a_demanding_session(database: Database, *, capacity: int = 1, kind: ActivityType = TRAINING) -> UUID:
    """On Monday 1 March; it takes place on Thursday 18 March 2027, 14:00."""
    it_is(MONDAY)
    return await given_session(database, capacity=capacity, starts_at=STARTS_AT, kind=kind, needs_approval=True)


async def apply(database: Database, session_id: UUID, agent_id: UUID | None = None) -> Booking:
    return await book(database, session_id, agent_id, CHIEF)


def question(booking: Booking) -> tuple[str, str] | None:
    return booking.pending and (booking.pending.kind.value, booking.pending.state.value)


async def test_B7_a_seat_is_held_for_three_working_days_while_the_line_manager_is_asked(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)

    place = await apply(booking, session_id)

    assert (place.state, question(place), place.manager_id) == (BookingState.CONFIRMED, ("pending_approval", "open"), CHIEF)
    assert place.pending is not None
    assert place.pending.deadline == THURSDAY_9
    assert place == await now_of(booking, place)
    assert await told(booking, place) == ["booking_approval_requested"], "nobody is told of a seat that is not settled"
    assert await counters(booking, session_id) == (1, 1, 0)
    assert (await apply(booking, session_id)).state is BookingState.WAITING, "the seat is held (B1)"
    await nothing_is_wrong(booking)

    given = await approve(booking, place)

    assert (given.state, question(given)) == (BookingState.CONFIRMED, ("pending_approval", "granted"))
    assert given == await now_of(booking, place)
    assert await told(booking, place) == ["booking_approval_requested", "booking_approved"]
    it_is(THURSDAY_9)
    assert await timers_fire(booking) == 1, "it finds a newer booking"
    assert await counters(booking, session_id) == (1, 1, 1)
    await nothing_is_wrong(booking)


async def test_B7_the_three_days_are_working_days_and_end_before_nobody_could_take_the_seat(booking: Database) -> None:
    it_is(FRIDAY_EVENING)
    far = await given_session(booking, starts_at=STARTS_AT + timedelta(days=14), kind=ActivityType.LABTOUR, needs_approval=True)
    near = await given_session(booking, starts_at=STARTS_AT - timedelta(days=2), kind=ActivityType.LABTOUR, needs_approval=True)

    late, short = await apply(booking, far), await apply(booking, near)

    assert late.pending is not None
    assert short.pending is not None
    assert late.pending.deadline == paris(2027, 3, 17, 18, 30), "the weekend does not count"
    assert short.pending.deadline == paris(2027, 3, 15, 14), "the cut-off of offers comes first (W4)"


async def test_B7_without_a_line_manager_nobody_applies_and_where_none_is_needed_none_is_kept(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    free = await given_session(booking)

    with pytest.raises(LineManagerRequired):
        await book(booking, session_id)

    ordinary = await book(booking, free, ALICE, CHIEF)
    assert (ordinary.manager_id, ordinary.pending) == (None, None)
    assert await told(booking, ordinary) == ["booking_confirmed"]
    assert ordinary == await now_of(booking, ordinary)


async def test_B7_a_refusal_leaves_no_trace_and_serves_the_queue_in_the_same_transaction(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    place, head = await apply(booking, session_id), await apply(booking, session_id)

    over = await refuse(booking, place)

    assert (over.state, question(over)) == (BookingState.CANCELLED_BY_LAB, ("pending_approval", "refused"))
    assert over == await now_of(booking, place)
    offered = await now_of(booking, head)
    assert offered.offer is not None, "a training offers"
    assert await counters(booking, session_id) == (1, 1, 0)
    assert (await apply(booking, session_id, place.agent_id)).state is BookingState.WAITING, "who was refused may apply again (B4)"
    await nothing_is_wrong(booking)


async def test_B7_silence_gives_the_seat_to_the_queue_and_says_so(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    place, head = await apply(booking, session_id), await apply(booking, session_id)
    it_is(THURSDAY_9 - timedelta(seconds=5))
    assert await timers_fire(booking) == 0

    it_is(THURSDAY_9)
    assert await timers_fire(booking) == 1

    over = await now_of(booking, place)
    assert (over.state, question(over)) == (BookingState.CANCELLED_BY_LAB, ("pending_approval", "expired"))
    assert over.reason == "votre responsable n'a pas répondu avant le 4 mars 2027 à 9 h"
    assert await told(booking, place) == ["booking_approval_requested", "booking_released"]
    assert (await now_of(booking, head)).offer is not None
    with pytest.raises(ApprovalExpired):
        await approve(booking, over)
    await nothing_is_wrong(booking)


async def test_B7_who_accepts_an_offer_or_is_promoted_awaits_the_approval_too(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    talk = await given_session(booking, capacity=1, starts_at=STARTS_AT, kind=ActivityType.INNOVATION_THURSDAY, needs_approval=True)
    for each in (session_id, talk):
        await cancel(booking, (await apply(booking, each), await apply(booking, each))[0])
    async with booking.connect() as connection:
        ids = await connection.scalars(text("select booking_id from booking where state in ('waiting', 'confirmed') order by booked_at"))
        offered, promoted = [await handlers.get_booking(GetBooking(booking_id=id_), OPERATOR, booking) for id_ in ids]

    accepted = await accept(booking, offered)

    assert (question(accepted), accepted.offer and accepted.offer.state) == (("pending_approval", "open"), "accepted")
    assert accepted == await now_of(booking, offered)
    assert await told(booking, offered) == ["waitlist_joined", "seat_offer_made", "booking_approval_requested"]
    assert (question(promoted), promoted.reason) == (("pending_approval", "open"), "rang 1, place libérée le 1er mars 2027 à 9 h")
    assert await told(booking, promoted) == ["waitlist_joined", "booking_approval_requested"]
    await nothing_is_wrong(booking)


async def test_B7_W6_a_seat_that_a_group_passes_on_awaits_the_approval_too(booking: Database) -> None:
    it_is(MONDAY)
    talk = await given_session(booking, capacity=2, starts_at=STARTS_AT, private=True, needs_approval=True)
    seat, _ = await apply(booking, talk), await approve(booking, await apply(booking, talk))
    group, behind = await book_group(booking, talk, 2), await apply(booking, talk)
    await cancel(booking, seat)
    held = await group_now(booking, group)
    assert held.holds_until is not None
    it_is(held.holds_until)
    await timers_fire(booking)

    await leave_part(booking, group)

    assert question(await now_of(booking, behind)) == ("pending_approval", "open")
    assert await told(booking, behind) == ["waitlist_joined", "booking_approval_requested"]
    await nothing_is_wrong(booking)


async def test_B7_an_agent_may_withdraw_at_any_time_without_a_trace(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    place = await apply(booking, session_id)
    it_is(THURSDAY_9 - timedelta(hours=1))
    async with booking.begin() as tx:
        await tx.execute(text("update session set cancellation_cutoff = :past"), {"past": MONDAY})

    over = await cancel(booking, place)

    assert (over.state, question(over)) == (BookingState.CANCELLED_BY_AGENT, ("pending_approval", "closed"))
    assert over == await now_of(booking, place)
    with pytest.raises(ApprovalAnswered) as late:
        await approve(booking, place)
    assert late.value.members == {"state": "closed"}
    assert await counters(booking, session_id) == (1, 0, 0)
    await nothing_is_wrong(booking)


async def test_B7_an_approval_looks_at_the_session_again(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking, capacity=2)
    place = await apply(booking, session_id)
    await apply(booking, session_id)
    await hear(booking, catalog_says(session_id, version=2, capacity=1, starts_at=STARTS_AT, activity_type=TRAINING, needs_approval=True))
    with pytest.raises(NoSeatLeft):
        await approve(booking, place)
    assert question(await now_of(booking, place)) == ("pending_approval", "open"), "it still may be refused, or withdrawn"

    later = STARTS_AT + timedelta(days=7)
    await hear(booking, catalog_says(session_id, version=3, capacity=2, starts_at=later, activity_type=TRAINING, needs_approval=True))
    again = await now_of(booking, place)
    assert (again.version, question(again)) == (2, ("pending_approval", "open"))
    with pytest.raises(VersionConflict):
        await approve(booking, place, expected_version=place.version)
    assert question(await approve(booking, place, expected_version=again.version)) == ("pending_approval", "granted")
    assert await told(booking, place) == ["booking_approval_requested", "booking_approval_requested", "booking_approved"]
    await nothing_is_wrong(booking)


async def test_E2_a_cancelled_session_closes_its_requests(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    place = await apply(booking, session_id)

    await hear(booking, catalog_says(session_id, version=2, starts_at=STARTS_AT, status="cancelled"))

    over = await now_of(booking, place)
    assert (over.state, question(over)) == (BookingState.CANCELLED_BY_LAB, ("pending_approval", "closed"))
    for answer in (approve, refuse):
        with pytest.raises((ApprovalAnswered, SessionIsCancelled)):
            await answer(booking, place)
    await nothing_is_wrong(booking)


async def test_B7_only_who_was_asked_or_the_lab_answers_and_may_look(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking, capacity=2)
    place, other = await apply(booking, session_id, ALICE), await apply(booking, session_id, BOB)
    stranger = Caller(str(uuid4()), frozenset({"line_manager"}))

    for wrong in (agent(ALICE), agent(BOB), stranger):
        for answer in (approve, refuse):
            with pytest.raises(BookingUnknown):
                await answer(booking, place, wrong)
    with pytest.raises(BookingUnknown):
        await handlers.get_booking(GetBooking(booking_id=place.booking_id), stranger, booking)
    assert await handlers.get_booking(GetBooking(booking_id=place.booking_id), manager(place), booking) == place

    assert question(await approve(booking, place, OPERATOR)) == ("pending_approval", "granted")
    with pytest.raises(ApprovalAnswered):
        await refuse(booking, place)
    ordinary = await book(booking, await given_session(booking))
    with pytest.raises(ApprovalUnknown):
        await approve(booking, ordinary, OPERATOR)
    assert question(await refuse(booking, other)) == ("pending_approval", "refused")


# --- races ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("_", range(3))
async def test_B7_answers_and_the_deadline_racing_have_one_outcome(booking: Database, _: int) -> None:
    session_id = await given_a_demanding_session(booking)
    place, head = await apply(booking, session_id), await apply(booking, session_id)
    async with booking.begin() as tx:  # the timer believes that it is due, the clock still lets answers in
        await tx.execute(text("update timer set due_at = :now where key like 'pending/%'"), {"now": MONDAY})

    async def outcome(work: Any) -> bool:
        try:
            await work
        except Refused:
            return False
        return True

    answers = await gather(*(outcome(answer(booking, place)) for answer in (approve, refuse, approve, refuse)), timers_fire(booking))

    after = await now_of(booking, place)
    assert after.version == 2, "one decision was taken"
    assert len(await told(booking, place)) == 2
    assert sum(answers[:4]) + (after.pending is not None and after.pending.state is PendingState.EXPIRED) == 1
    assert ((await now_of(booking, head)).offer is None) == (after.state is BookingState.CONFIRMED)
    await nothing_is_wrong(booking)


async def test_B7_an_approval_that_waits_for_a_smaller_room_sees_it(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking, capacity=2)
    place = await apply(booking, session_id)
    await apply(booking, session_id)
    smaller = catalog_says(session_id, version=2, capacity=1, starts_at=STARTS_AT, activity_type=TRAINING, needs_approval=True)

    async with booking.begin() as holder:
        await holder.execute(text("select 1 from session where session_id = :id for update"), {"id": session_id})
        first = gather(hear(booking, smaller), return_exceptions=True)
        await one_waits(booking)
        second = gather(approve(booking, place), return_exceptions=True)
        await one_waits(booking)
    await first
    (answer,) = await second

    after = await now_of(booking, place)
    assert isinstance(answer, NoSeatLeft) == (after.pending is not None and after.pending.state is PendingState.OPEN)
    await nothing_is_wrong(booking)


# --- booking for others ---------------------------------------------------------------------------------------------------------------


async def test_booking_for_others_is_for_referents_and_the_lab_and_is_recorded(booking: Database) -> None:
    session_id = await given_session(booking)
    referent = Caller(str(BOB), frozenset({"agent", "innovation_referent"}))
    order = an_order(session_id, ALICE)

    (refused,) = await book_together(booking, [Order(order.request, agent(BOB))])
    assert isinstance(refused, NotAllowed)
    (place,) = await book_together(booking, [Order(order.request, referent)])
    (by_lab,) = await book_together(booking, [Order(an_order(session_id).request, OPERATOR)])

    assert isinstance(place, Booking)
    assert isinstance(by_lab, Booking)
    assert (place.booked_by, by_lab.booked_by) == (str(BOB), "operator")
    assert place == await now_of(booking, place)
    with pytest.raises(BookingUnknown):
        await cancel(booking, place, referent)
    assert (await cancel(booking, place)).state is BookingState.CANCELLED_BY_AGENT, "it is the agent's own"


# --- the database's word --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ("delete from timer", "a_question_that_nothing_ends"),
        ("update booking set pending_until = pending_until + interval '90 days'", "a_question_after_the_start"),
        ("update session set held = held - 1", "held_is_not_the_number_of_seats_given"),
    ],
)
async def test_B1_the_audit_sees_a_seat_held_for_ever(booking: Database, fault: str, found: str) -> None:
    session_id = await given_a_demanding_session(booking)
    await apply(booking, session_id)
    assert await findings(booking) == set()

    async with booking.begin() as tx:
        await tx.execute(text(fault))

    assert await findings(booking, session_id) == {found}


async def test_B1_the_database_refuses_a_question_about_a_seat_that_is_not_held(booking: Database) -> None:
    session_id = await given_a_demanding_session(booking)
    place = await apply(booking, session_id)

    with pytest.raises(IntegrityError) as refused:
        async with booking.begin() as tx:
            await tx.execute(text("update booking set state = 'cancelled_by_lab' where booking_id = :id"), {"id": place.booking_id})

    assert constraint_of(refused.value) == "booking_pending_holds_a_seat"
    assert place.pending is not None
    assert place.pending.kind is PendingKind.PENDING_APPROVAL

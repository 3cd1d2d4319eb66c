"""A seat of a group that passes to a colleague, on real rows (G2, G3)."""

from __future__ import annotations

from asyncio import gather
from datetime import timedelta
from uuid import uuid4

import pytest

from services.booking.names.domain import (
    OrgUnitUnknown,
    OtherOrgUnit,
    SeatOfNoGroup,
    TransferTooLate,
)
from services.booking.seats.refusals import BookingNotActive, BookingUnknown
from shared.contracts.booking import Booking, BookingState
from shared.contracts.catalog import ActivityType
from shared.database import Database
from tests.booking.given import (
    ALICE,
    BOB,
    CAROL,
    agent,
    book,
    cancel,
    counters,
    it_is,
    nothing_is_wrong,
    now_of,
    paris,
)
from tests.booking.group_givens import (
    VISIT,
    a_member,
    book_group,
    given_visit,
    named,
    of_units,
    transfer,
)

TALK = ActivityType.INNOVATION_THURSDAY
NAMES_DUE = paris(2027, 5, 12, 14)
"""Five working days before Thursday 20 May 2027, 14:00: Whit Monday is the 17th."""
REMINDED = paris(2027, 5, 10, 14)


@pytest.mark.parametrize("by", ["contact", "agent"])
async def test_G2_a_seat_passes_to_a_colleague_without_the_queue(booking: Database, by: str) -> None:
    session_id = await given_visit(booking, capacity=3, kind=TALK)
    await of_units(booking, {ALICE: "ddt-32", BOB: "ddt-32"})
    group = await book_group(booking, session_id, 3)
    waits = await book(booking, session_id)
    member = await a_member(booking, group, ALICE)
    it_is(VISIT - timedelta(hours=2, seconds=1))

    newcomer = await transfer(booking, member, BOB, agent(group.contact_agent_id if by == "contact" else ALICE))

    assert (newcomer.agent_id, newcomer.state) == (BOB, BookingState.CONFIRMED)
    over = await now_of(booking, member)
    assert over.state is BookingState.CANCELLED_BY_AGENT, "never late"
    assert over.reason == "votre place a été confiée à une autre personne de votre administration, le 20 mai 2027 à 11 h 59"
    assert (await now_of(booking, waits)).rank == 1
    assert await named(booking, group) == {BOB}
    assert await counters(booking, session_id) == (3, 3, 1)
    await nothing_is_wrong(booking)


async def test_G2_a_seat_is_transferred_inside_one_org_unit_until_two_hours_before_and_by_whom_it_concerns(booking: Database) -> None:
    session_id = await given_visit(booking, kind=TALK)
    await of_units(booking, {ALICE: "ddt-32", BOB: "dreal"})
    group = await book_group(booking, session_id, 3)
    member, alone = await a_member(booking, group, ALICE), await book(booking, session_id)
    with pytest.raises(OtherOrgUnit):
        await transfer(booking, member, BOB)
    with pytest.raises(OrgUnitUnknown):
        await transfer(booking, member, CAROL)
    with pytest.raises(SeatOfNoGroup):
        await transfer(booking, alone, BOB)
    with pytest.raises(BookingUnknown):
        await transfer(booking, member, BOB, agent(BOB))
    with pytest.raises(BookingUnknown):
        await transfer(booking, alone, BOB, agent(group.contact_agent_id))
    await of_units(booking, {BOB: "ddt-32"})
    it_is(VISIT - timedelta(hours=2))
    with pytest.raises(TransferTooLate):
        await transfer(booking, member, BOB)
    assert await counters(booking, session_id) == (12, 4, 0)
    await nothing_is_wrong(booking)


async def test_G3_a_colleague_who_has_a_seat_keeps_it_and_the_one_that_is_passed_on_is_free(booking: Database) -> None:
    session_id = await given_visit(booking, capacity=3, kind=TALK)
    await of_units(booking, {ALICE: "ddt-32", BOB: "ddt-32"})
    group = await book_group(booking, session_id, 2)
    own, waits = await book(booking, session_id, BOB), await book(booking, session_id)
    member = await a_member(booking, group, ALICE)

    joined = await transfer(booking, member, BOB)

    assert joined.booking_id == own.booking_id
    assert (await now_of(booking, waits)).state is BookingState.CONFIRMED
    assert await named(booking, group) == {BOB}
    assert await counters(booking, session_id) == (3, 3, 0)
    await nothing_is_wrong(booking)


async def test_G2_of_a_transfer_and_a_cancellation_at_once_one_ends_the_seat(booking: Database) -> None:
    for _ in range(8):
        who, other = uuid4(), uuid4()
        await of_units(booking, {who: "ddt-32", other: "ddt-32"})
        session_id = await given_visit(booking)
        group = await book_group(booking, session_id, 2)
        member = await a_member(booking, group, who)

        moved, gone = await gather(transfer(booking, member, other), cancel(booking, member), return_exceptions=True)

        if isinstance(moved, Booking):
            assert isinstance(gone, BookingNotActive)
            assert await named(booking, group) == {other}
            assert await counters(booking, session_id) == (12, 2, 0)
        else:
            assert isinstance(moved, BookingNotActive)
            assert isinstance(gone, Booking)
            assert await named(booking, group) == set()
            assert await counters(booking, session_id) == (12, 1, 0)
    await nothing_is_wrong(booking)

"""What the tests of groups start from, and how they speak to booking."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from services.booking.groups import handlers, queries
from services.booking.names import handlers as names
from services.booking.names import store as names_store
from services.booking.seats import queries as seats_queries
from shared.bus import Caller
from shared.contracts.booking import Booking
from shared.contracts.catalog import ActivityType
from shared.contracts.gateway import AgentRegistered
from shared.contracts.groups import (
    AcceptGroupOffer,
    BookGroup,
    CancelGroup,
    DeclineGroupOffer,
    GroupBooking,
    GroupChoice,
    ResizeGroup,
)
from shared.contracts.messages import Request
from shared.contracts.names import NameSeats, TransferSeat
from shared.database import Database
from tests.booking.given import OPERATOR, agent, an_order, book_together, given_session, it_is, paris

VISIT = paris(2027, 5, 20, 14)
"""Thursday 20 May 2027, 14:00. Ascension is on the 6th, Whit Monday on the 17th."""
MONDAY = paris(2027, 4, 26, 9)
GATHERED = paris(2027, 5, 3, 9)
"""Five working days after that Monday, 55 working hours."""

HANDLERS: dict[type[Request[GroupBooking]], Any] = {
    BookGroup: handlers.book_group,
    AcceptGroupOffer: handlers.accept_group_offer,
    DeclineGroupOffer: handlers.decline_group_offer,
    ResizeGroup: handlers.resize_group,
    CancelGroup: handlers.cancel_group,
    NameSeats: names.name_seats,
}


async def given_visit(
    database: Database, *, capacity: int = 12, private: bool = True, kind: ActivityType = ActivityType.LABTOUR, now: datetime = MONDAY
) -> UUID:
    """A visit that was made for those who come, three weeks and a half ahead."""
    it_is(now)
    return await given_session(database, capacity=capacity, starts_at=VISIT, kind=kind, private=private)


async def given_full_visit(database: Database, capacity: int = 12, **about: Any) -> tuple[UUID, list[Booking]]:
    session_id = await given_visit(database, capacity=capacity, **about)
    answers = await book_together(database, [an_order(session_id) for _ in range(capacity)])
    return session_id, [answer for answer in answers if isinstance(answer, Booking)]


async def ask(database: Database, request: Request[GroupBooking], caller: Caller) -> GroupBooking:
    """Straight into the handler, in a transaction of its own."""
    async with database.begin() as tx:
        return await HANDLERS[type(request)](request, caller, tx)


async def book_group(
    database: Database, session_id: UUID, seats: int, *, partial: bool = False, contact: UUID | None = None
) -> GroupBooking:
    who = contact or uuid4()
    choice = GroupChoice.PARTIAL if partial else GroupChoice.ALL_OR_NOTHING
    return await ask(database, BookGroup(session_id=session_id, contact_agent_id=who, seats_needed=seats, choice=choice), agent(who))


async def take_part(database: Database, group: GroupBooking) -> GroupBooking:
    return await ask(database, AcceptGroupOffer(group_id=group.group_id), agent(group.contact_agent_id))


async def leave_part(database: Database, group: GroupBooking) -> GroupBooking:
    return await ask(database, DeclineGroupOffer(group_id=group.group_id), agent(group.contact_agent_id))


async def resize(database: Database, group: GroupBooking, seats: int) -> GroupBooking:
    return await ask(database, ResizeGroup(group_id=group.group_id, seats_needed=seats), agent(group.contact_agent_id))


async def cancel_group(database: Database, group: GroupBooking) -> GroupBooking:
    return await ask(database, CancelGroup(group_id=group.group_id), agent(group.contact_agent_id))


async def name_seats(database: Database, group: GroupBooking, *agent_ids: UUID, caller: Caller | None = None) -> GroupBooking:
    return await ask(database, NameSeats(group_id=group.group_id, agent_ids=agent_ids), caller or agent(group.contact_agent_id))


async def booking_now(database: Database, booking_id: UUID) -> Booking:
    async with database.connect() as connection:
        found = await seats_queries.booking(connection, booking_id)
    assert found is not None
    return found


async def transfer(database: Database, booking: Booking, agent_id: UUID, caller: Caller | None = None) -> Booking:
    async with database.begin() as tx:
        return await names.transfer_seat(TransferSeat(booking_id=booking.booking_id, agent_id=agent_id), caller or OPERATOR, tx)


async def of_units(database: Database, units: Mapping[UUID, str]) -> None:
    """What the directory said of these agents."""
    heard = [AgentRegistered(version=1, agent_id=agent_id, org_unit=unit, roles=()) for agent_id, unit in units.items()]
    async with database.begin() as tx:
        await names_store.keep_units(tx, heard)


async def group_now(database: Database, group: GroupBooking) -> GroupBooking:
    async with database.connect() as connection:
        found = await queries.group(connection, group.group_id)
    assert found is not None
    return found


def seats(group: GroupBooking) -> tuple[int, int, int]:
    """Given, awaited, and of those kept for it."""
    return group.seats_unnamed + group.seats_named, group.seats_awaited, group.seats_held


async def told_of(database: Database, group: GroupBooking) -> list[str]:
    """The facts recorded of a group, in the order of their versions, without the words that they all begin with."""
    async with database.connect() as connection:
        subjects = await connection.scalars(
            text("select subject from outbox where aggregate_id = :id order by aggregate_version"), {"id": group.group_id}
        )
        return [subject.split(".")[2].removeprefix("group_").removeprefix("booking_") for subject in subjects]


async def named(database: Database, group: GroupBooking) -> set[UUID]:
    return {member.agent_id for member in (await group_now(database, group)).members}


async def a_member(database: Database, group: GroupBooking, agent_id: UUID) -> Booking:
    after = await name_seats(database, group, agent_id)
    (booking_id,) = [member.booking_id for member in after.members if member.agent_id == agent_id]
    return await booking_now(database, booking_id)

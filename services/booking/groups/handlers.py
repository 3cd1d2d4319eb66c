"""What groups answer, and what ends their holds and offers. As in `seats`: lock the session, decide, record, answer."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.deadlines.france import is_holiday
from services.booking.groups import domain, queries, store
from services.booking.groups.domain import GroupExists, GroupUnknown
from services.booking.groups.store import GROUP_OFFER_EXPIRES, HOLDS_END
from services.booking.names import store as names
from services.booking.names.domain import dismiss
from services.booking.queue import domain as queue
from services.booking.queue.domain import Moment
from services.booking.seats import store as seats_store
from services.booking.seats.deciding import acts_for, agendas_of, record, serve_queue, settle
from services.booking.seats.domain import Change, Session
from services.booking.seats.refusals import SessionNotReady
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.groups import (
    AcceptGroupOffer,
    BookGroup,
    CancelGroup,
    DeclineGroupOffer,
    GetGroup,
    GroupBooking,
    GroupBookingBypassed,
    GroupEvent,
    GroupList,
    GroupState,
    ListGroups,
    ResizeGroup,
)
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests
from shared.timers import Timer, Timers

requests = Requests()
timers = Timers()


# --- orders -----------------------------------------------------------------------------------------------------------


@requests.command(BookGroup)
async def book_group(request: BookGroup, caller: Caller, tx: AsyncConnection) -> GroupBooking:
    """What is free is given or kept as the group chose; the rest waits at its rank (G1, W6)."""
    contact, seats = request.contact_agent_id, request.seats_needed
    if not acts_for(caller, contact):
        raise NotAllowed(f"{caller.actor} books for {contact}")
    if (session := await seats_store.lock_session(tx, request.session_id)) is None:
        raise SessionNotReady(f"session {request.session_id}")
    share, now = await store.share_of(tx, session, contact), clock.now()
    if share.already:
        raise GroupExists(f"agent {contact} has {share.already}", group_id=str(share.already))

    facts = [*domain.request(session, outbox.uuid7(), contact, seats, request.choice, now)]
    domain.check_share(session, seats, share.others, private=share.private)

    await record(tx, session, facts, caller)
    await record(tx, session, await serve_queue(tx, session, "places libres", now), caller)
    return await answer(tx, facts[0].group_id)


@requests.command(ResizeGroup)
async def resize_group(request: ResizeGroup, caller: Caller, tx: AsyncConnection) -> GroupBooking:
    session, group = await lock_group(tx, request.group_id, caller)
    domain.must_be_at(group, request.expected_version)
    now = clock.now()

    facts = [*domain.resize(session, group, request.seats_needed, now)]
    if request.seats_needed > domain.size_of(group):
        share = await store.share_of(tx, session, group.contact_agent_id)
        domain.check_share(session, request.seats_needed, share.others, private=share.private)

    await record(tx, session, facts, caller)
    await record(tx, session, await serve_queue(tx, session, "place libérée", now), caller)
    return await answer(tx, group.group_id)


@requests.command(CancelGroup)
async def cancel_group(request: CancelGroup, caller: Caller, tx: AsyncConnection) -> GroupBooking:
    session, group = await lock_group(tx, request.group_id, caller)
    domain.must_be_at(group, request.expected_version)
    session.must_be_ahead(now := clock.now())

    over = domain.end(session, group, GroupState.CANCELLED, now)
    dismissed = dismiss(session, await names.members(tx, group.group_id), now)

    await record(tx, session, [over, *dismissed], caller)
    await record(tx, session, await serve_queue(tx, session, "place libérée", now), caller)
    return await answer(tx, group.group_id)


@requests.command(AcceptGroupOffer)
async def accept_group_offer(request: AcceptGroupOffer, caller: Caller, tx: AsyncConnection) -> GroupBooking:
    """Whoever has the session's lock first, the contact or the deadline, decides what becomes of the seats."""
    session, group = await lock_group(tx, request.group_id, caller)
    await record(tx, session, [queue.accept(session, group, clock.now())], caller)
    return await answer(tx, group.group_id)


@requests.command(DeclineGroupOffer)
async def decline_group_offer(request: DeclineGroupOffer, caller: Caller, tx: AsyncConnection) -> GroupBooking:
    session, group = await lock_group(tx, request.group_id, caller)
    moment = Moment(clock.now(), is_holiday)

    fact = queue.decline(session, group, moment.now)

    await record(tx, session, await _passed_on(tx, session, fact, moment), caller)
    return await answer(tx, group.group_id)


@timers.on(HOLDS_END)
async def offer_what_is_held(timer: Timer, tx: AsyncConnection) -> None:
    """The group did not fit in time: its contact is asked about the seats that are kept (W6)."""
    session, group = await lock(tx, UUID(timer.payload["group_id"]))
    moment = Moment(clock.now(), is_holiday)
    if group.holds_until and group.holds_until <= moment.now and group.offer is None:
        await record(tx, session, [queue.offer_what_is_held(session, group, moment)], timer)


@timers.on(GROUP_OFFER_EXPIRES)
async def expire_group_offer(timer: Timer, tx: AsyncConnection) -> None:
    """Nobody answered: the seats go to those behind in the same transaction, and the group keeps its rank (W6)."""
    session, group = await lock(tx, UUID(timer.payload["group_id"]))
    moment = Moment(clock.now(), is_holiday)
    if group.offer and group.offer.deadline <= moment.now:
        fact = queue.expire(session, group, moment.now)
        await record(tx, session, await _passed_on(tx, session, fact, moment), timer)


# --- questions --------------------------------------------------------------------------------------------------------


@requests.query(GetGroup)
async def get_group(request: GetGroup, caller: Caller, database: Database) -> GroupBooking:
    async with database.connect() as connection:
        group = await queries.group(connection, request.group_id)
    if group is None or not acts_for(caller, group.contact_agent_id):
        raise GroupUnknown(f"group {request.group_id}")
    return group


@requests.query(ListGroups)
async def list_groups(request: ListGroups, caller: Caller, database: Database) -> GroupList:
    if not acts_for(caller, request.contact_agent_id):
        raise NotAllowed(f"{caller.actor} lists the groups of {request.contact_agent_id}")
    async with database.connect() as connection:
        return GroupList(groups=await queries.groups_of(connection, request.contact_agent_id, request.limit))


# ----------------------------------------------------------------------------------------------------------------------


async def lock_group(tx: AsyncConnection, group_id: UUID, caller: Caller) -> tuple[Session, GroupBooking]:
    session, group = await lock(tx, group_id)
    if not acts_for(caller, group.contact_agent_id):
        raise GroupUnknown(f"group {group_id}")
    return session, group


async def lock(tx: AsyncConnection, group_id: UUID) -> tuple[Session, GroupBooking]:
    """A group's session, then the group: in this order, as bookings do."""
    session_id = await store.session_of(tx, group_id)
    session = session_id and await seats_store.lock_session(tx, session_id)
    if not session:
        raise GroupUnknown(f"group {group_id}")
    return session, await store.group(tx, group_id)


async def _passed_on(tx: AsyncConnection, session: Session, fact: GroupBookingBypassed, moment: Moment) -> list[Change | GroupEvent]:
    others = [group for group in await store.waiting_groups(tx, session) if group.group_id != fact.group_id]
    heads = await seats_store.heads(tx, session, fact.seats_passed)
    moment = replace(moment, agenda_of=await agendas_of(tx, heads, moment.now))
    shared = [*queue.share_what_was_passed_on(session, queue.in_turn(heads, others), moment)]
    return [fact, *await settle(tx, session, shared, moment.now)]


async def answer(tx: AsyncConnection, group_id: UUID) -> GroupBooking:
    if (group := await queries.group(tx, group_id)) is None:
        raise GroupUnknown(f"group {group_id}")
    return group

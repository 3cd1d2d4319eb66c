"""What names in a group are answered, and what ends seats without one. As in `groups`: lock the session, decide, record, answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.agenda.domain import Agenda
from services.booking.groups import domain as groups
from services.booking.groups import store as groups_store
from services.booking.groups.handlers import answer, lock, lock_group
from services.booking.groups.store import NAMES_DUE, NAMES_REMINDER
from services.booking.names import domain, store
from services.booking.names.domain import Joined, Newcomer, SeatOfNoGroup
from services.booking.pending import store as pending
from services.booking.places.domain import changed, opened
from services.booking.seats import store as seats_store
from services.booking.seats.deciding import acts_for, record, serve_queue
from services.booking.seats.domain import Change, Session
from services.booking.seats.refusals import BookingUnknown
from shared import clock, outbox
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.booking import Booking, BookingConfirmed, WaitlistLeft
from shared.contracts.gateway import AgentChanged, AgentRegistered
from shared.contracts.groups import GroupBooking, GroupEvent
from shared.contracts.names import BookingJoinedGroup, NameSeats, TransferSeat
from shared.requests import Requests
from shared.timers import Timer, Timers

requests = Requests()
events = Consumers()
timers = Timers()


@requests.command(NameSeats)
async def name_seats(request: NameSeats, caller: Caller, tx: AsyncConnection) -> GroupBooking:
    """An agent who books at this moment is before or after, by the session's lock: one place is made of the two (G3)."""
    agendas = await _lock_agents(tx, await groups_store.session_of(tx, request.group_id), request.agent_ids)
    session, group = await lock_group(tx, request.group_id, caller)
    groups.must_be_active(group)
    groups.must_be_at(group, request.expected_version)
    now = clock.now()

    facts = [*domain.name(session, group, await _newcomers(tx, session, agendas), now)]

    await _seat(tx, session, group.group_id, facts, caller)
    await record(tx, session, await serve_queue(tx, session, "place libérée", now), caller)
    return await answer(tx, group.group_id)


@requests.command(TransferSeat)
async def transfer_seat(request: TransferSeat, caller: Caller, tx: AsyncConnection) -> Booking:
    """A cancellation of the same seat at this moment is before, and there is nothing to transfer, or after, and comes too late for it."""
    booking = await seats_store.one_booking(tx, request.booking_id)
    agendas = await _lock_agents(tx, booking and booking.session_id, [request.agent_id])
    locked = await seats_store.lock_session_of(tx, request.booking_id)
    group_id = locked and await store.group_of(tx, request.booking_id)
    group = group_id and await groups_store.group(tx, group_id)
    if not locked or not _may_transfer(caller, locked[1], group or None):
        raise BookingUnknown(f"booking {request.booking_id}")
    if not group:
        raise SeatOfNoGroup(f"booking {request.booking_id}")
    session, leaving = locked
    (newcomer,) = await _newcomers(tx, session, agendas)
    now = clock.now()

    left, joined, gone = domain.transfer(session, leaving, group, newcomer, now)
    domain.must_be_of_one_unit(await store.units(tx, [leaving.agent_id, request.agent_id]), leaving.agent_id, request.agent_id)

    await _seat(tx, session, group.group_id, [*left, joined, gone], caller)
    await record(tx, session, await serve_queue(tx, session, "place libérée", now), caller)
    if isinstance(joined, BookingConfirmed):
        return opened(joined, session, newcomer.agenda)
    return changed(newcomer.place.booking if newcomer.place else leaving, joined)


@timers.on(NAMES_REMINDER)
async def remind_of_names(timer: Timer, tx: AsyncConnection) -> None:
    session, group = await lock(tx, UUID(timer.payload["group_id"]))
    if (fact := domain.remind(session, group, clock.now())) is not None:
        await record(tx, session, [fact], timer)


@timers.on(NAMES_DUE)
async def release_unnamed_seats(timer: Timer, tx: AsyncConnection) -> None:
    """Whoever has the session's lock first, the contact or the date, decides what becomes of the seats (G2)."""
    session, group = await lock(tx, UUID(timer.payload["group_id"]))
    now = clock.now()
    if (fact := domain.release(session, group, now)) is not None:
        await record(tx, session, [fact], timer)
        await record(tx, session, await serve_queue(tx, session, "place libérée", now), timer)


@events.newest("booking-agents", AgentRegistered, AgentChanged)
async def follow_agents(batch: Sequence[Received[AgentRegistered | AgentChanged]], tx: AsyncConnection) -> None:
    await store.keep_units(tx, [received.event for received in batch])


# ----------------------------------------------------------------------------------------------------------------------


async def _lock_agents(tx: AsyncConnection, session_id: UUID | None, agent_ids: Sequence[UUID]) -> Mapping[UUID, Agenda]:
    """Before the session, in the order that bookings take them: what is found of each agent stays so (B5, B10)."""
    if session_id is None:
        return {}
    _, agendas, _ = await seats_store.lock_for_orders(tx, [(session_id, agent_id) for agent_id in agent_ids], clock.now())
    return agendas


async def _newcomers(tx: AsyncConnection, session: Session, agendas: Mapping[UUID, Agenda]) -> list[Newcomer]:
    places = await store.places(tx, session, [*agendas])
    return [Newcomer(agent_id, outbox.uuid7(), places.get(agent_id), agenda) for agent_id, agenda in agendas.items()]


def _may_transfer(caller: Caller, leaving: Booking, group: GroupBooking | None) -> bool:
    return acts_for(caller, leaving.agent_id) or (group is not None and caller.is_agent(group.contact_agent_id))


async def _seat(
    tx: AsyncConnection, session: Session, group_id: UUID, facts: Sequence[Change | Joined | GroupEvent], caller: Caller
) -> None:
    """Places in the queue end before the seats that replace them: an agent has one (B3)."""
    await record(tx, session, [fact for fact in facts if isinstance(fact, WaitlistLeft)], caller)
    await record(tx, session, [fact for fact in facts if not isinstance(fact, WaitlistLeft)], caller)
    joined = [fact for fact in facts if isinstance(fact, BookingConfirmed | BookingJoinedGroup)]
    await store.join(tx, group_id, [fact.booking_id for fact in joined])
    await pending.note(tx, {fact.booking_id: (None, caller.actor) for fact in joined if fact.version == 1})

"""What every decision on a session begins and ends with: its lock, the queue that is served, the facts that are written, timed and said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.agenda.domain import Agenda
from services.booking.agenda.store import try_agendas
from services.booking.approval.domain import ask_first
from services.booking.deadlines.france import is_holiday
from services.booking.groups import store as groups
from services.booking.names import domain as names
from services.booking.pending import store as pending
from services.booking.queue import domain as queue
from services.booking.queue.domain import Moment
from services.booking.seats import store
from services.booking.seats.domain import Change, Fact, Session
from services.booking.seats.refusals import BookingUnknown
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import Booking, PendingEvent, PendingState, SeatOfferMade
from shared.contracts.groups import GroupEvent
from shared.outbox import Causing
from shared.timers import set_timer

OFFER_EXPIRES = "offer_expires"
PENDING_ENDS = "pending_ends"

ServedT = TypeVar("ServedT", bound=Fact | GroupEvent)


async def lock_place(tx: AsyncConnection, booking_id: UUID, caller: Caller) -> tuple[Session, Booking]:
    """For a decision that adds nothing to the agent's agenda."""
    locked = await store.lock_session_of(tx, booking_id)
    if locked is None or not acts_for(caller, locked[1].agent_id):
        raise BookingUnknown(f"booking {booking_id}")
    return locked


async def lock_agent(
    tx: AsyncConnection, booking_id: UUID, caller: Caller, *session_ids: UUID, with_booking: UUID | None = None
) -> tuple[dict[UUID, Session], Agenda, Booking]:
    """For one that does: the agent of a booking, then its session with the others asked for, in the order of their ids."""
    places = [await own_booking(tx, each) for each in (booking_id, with_booking) if each is not None]
    agent_id = places[0].agent_id
    if not acts_for(caller, agent_id):
        raise BookingUnknown(f"booking {booking_id}")
    wanted = [(session_id, agent_id) for session_id in (*(place.session_id for place in places), *session_ids)]
    sessions, agendas, _ = await store.lock_for_orders(tx, wanted, clock.now())
    return sessions, agendas[agent_id], await own_booking(tx, booking_id, agent_id)


async def own_booking(tx: AsyncConnection, booking_id: UUID, agent_id: UUID | None = None) -> Booking:
    booking = await store.one_booking(tx, booking_id)
    if booking is None or agent_id not in (None, booking.agent_id):
        raise BookingUnknown(f"booking {booking_id}")
    return booking


async def serve_queue(tx: AsyncConnection, session: Session, because: str, now: datetime) -> list[Change | GroupEvent]:
    """Give what is free to the agents and the groups that wait; what was decided before is recorded before (W1, W6).

    Groups come to the room: no seat at a distance is theirs (B9).
    """
    free = session.servable(now)
    if not free:
        return []
    heads = await store.heads(tx, session, free)
    line = queue.in_turn(heads, [] if session.remote else await groups.waiting_groups(tx, session))
    moment = Moment(now, is_holiday, because, await agendas_of(tx, heads, now))
    return [*await settle(tx, session, [*queue.share(session, line, moment)], now)]


async def agendas_of(tx: AsyncConnection, heads: Sequence[Booking], now: datetime) -> Callable[[UUID], Agenda | None]:
    """What these agents have, until the end of the transaction; None of one who books at this moment (B5)."""
    found = await try_agendas(tx, [head.agent_id for head in heads], now)
    return {agent_id: each.agenda for agent_id, each in found.items() if each.locked}.get


async def settle(
    tx: AsyncConnection, session: Session, facts: Sequence[ServedT], now: datetime
) -> Sequence[ServedT | BookingApprovalRequested]:
    """Facts that settle seats of those who waited, or ask for the approval that these still need (B7). Groups are not asked."""
    if not session.needs_approval or not facts:
        return facts
    managers = await pending.managers(tx, [fact.booking_id for fact in facts if not isinstance(fact, GroupEvent)])
    return [
        fact if isinstance(fact, GroupEvent) else ask_first(session, fact, managers.get(fact.booking_id), now, is_holiday) for fact in facts
    ]


async def record(tx: AsyncConnection, session: Session, facts: Sequence[Fact | GroupEvent], cause: Causing) -> None:
    """Write the facts, of whichever mode, set what ends them, and say them."""
    session = session.whole
    facts = [names.dated(session, fact, is_holiday) if isinstance(fact, GroupEvent) else fact for fact in facts]
    places = [fact for fact in facts if not isinstance(fact, GroupEvent)]
    await store.record(tx, {session.session_id: session}, places)
    if len(places) < len(facts):
        await groups.record(tx, session, [fact for fact in facts if isinstance(fact, GroupEvent)])
    await set_timers(tx, places)
    await outbox.record(tx, *facts, cause=cause)


async def set_timers(tx: AsyncConnection, facts: Sequence[Fact]) -> None:
    """What ends the offers and the questions among these facts. A timer that an answer made late finds a newer booking."""
    for fact in facts:
        about = {"booking_id": fact.booking_id, "version": fact.version}
        if isinstance(fact, SeatOfferMade):
            await set_timer(tx, f"offer/{fact.booking_id}/{fact.version}", fact.deadline, OFFER_EXPIRES, about)
        elif isinstance(fact, PendingEvent) and fact.pending.state is PendingState.OPEN:
            await set_timer(tx, f"pending/{fact.booking_id}/{fact.version}", fact.pending.deadline, PENDING_ENDS, about)


def acts_for(caller: Caller, agent_id: UUID) -> bool:
    return caller.is_agent(agent_id) or caller.has("operator", "lab_team")

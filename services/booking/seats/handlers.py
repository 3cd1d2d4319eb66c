"""What seats answer and listen to. One who decides locks the session, decides, records, answers; the kernel opens and commits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.agenda.domain import Agenda
from services.booking.approval.domain import ask_first, must_name_a_manager
from services.booking.deadlines.domain import Milestones
from services.booking.deadlines.france import is_holiday
from services.booking.feedback.planning import plan_surveys
from services.booking.groups import store as groups
from services.booking.groups.domain import end
from services.booking.moves.asking import ask_who_still_comes
from services.booking.names.planning import ask_for_names_again
from services.booking.pending import store as pending
from services.booking.pending.domain import without_what_is_the_agents_own
from services.booking.places.domain import changed, must_be_at, opened
from services.booking.priority import store as priority
from services.booking.priority.store import Token
from services.booking.queue import domain as queue
from services.booking.queue.domain import Moment
from services.booking.quorum.planning import plan_decision
from services.booking.quotas import queries as quotas
from services.booking.seats import queries, store
from services.booking.seats.deciding import (
    OFFER_EXPIRES,
    acts_for,
    lock_agent,
    lock_place,
    own_booking,
    record,
    serve_queue,
    set_timers,
    settle,
)
from services.booking.seats.domain import Change, Fact, Opening, Session
from services.booking.seats.refusals import BookingNotActive, BookingUnknown, NoSeatToSwap, SessionNotReady
from services.booking.strikes.planning import plan_confirmations
from shared import clock, outbox
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.agenda import SwapBooking
from shared.contracts.booking import (
    AcceptOffer,
    Booking,
    BookingCancelled,
    BookingConfirmed,
    BookingList,
    BookSeat,
    CancelBooking,
    DeclineOffer,
    GetBooking,
    ListBookings,
    WaitlistJoined,
    WaitlistLeft,
)
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled, SessionState
from shared.contracts.groups import GroupEvent, GroupState
from shared.database import Database
from shared.errors import NotAllowed, Refused
from shared.outbox import Causing
from shared.requests import Order, Requests
from shared.timers import Timer, Timers

requests = Requests()
events = Consumers()
timers = Timers()


# --- orders -----------------------------------------------------------------------------------------------------------


@requests.grouped_command(BookSeat, largest=256)
async def book_seats(orders: Sequence[Order[BookSeat]], tx: AsyncConnection) -> Sequence[Booking | Refused]:
    """Decide one by one, in the order of arrival, on agents and sessions that are locked and read once."""
    asked = [(order.request.session_id, order.request.agent_id) for order in orders]
    sessions, agendas, with_tokens = await store.lock_for_orders(tx, asked, clock.now())
    now = clock.now()
    tokens = _Tokens(await priority.brought(tx, asked, now), sessions) if with_tokens else _Tokens({}, sessions)
    applicants = await quotas.applicants(tx, sessions.values(), agendas, now)

    answers: list[Booking | Refused] = []
    facts: list[tuple[Fact, Order[BookSeat]]] = []
    for order, (session_id, agent_id) in zip(orders, asked, strict=True):
        try:
            if not acts_for(order.caller, agent_id) and not order.caller.has("innovation_referent"):
                raise NotAllowed(f"{order.caller.actor} books for {agent_id}")
            if (session := sessions.get(session_id)) is None:
                raise SessionNotReady(f"session {session_id}")
            session = session.places(remote=order.request.remote)
            agenda, token = agendas[agent_id], tokens.of(session_id, agent_id)
            must_name_a_manager(session, order.request.manager_id)
            fact = session.book(outbox.uuid7(), agent_id, agenda, now, token=token is not None, applicant=applicants.get(agent_id))
            fact = ask_first(session, fact, order.request.manager_id, now, is_holiday)
        except Refused as refusal:
            answers.append(refusal)
        else:
            if token is not None and isinstance(fact, WaitlistJoined):
                tokens.used[token.token_id] = fact.booking_id
            facts.append((fact, order))
            answers.append(_made(fact, session, agenda, order.request.manager_id, order.caller))
            agenda.add(fact.booking_id, fact.state, session.occasion)

    await store.record(tx, sessions, [fact for fact, _ in facts])
    await priority.use(tx, tokens.used, now)
    made = [answer for answer in answers if isinstance(answer, Booking)]
    await pending.note(tx, {place.booking_id: (place.manager_id, place.booked_by) for place in made})
    await set_timers(tx, [fact for fact, _ in facts])
    await outbox.record_each(tx, facts)
    return answers


@requests.command(SwapBooking)
async def swap_booking(request: SwapBooking, caller: Caller, tx: AsyncConnection) -> Booking:
    """One seat for another: both sessions are locked, so it is both or nothing; the queue of the seat given back is served (B5).

    The old seat is gone also where the new one still awaits the line manager's approval (B7): the same manager's, unless another is named.
    """
    sessions, agenda, old = await lock_agent(tx, request.booking_id, caller, request.session_id)
    if (session := sessions.get(request.session_id)) is None:
        raise SessionNotReady(f"session {request.session_id}")
    session, given = session.places(remote=request.remote), sessions[old.session_id].places(remote=old.remote)
    left, now = agenda.without(old.booking_id), clock.now()
    must_name_a_manager(session, manager_id := request.manager_id or old.manager_id)

    back = _give_back(given, old, now)
    applicants = await quotas.applicants(tx, [session], [old.agent_id], now)
    fact = session.book(outbox.uuid7(), old.agent_id, left, now, applicant=applicants.get(old.agent_id))
    if not isinstance(fact, BookingConfirmed):
        raise NoSeatToSwap(f"session {session.session_id} has {session.waiting} waiting")
    fact = ask_first(session, fact, manager_id, now, is_holiday)
    served = await serve_queue(tx, given, "place libérée", now)

    await record(tx, given, [back, *served], caller)
    await record(tx, session, [fact], caller)
    made = _made(fact, session, left, manager_id, caller)
    await pending.note(tx, {made.booking_id: (made.manager_id, made.booked_by)})
    return made


@requests.command(CancelBooking)
async def cancel_booking(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
    """Give the place back; a freed seat goes to the head of the queue at once (W1). Who leaves the queue frees none."""
    session, booking = await lock_place(tx, request.booking_id, caller)
    must_be_at(booking, request.expected_version)
    now = clock.now()

    fact = session.cancel(booking, now)
    served = [] if isinstance(fact, WaitlistLeft) else await serve_queue(tx, session, "place libérée", now)

    await record(tx, session, [fact, *served], caller)
    return changed(booking, fact)


@requests.command(AcceptOffer)
async def accept_offer(request: AcceptOffer, caller: Caller, tx: AsyncConnection) -> Booking:
    """Whoever has the session's lock first, the agent or the deadline, decides what becomes of the offer (W3).

    With `instead_of`, that seat is given back in the same transaction, and its queue is served (B5).
    """
    sessions, agenda, booking = await lock_agent(tx, request.booking_id, caller, with_booking=request.instead_of)
    now = clock.now()
    if request.instead_of is not None:
        old = await own_booking(tx, request.instead_of, booking.agent_id)
        given, agenda = sessions[old.session_id].places(remote=old.remote), agenda.without(old.booking_id)
        back = _give_back(given, old, now)
        await record(tx, given, [back, *await serve_queue(tx, given, "place libérée", now)], caller)

    session = sessions[booking.session_id].places(remote=booking.remote)
    (fact,) = await settle(tx, session, [session.accept(booking, agenda, now)], now)

    await record(tx, session, [fact], caller)
    return changed(booking, fact)


@requests.command(DeclineOffer)
async def decline_offer(request: DeclineOffer, caller: Caller, tx: AsyncConnection) -> Booking:
    session, booking = await lock_place(tx, request.booking_id, caller)
    now = clock.now()

    fact = session.decline(booking, now)
    served = await serve_queue(tx, session, "place libérée", now)

    await record(tx, session, [fact, *served], caller)
    return changed(booking, fact)


@timers.on(OFFER_EXPIRES)
async def expire_offer(timer: Timer, tx: AsyncConnection) -> None:
    """Nobody answered: the next of the queue is served in the same transaction (W3). An answer made the booking newer than the timer."""
    locked = await store.lock_session_of(tx, UUID(timer.payload["booking_id"]))
    if locked is None or locked[1].version != timer.payload["version"] or locked[1].offer is None:
        return
    session, booking = locked
    now = clock.now()

    fact = session.expire(booking, locked[1].offer, now)
    served = await serve_queue(tx, session, "place libérée", now)

    await record(tx, session, [fact, *served], timer)


# --- questions --------------------------------------------------------------------------------------------------------


@requests.query(GetBooking)
async def get_booking(request: GetBooking, caller: Caller, database: Database) -> Booking:
    async with database.connect() as connection:
        booking = await queries.booking(connection, request.booking_id)
    if booking is None or not (acts_for(caller, booking.agent_id) or caller.actor == str(booking.manager_id)):
        raise BookingUnknown(f"booking {request.booking_id}")
    return booking if acts_for(caller, booking.agent_id) else without_what_is_the_agents_own(booking)


@requests.query(ListBookings)
async def list_bookings(request: ListBookings, caller: Caller, database: Database) -> BookingList:
    if not acts_for(caller, request.agent_id):
        raise NotAllowed(f"{caller.actor} lists the bookings of {request.agent_id}")
    async with database.connect() as connection:
        return BookingList(bookings=await queries.bookings_of(connection, request.agent_id, request.limit))


# --- what catalog says ------------------------------------------------------------------------------------------------


@events.effect("booking-sessions", SessionScheduled, SessionRescheduled, SessionCancelled)
async def follow_session(received: Received[SessionScheduled | SessionRescheduled | SessionCancelled], tx: AsyncConnection) -> None:
    """Dates and seats as catalog says them.

    Whoever has a seat is asked whether they still come to a session that moved (M1), and its quorum is decided on another day (M3). More
    seats serve the queue at once (B8). A session brought forward holds no seat past its new cut-off (W4). A cancelled one ends every
    place, those accepted since catalog cancelled it included (E2), and leaves each agent a priority token (W7).
    An effect, not a projection: it decides and tells. `Session.follow` is what ignores old versions.
    """
    catalog = received.event.session
    milestones = Milestones.of(catalog, is_holiday)
    session = await store.lock_session(tx, catalog.session_id) or await store.open_session(tx, catalog, milestones)
    began = session.starts_at
    if not session.follow(catalog, milestones):
        return
    await store.take_over(tx, session, catalog)

    now = clock.now()
    await plan_decision(tx, session, catalog, now)
    await plan_surveys(tx, catalog)
    await plan_confirmations(tx, catalog, now)
    asked = await ask_who_still_comes(tx, session, received.event, now)
    if catalog.status == "cancelled":
        facts = await _close(tx, session, catalog, now)
    else:
        facts = await _bring_offers_forward(tx, session, now)
        await record(tx, session, [*asked, *facts], received)
        if session.starts_at != began:
            await record(tx, session, await ask_for_names_again(tx, session, now), received)
        because = "place libérée" if facts else "place ajoutée"
        facts = [fact for places in session.modes for fact in await serve_queue(tx, places, because, now)]
    await record(tx, session, facts, received)


async def _close(tx: AsyncConnection, session: Session, catalog: SessionState, now: datetime) -> list[Change | GroupEvent]:
    reason = f"séance annulée : {catalog.cancellation_reason}" if catalog.cancellation_reason else "séance annulée"
    until = now + priority.LASTS
    active = await store.active_bookings(tx, session)
    facts = [session.places(remote=booking.remote).close(booking, reason, now, until) for booking in active]
    closed = [end(session, group, GroupState.CLOSED, now, reason, until) for group in await groups.active_groups(tx, session)]
    holders = [*(fact.agent_id for fact in facts), *(fact.contact_agent_id for fact in closed)]
    await priority.grant(tx, holders, store.series_of(catalog), session.session_id, now)
    return [*facts, *closed]


async def _bring_offers_forward(tx: AsyncConnection, session: Session, now: datetime) -> list[Change | GroupEvent]:
    offered, moment = await store.offered_bookings(tx, session), Moment(now, is_holiday)
    facts = [session.places(remote=booking.remote).bring_forward(booking, booking.offer, now) for booking in offered if booking.offer]
    kept = [queue.bring_forward(session, group, moment) for group in await groups.waiting_groups(tx, session)]
    return [fact for fact in (*facts, *kept) if fact is not None]


# --- what other concepts of booking ask -------------------------------------------------------------------------------


async def seat_for(tx: AsyncConnection, session_id: UUID, agent_id: UUID, cause: Causing) -> None:
    """The seat of whom a private session was made for, within the caller's transaction: it is closed to everybody else (B6).

    Raises `session_not_ready` while catalog's word has not reached the seats, and is asked again.
    """
    sessions, agendas, _ = await store.lock_for_orders(tx, [(session_id, agent_id)], clock.now())
    if (session := sessions.get(session_id)) is None:
        raise SessionNotReady(f"session {session_id}")
    if session.status == "cancelled":
        return
    fact = session.book_agreed(outbox.uuid7(), agent_id, agendas[agent_id], clock.now())
    await store.record(tx, {session_id: session}, [fact])
    await outbox.record(tx, fact, cause=cause)


# ----------------------------------------------------------------------------------------------------------------------


def _made(fact: Opening, session: Session, agenda: Agenda, manager_id: UUID | None, caller: Caller) -> Booking:
    """With whom to ask, and who booked where it was not the agent."""
    asked = manager_id if session.needs_approval else None
    booked_by = None if caller.is_agent(fact.agent_id) else caller.actor
    return opened(fact, session, agenda).model_copy(update={"manager_id": asked, "booked_by": booked_by})


class _Tokens:
    """The priority tokens that a group of orders brings, each good for one of them (W1)."""

    def __init__(self, brought: Mapping[tuple[UUID, UUID], Token], sessions: Mapping[UUID, Session]) -> None:
        self._brought = brought
        self.used: dict[UUID, UUID] = {}
        for (session_id, _), token in brought.items():
            session = sessions[session_id]
            session.first_waiting = token.first_waiting
            if session.distant is not None:
                session.distant.first_waiting = token.first_waiting_remote

    def of(self, session_id: UUID, agent_id: UUID) -> Token | None:
        token = self._brought.get((session_id, agent_id))
        return None if token is None or token.token_id in self.used else token


def _give_back(session: Session, booking: Booking, now: datetime) -> BookingCancelled:
    """A seat in exchange for another: nobody exchanges a rank (B5)."""
    fact = session.cancel(booking, now)
    if not isinstance(fact, BookingCancelled):
        raise BookingNotActive(f"booking {booking.booking_id} is no seat", state=booking.state.value)
    return fact

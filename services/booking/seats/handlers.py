"""What seats answer and listen to. One who decides locks the session, decides, records, answers; the kernel opens and commits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from uuid import UUID

from holidays import country_holidays
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.seats import domain, queries, store
from services.booking.seats.domain import BookingUnknown, Fact, Session, SessionNotReady
from shared import clock, outbox, telemetry
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.booking import (
    AvailabilityList,
    Booking,
    BookingCancelled,
    BookingList,
    BookSeat,
    CancelBooking,
    GetAvailability,
    GetBooking,
    ListBookings,
    WaitlistPromoted,
)
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled
from shared.database import Database
from shared.errors import NotAllowed, Refused
from shared.requests import Order, Requests
from shared.service import Context

requests = Requests()
events = Consumers()

ANNOUNCING_SECONDS = 0.5
ANNOUNCED_AT_ONCE = 100  # counters are an estimate for lists: under a rush they lag a little rather than fill the outbox

_FRENCH_HOLIDAYS = country_holidays("FR")


# --- orders -----------------------------------------------------------------------------------------------------------


@requests.grouped_command(BookSeat, largest=256)
async def book_seats(orders: Sequence[Order[BookSeat]], tx: AsyncConnection) -> Sequence[Booking | Refused]:
    """Decide one by one, in the order of arrival, on sessions that are locked and read once."""
    wanted = [order.request for order in orders]
    sessions, places = await store.lock_sessions(tx, [each.session_id for each in wanted], [each.agent_id for each in wanted])
    now = clock.now()

    answers: list[Booking | Refused] = []
    facts: list[tuple[Fact, Order[BookSeat]]] = []
    taken: dict[tuple[UUID, UUID], UUID] = {}  # within this group
    for order, place in zip(orders, places, strict=True):
        session_id, agent_id = order.request.session_id, order.request.agent_id
        try:
            if not _acts_for(order.caller, agent_id):
                raise NotAllowed(f"{order.caller.actor} books for {agent_id}")
            if (session := sessions.get(session_id)) is None:
                raise SessionNotReady(f"session {session_id}")
            fact = session.book(outbox.uuid7(), agent_id, place or taken.get((session_id, agent_id)), now)
        except Refused as refusal:
            answers.append(refusal)
        else:
            taken[session_id, agent_id] = fact.booking_id
            facts.append((fact, order))
            answers.append(domain.opened(fact, session.waiting))

    await store.record(tx, sessions, [fact for fact, _ in facts])
    await outbox.record_each(tx, facts)
    return answers


@requests.command(CancelBooking)
async def cancel_booking(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
    """Give the place back; a freed seat goes to the head of the queue at once (W1). Who leaves the queue frees none."""
    locked = await store.lock_session_of(tx, request.booking_id)
    if locked is None or not _acts_for(caller, locked[1].agent_id):
        raise BookingUnknown(f"booking {request.booking_id}")
    session, booking = locked
    domain.must_be_at(booking, request.expected_version)
    now = clock.now()

    fact = session.cancel(booking, now)
    promoted = await _serve_queue(tx, session, "place libérée", now) if isinstance(fact, BookingCancelled) else []

    await store.record(tx, {session.session_id: session}, [fact, *promoted])
    await outbox.record(tx, fact, *promoted, cause=caller)
    return domain.ended(booking, fact)


# --- questions --------------------------------------------------------------------------------------------------------


@requests.query(GetBooking)
async def get_booking(request: GetBooking, caller: Caller, database: Database) -> Booking:
    async with database.connect() as connection:
        booking = await queries.booking(connection, request.booking_id)
    if booking is None or not _acts_for(caller, booking.agent_id):
        raise BookingUnknown(f"booking {request.booking_id}")
    return booking


@requests.query(ListBookings)
async def list_bookings(request: ListBookings, caller: Caller, database: Database) -> BookingList:
    if not _acts_for(caller, request.agent_id):
        raise NotAllowed(f"{caller.actor} lists the bookings of {request.agent_id}")
    async with database.connect() as connection:
        return BookingList(bookings=await queries.bookings_of(connection, request.agent_id, request.limit))


@requests.query(GetAvailability)
async def get_availability(request: GetAvailability, _: Caller, database: Database) -> AvailabilityList:
    async with database.connect() as connection:
        return AvailabilityList(sessions=await queries.availability(connection, request.session_ids))


# --- what catalog says ------------------------------------------------------------------------------------------------


@events.effect("booking-sessions", SessionScheduled, SessionRescheduled, SessionCancelled)
async def follow_session(received: Received[SessionScheduled | SessionRescheduled | SessionCancelled], tx: AsyncConnection) -> None:
    """Dates and seats as catalog says them.

    More seats serve the queue at once (B8). A cancelled session ends every place, those accepted since catalog cancelled it included (E2).
    An effect, not a projection: it decides and tells. `Session.follow` is what ignores old versions.
    """
    catalog = received.event.session
    cutoff = domain.cancellation_cutoff(catalog.activity_type, catalog.starts_at, _is_holiday)
    session = await store.lock_session(tx, catalog.session_id) or await store.open_session(tx, catalog, cutoff)
    if not session.follow(catalog, cutoff):
        return
    await store.take_over(tx, session, catalog)

    now = clock.now()
    facts: Sequence[Fact]
    if catalog.status == "cancelled":
        reason = f"séance annulée : {catalog.cancellation_reason}" if catalog.cancellation_reason else "séance annulée"
        facts = [session.close(booking, reason, now) for booking in await store.active_bookings(tx, session)]
    else:
        facts = await _serve_queue(tx, session, "place ajoutée", now)

    await store.record(tx, {session.session_id: session}, facts)
    await outbox.record(tx, *facts, cause=received)


# --- what booking says of itself --------------------------------------------------------------------------------------


async def announce_availability(context: Context) -> None:
    """Tell the counters of the sessions that changed, and look whether they agree with the rows they count (`queries.audit`)."""
    while True:
        async with context.database.begin() as tx:
            announcements = await store.announce(tx, ANNOUNCED_AT_ONCE)
            await outbox.record(tx, *announcements)
            if announcements:
                for finding in await queries.audit(tx, clock.now(), [each.session_id for each in announcements]):
                    telemetry.log.error("audit_failed", session_id=str(finding.session_id), finding=finding.code)
        await asyncio.sleep(ANNOUNCING_SECONDS)


# ----------------------------------------------------------------------------------------------------------------------


async def _serve_queue(tx: AsyncConnection, session: Session, because: str, now: datetime) -> list[WaitlistPromoted]:
    number = session.servable(now)
    heads = await store.heads(tx, session, number) if number else []
    return [session.promote(head, rank, because, now) for rank, head in enumerate(heads, start=1)]


def _acts_for(caller: Caller, agent_id: UUID) -> bool:
    return caller.is_agent(agent_id) or caller.has("operator", "lab_team")


def _is_holiday(day: date) -> bool:
    return day in _FRENCH_HOLIDAYS

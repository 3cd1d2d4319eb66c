"""What the tests of booking start from, and how they speak to it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from holidays import country_holidays
from sqlalchemy import text

from services.booking.agenda.domain import Agenda, Limits, Occasion, Place
from services.booking.approval import handlers as approval
from services.booking.deadlines.domain import Milestones
from services.booking.feedback import handlers as feedback
from services.booking.groups import handlers as groups
from services.booking.moves import handlers as moves
from services.booking.names import handlers as names
from services.booking.pending import handlers as pending
from services.booking.quorum import handlers as quorum_day
from services.booking.seats import handlers, queries
from services.booking.seats.domain import Session
from services.booking.strikes import handlers as strikes
from shared import clock
from shared.bus import Caller
from shared.consumers import Received
from shared.contracts.approval import ApproveBooking, RefuseBooking
from shared.contracts.booking import (
    AcceptOffer,
    Booking,
    BookingState,
    BookSeat,
    CancelBooking,
    DeclineOffer,
    OfferState,
    SeatOffer,
)
from shared.contracts.catalog import (
    ActivityType,
    DeliveryMode,
    Period,
    SessionCancelled,
    SessionRescheduled,
    SessionScheduled,
    SessionState,
    VenueSheet,
)
from shared.contracts.messages import Envelope
from shared.contracts.moves import ConfirmBooking
from shared.contracts.quotas import Quota
from shared.database import Database
from shared.errors import Refused
from shared.inbox import Delivery
from shared.outbox import uuid7
from shared.requests import Order
from shared.timers import TimerPoller
from tests.conftest import eventually

HOLIDAYS = country_holidays("FR")
ALICE, BOB, CAROL = uuid4(), uuid4(), uuid4()
OPERATOR = Caller("operator", frozenset({"operator"}))

STARTS_AT = datetime(2027, 3, 18, 13, tzinfo=UTC)  # Thursday 18 March 2027, 14:00 in Paris
THE_DAY_BEFORE = STARTS_AT - timedelta(days=1)
A_MONTH_BEFORE = STARTS_AT - timedelta(days=30)


# --- pure -------------------------------------------------------------------------------------------------------------


LIMITS = Limits(buffer=timedelta(minutes=30), travel=timedelta(minutes=60), fair_use=3)


def nothing_else() -> Agenda:
    """Of an agent who has no other place."""
    return Agenda(LIMITS)


def already_there(session: Session, booking_id: UUID) -> Agenda:
    return Agenda(LIMITS, [Place(booking_id, BookingState.CONFIRMED, session.occasion)])


def a_session(
    *,
    capacity: int = 10,
    held: int = 0,
    waiting: int = 0,
    sequence: int = 100,
    status: str = "scheduled",
    starts_at: datetime = STARTS_AT,
    kind: ActivityType = ActivityType.INNOVATION_THURSDAY,
    cutoff: datetime | None = None,
) -> Session:
    milestones = milestones_of(kind, starts_at)
    said = catalog_says(uuid4(), starts_at=starts_at, activity_type=kind).session
    return Session(
        session_id=said.session_id,
        series_id=uuid4(),
        occasion=Occasion.of(said),
        starts_at=starts_at,
        milestones=replace(milestones, cancellation_cutoff=cutoff) if cutoff else milestones,
        status=status,  # pyright: ignore[reportArgumentType] - one of the two
        capacity=capacity,
        held=held,
        waiting=waiting,
        sequence=sequence,
        catalog_version=1,
    )


def is_holiday(day: date) -> bool:
    return day in HOLIDAYS


def milestones_of(kind: ActivityType, starts_at: datetime) -> Milestones:
    return Milestones.of(catalog_says(uuid4(), starts_at=starts_at, activity_type=kind).session, is_holiday)


def a_place(
    session: Session,
    state: BookingState,
    *,
    agent_id: UUID = ALICE,
    sequence: int = 7,
    version: int = 1,
    offered_until: datetime | None = None,
    offer: OfferState = OfferState.OFFERED,
) -> Booking:
    made = SeatOffer(state=offer, deadline=offered_until, offered_at=A_MONTH_BEFORE) if offered_until else None
    return Booking(
        offer=made,
        booking_id=uuid4(),
        session_id=session.session_id,
        agent_id=agent_id,
        state=state,
        session_sequence=sequence,
        version=version,
        booked_at=A_MONTH_BEFORE,
    )


# --- catalog ----------------------------------------------------------------------------------------------------------


def paris(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=clock.PARIS)


FRIDAY_EVENING = paris(2027, 3, 12, 18, 30)
"""The worked deadline of the domain: a seat of the training of Thursday 18 March 2027, 14:00, that is freed now is offered until…"""
MONDAY_1130 = paris(2027, 3, 15, 11, 30)


HANDS = pytest.MonkeyPatch()
"""Of the clock; `conftest.py` lets it go on after each test."""


def it_is(moment: datetime) -> None:
    """Stop the clock at this moment: deadlines are then exactly those of the domain."""
    HANDS.setattr(clock, "now", lambda: moment.astimezone(UTC))


def in_days(days: float) -> datetime:
    return clock.now() + timedelta(days=days)


def catalog_says(
    session_id: UUID,
    *,
    version: int = 1,
    capacity: int = 10,
    starts_at: datetime | None = None,
    status: str = "scheduled",
    activity_type: ActivityType = ActivityType.INNOVATION_THURSDAY,
    activity_id: UUID | None = None,
    opens_at: datetime | None = None,
    closes_at: datetime | None = None,
    private: bool = False,
    needs_approval: bool = False,
    city: str | None = None,
    quorum: int | None = None,
    remote_capacity: int | None = None,
    quota: Quota | None = None,
) -> SessionScheduled | SessionRescheduled | SessionCancelled:
    """The event of catalog that this version of a session would come with."""
    start = starts_at or in_days(30)
    local = start.astimezone(clock.PARIS).replace(tzinfo=None)
    hour = timedelta(hours=1)
    periods = (Period(local_start=local, local_end=local + hour, starts_at=start, ends_at=start + hour),)
    state = SessionState(
        session_id=session_id,
        version=version,
        activity_id=activity_id or uuid4(),
        activity_type=activity_type,
        opens_at=opens_at,
        closes_at=closes_at,
        private=private,
        needs_approval=needs_approval,
        title="Le nudge dans les courriers",
        summary="Ce qui aide à répondre à temps.",
        theme="design",
        delivery_mode=DeliveryMode.HYBRID if remote_capacity else DeliveryMode.IN_PERSON,
        remote_capacity=remote_capacity,
        venue=a_venue(city) if city else None,
        periods=periods,
        capacity=capacity,
        quorum=quorum,
        quota=quota,
        status=status,  # pyright: ignore[reportArgumentType] - one of the two
        cancellation_reason="intervenant souffrant" if status == "cancelled" else None,
    )
    if status == "cancelled":
        return SessionCancelled(version=version, session_id=session_id, session=state, reason="intervenant souffrant")
    if version == 1:
        return SessionScheduled(version=version, session_id=session_id, session=state)
    return SessionRescheduled(version=version, session_id=session_id, session=state, previous_periods=periods, previous_capacity=capacity)


def a_venue(city: str) -> VenueSheet:
    return VenueSheet(venue_id=uuid4(), name="La Fabrique", address="1 place", city=city, department="31", step_free_access=True)


async def hear(database: Database, event: SessionScheduled | SessionRescheduled | SessionCancelled) -> None:
    """Straight into the handler, in a transaction of its own."""
    envelope = Envelope.of(event, event_id=uuid7(), time=datetime.now(UTC))
    received = Received(event, envelope, Delivery("EVT_CATALOG", 1, f"{event.subject}.{event.session_id}", {}, b""))
    async with database.begin() as tx:
        await handlers.follow_session(received, tx)


_TURNS = itertools.count()
"""Sessions without a date of their own stand at different hours, so that an agent may have a seat in several of them."""


async def given_session(
    database: Database,
    *,
    capacity: int = 10,
    starts_at: datetime | None = None,
    kind: ActivityType = ActivityType.INNOVATION_THURSDAY,
    closes_at: datetime | None = None,
    activity_id: UUID | None = None,
    private: bool = False,
    needs_approval: bool = False,
    quorum: int | None = None,
    remote_capacity: int | None = None,
) -> UUID:
    session_id = uuid7()
    about: Any = {
        "starts_at": starts_at or in_days(30 + next(_TURNS) % 40 / 4),
        "activity_type": kind,
        "closes_at": closes_at,
        "activity_id": activity_id,
        "private": private,
        "needs_approval": needs_approval,
        "quorum": quorum,
        "remote_capacity": remote_capacity,
    }
    await hear(database, catalog_says(session_id, capacity=capacity, **about))
    return session_id


# --- agents -----------------------------------------------------------------------------------------------------------


def agent(agent_id: UUID, key: str | None = None) -> Caller:
    return Caller(str(agent_id), frozenset({"agent"}), idempotency_key=key)


def an_order(session_id: UUID, agent_id: UUID | None = None, manager_id: UUID | None = None, *, remote: bool = False) -> Order[BookSeat]:
    who = agent_id or uuid4()
    return Order(BookSeat(session_id=session_id, agent_id=who, manager_id=manager_id, remote=remote), agent(who))


async def book_together(database: Database, orders: Sequence[Order[BookSeat]]) -> Sequence[Booking | Refused]:
    async with database.begin() as tx:
        return await handlers.book_seats(orders, tx)


async def book(
    database: Database, session_id: UUID, agent_id: UUID | None = None, manager_id: UUID | None = None, *, remote: bool = False
) -> Booking:
    """One order in a transaction of its own; a refusal is raised."""
    (answer,) = await book_together(database, [an_order(session_id, agent_id, manager_id, remote=remote)])
    if isinstance(answer, Refused):
        raise answer
    return answer


async def cancel(database: Database, booking: Booking, caller: Caller | None = None, *, expected_version: int | None = None) -> Booking:
    request = CancelBooking(booking_id=booking.booking_id, expected_version=expected_version)
    async with database.begin() as tx:
        return await handlers.cancel_booking(request, caller or agent(booking.agent_id), tx)


async def given_queue(
    database: Database, seats: int, waiting: int, kind: ActivityType = ActivityType.TRAINING
) -> tuple[UUID, list[Booking], list[Booking]]:
    """The training of Thursday 18 March 2027, 14:00, on the Friday evening before: the session, who has a seat, who waits."""
    it_is(FRIDAY_EVENING)
    session_id = await given_session(database, capacity=seats, starts_at=STARTS_AT, kind=kind, closes_at=STARTS_AT)
    places = [await book(database, session_id) for _ in range(seats + waiting)]
    return session_id, places[:seats], places[seats:]


async def accept(database: Database, booking: Booking, caller: Caller | None = None) -> Booking:
    async with database.begin() as tx:
        return await handlers.accept_offer(AcceptOffer(booking_id=booking.booking_id), caller or agent(booking.agent_id), tx)


async def decline(database: Database, booking: Booking) -> Booking:
    async with database.begin() as tx:
        return await handlers.decline_offer(DeclineOffer(booking_id=booking.booking_id), agent(booking.agent_id), tx)


async def approve(database: Database, booking: Booking, caller: Caller | None = None, *, expected_version: int | None = None) -> Booking:
    request = ApproveBooking(booking_id=booking.booking_id, expected_version=expected_version)
    async with database.begin() as tx:
        return await approval.approve_booking(request, caller or manager(booking), tx)


async def confirm(database: Database, booking: Booking, caller: Caller | None = None) -> Booking:
    async with database.begin() as tx:
        return await moves.confirm_booking(ConfirmBooking(booking_id=booking.booking_id), caller or agent(booking.agent_id), tx)


async def refuse(database: Database, booking: Booking, caller: Caller | None = None) -> Booking:
    async with database.begin() as tx:
        return await approval.refuse_booking(RefuseBooking(booking_id=booking.booking_id), caller or manager(booking), tx)


def manager(booking: Booking) -> Caller:
    """Who was asked, as the gateway speaks for them."""
    return Caller(str(booking.manager_id), frozenset({"line_manager"}))


async def timers_fire(database: Database) -> int:
    """Fire whatever is due by the shifted clock; how many were."""
    registries = (handlers, groups, names, pending, quorum_day, feedback, strikes)
    poller, fired = TimerPoller(database, [each.timers for each in registries]), 0
    while await poller.fire_next():
        fired += 1
    return fired


# --- what is there afterwards -----------------------------------------------------------------------------------------


async def now_of(database: Database, booking: Booking) -> Booking:
    async with database.connect() as connection:
        found = await queries.booking(connection, booking.booking_id)
    assert found is not None
    return found


async def counters(database: Database, session_id: UUID) -> tuple[int, int, int]:
    """Capacity, held, waiting."""
    async with database.connect() as connection:
        (found,) = await queries.availability(connection, [session_id])
    return found.capacity, found.held, found.waiting


async def places(database: Database, session_id: UUID, state: BookingState) -> int:
    async with database.connect() as connection:
        statement = text("select count(*) from booking where session_id = :session_id and state = :state")
        return await connection.scalar(statement, {"session_id": session_id, "state": state.value}) or 0


async def told(database: Database, booking: Booking) -> list[str]:
    """The facts recorded of a place, in the order of their versions."""
    async with database.connect() as connection:
        subjects = await connection.scalars(
            text("select subject from outbox where aggregate_id = :id order by aggregate_version"), {"id": booking.booking_id}
        )
        return [subject.split(".")[2] for subject in subjects]


async def findings(database: Database, *session_ids: UUID) -> set[str]:
    async with database.connect() as connection:
        return {finding.code for finding in await queries.audit(connection, clock.now(), session_ids or None)}


async def nothing_is_wrong(database: Database, *session_ids: UUID) -> None:
    """The counters of these sessions (or of all) agree with the rows, the queue was respected; every change of a place was told once."""
    assert await findings(database, *session_ids) == set()
    async with database.connect() as connection:
        untold = await connection.execute(
            text(
                """
                with place(id, version) as (
                    select booking_id, version from booking union all select group_id, version from group_booking
                )
                select place.id from place left join outbox on aggregate_type in ('booking', 'group') and aggregate_id = place.id
                group by place.id, version
                having array_agg(aggregate_version order by outbox.id) is distinct from array(select generate_series(1, version))
                """
            )
        )
        assert untold.all() == []


async def one_waits(database: Database) -> None:
    """Until a transaction waits for another one's lock."""

    async def waits() -> bool:
        async with database.connect() as connection:
            return bool(await connection.scalar(text("select count(*) from pg_locks where not granted")))

    await eventually(waits)

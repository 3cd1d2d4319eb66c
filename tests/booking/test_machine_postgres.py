"""The same rules against PostgreSQL: after each step the rows are those of a model without SQL (B1-B8, W1-W4, E2, E4, N1, M1).

Two trainings at the same hours, whose freed seats are offered and whose offers expire by their timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from services.booking.deadlines.domain import booking_closing, offer_cutoff, offer_deadline, working_days_after
from services.booking.pending.domain import approval_until
from services.booking.seats import handlers
from shared import clock
from shared.contracts.agenda import SwapBooking
from shared.contracts.booking import Booking
from shared.contracts.catalog import ActivityType
from shared.database import Database
from shared.errors import Refused
from shared.outbox import uuid7
from shared.settings import Settings
from tests.booking.given import (
    OPERATOR,
    STARTS_AT,
    accept,
    agent,
    an_order,
    approve,
    book_together,
    cancel,
    catalog_says,
    confirm,
    decline,
    hear,
    is_holiday,
    it_is,
    nothing_is_wrong,
    refuse,
    timers_fire,
)

MANAGER = uuid4()
PLACES = text(
    """
    select agent_id, coalesce(offer_state, '') || state as state, offer_deadline,
           case pending_state when 'open' then pending_until end as pending_until, pending_kind
    from booking
    where session_id = :session_id and state in ('confirmed', 'waiting') order by booking.session_sequence
    """
)
COUNTERS = text("select capacity, held, waiting from session where session_id = :session_id")


def now() -> datetime:
    return clock.now()


agents = st.integers(0, 5)
rooms = st.sampled_from([0, 1])
capacities = st.integers(1, 4)
OFFERS_UNTIL = offer_cutoff(ActivityType.TRAINING, STARTS_AT, is_holiday)
CLOSES_AT = booking_closing(ActivityType.TRAINING, STARTS_AT, is_holiday)


@dataclass
class Sheet:
    """What a careful person would keep on paper of a session: who has a seat, who waits, in order."""

    capacity: int
    needs_approval: bool
    next_door: Sheet | None = None
    """The other session at the same hours."""
    seated: list[UUID] = field(default_factory=list[UUID])
    asked: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])
    """Who has an offer, and until when."""
    pending: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])
    """For whom a line manager is asked, and until when."""
    unsure: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])
    """Of those who have a seat, who is asked whether they still come, and until when (M1)."""
    queue: list[UUID] = field(default_factory=list[UUID])
    cancelled: bool = False

    @property
    def refusal(self) -> str | None:
        return "session_is_cancelled" if self.cancelled else "session_started" if now() >= STARTS_AT else None

    def book(self, agent_id: UUID) -> str:
        """The state or the code of the refusal that the agent is answered."""
        if self.refusal:
            return self.refusal
        if agent_id in [*self.seated, *self.pending, *self.asked, *self.queue]:
            return "already_booked"
        if now() >= CLOSES_AT:
            return "booking_closed"
        if self.queue or self.held >= self.capacity:
            self.queue.append(agent_id)
            return "waiting"
        if self.overlaps(agent_id):
            return "overlap"
        self.seat(agent_id)
        return "confirmed"

    def overlaps(self, agent_id: UUID) -> bool:
        """B5. Who waits or is asked next door has nothing there yet; whose manager is asked has a seat."""
        return self.next_door is not None and agent_id in [*self.next_door.seated, *self.next_door.pending]

    def seat(self, agent_id: UUID) -> None:
        if self.needs_approval:
            self.pending[agent_id] = approval_until(now(), STARTS_AT, OFFERS_UNTIL, is_holiday)
        else:
            self.seated.append(agent_id)

    @property
    def held(self) -> int:
        return len(self.seated) + len(self.pending) + len(self.asked)

    def serve(self) -> None:
        while self.queue and self.held < self.capacity and not self.refusal and now() < OFFERS_UNTIL:
            self.asked[self.queue.pop(0)] = offer_deadline(now(), STARTS_AT, OFFERS_UNTIL, is_holiday)

    def give_back(self, agent_id: UUID) -> str:
        if agent_id in self.queue:
            self.queue.remove(agent_id)
            return "left"
        if self.asked.pop(agent_id, None):
            self.serve()
            return "left"
        if self.pending.pop(agent_id, None):
            self.serve()
            return "cancelled_by_agent"  # never late
        self.seated.remove(agent_id)
        unsure = self.unsure.pop(agent_id, None)
        self.serve()
        return "late_cancelled" if now() > CLOSES_AT and not unsure else "cancelled_by_agent"

    def cancel(self) -> None:
        self.cancelled = True
        for places in (self.seated, self.asked, self.pending, self.unsure, self.queue):
            places.clear()

    def let_expire(self) -> None:
        """One by one in the order of deadlines, as the timers do; each time the next is asked."""
        while late := sorted((until, agent_id) for agent_id, until in (self.asked | self.pending).items() if until <= now()):
            self.asked.pop(late[0][1], None)
            self.pending.pop(late[0][1], None)
            self.serve()
        self.unsure = {agent_id: until for agent_id, until in self.unsure.items() if until > now()}  # silence keeps the seat

    def move_away(self) -> None:
        """To another city, at the same hours."""
        if self.refusal:
            return
        last = STARTS_AT - timedelta(hours=24)
        until = STARTS_AT if now() >= last else min(working_days_after(now(), 3, is_holiday), last)
        self.unsure = dict.fromkeys(self.seated, until)
        self.pending = {agent_id: approval_until(now(), STARTS_AT, OFFERS_UNTIL, is_holiday) for agent_id in self.pending}


class SeatsInPostgres(RuleBasedStateMachine):
    """Every example has sessions and agents of its own in the test's database."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]

    @initialize(capacities=st.tuples(capacities, capacities), need_approval=st.tuples(st.booleans(), st.booleans()))
    def open(self, capacities: tuple[int, int], need_approval: tuple[bool, bool]) -> None:
        it_is(STARTS_AT - timedelta(days=12))
        self.agents = [uuid4() for _ in range(6)]
        self.sheets = [Sheet(*each) for each in zip(capacities, need_approval, strict=True)]
        self.sheets[0].next_door, self.sheets[1].next_door = self.sheets[1], self.sheets[0]
        self.session_ids = [uuid7(), uuid7()]
        self.versions = [1, 1]
        self.cities = ["Toulouse", "Toulouse"]
        self.bookings: dict[tuple[int, UUID], Booking] = {}
        for room, capacity in enumerate(capacities):
            self._hear(room, capacity)

    @rule(group=st.lists(st.tuples(rooms, agents), min_size=1, max_size=5))
    def book(self, group: list[tuple[int, int]]) -> None:
        """Orders that one commit carries, an agent's second one included (B1-B5)."""
        asked = [(room, self.agents[who]) for room, who in group]
        expected = [self.sheets[room].book(agent_id) for room, agent_id in asked]

        orders = [an_order(self.session_ids[room], agent_id, MANAGER) for room, agent_id in asked]
        answers = self.runner.run(book_together(self.database, orders))

        assert [answer.code if isinstance(answer, Refused) else str(answer.state) for answer in answers] == expected
        self.bookings |= {(room, each.agent_id): each for (room, _), each in zip(asked, answers, strict=True) if isinstance(each, Booking)}

    @rule(group=st.lists(agents, min_size=1, max_size=5), room=rooms)
    def book_in_a_transaction_that_fails(self, group: list[int], room: int) -> None:
        """Nothing of it stays: neither places nor counters nor facts."""

        async def fail() -> None:
            async with self.database.begin() as tx:
                await handlers.book_seats([an_order(self.session_ids[room], self.agents[who], MANAGER) for who in group], tx)
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            self.runner.run(fail())

    @rule(who=agents, room=rooms)
    def cancel(self, who: int, room: int) -> None:
        """A freed seat goes to the head of the queue at once (W1); too late leaves a trace (N1)."""
        agent_id, sheet = self.agents[who], self.sheets[room]
        booking = self.bookings.pop((room, agent_id), None)
        if booking is None:
            return
        if agent_id not in [*sheet.seated, *sheet.pending, *sheet.asked, *sheet.queue]:
            expected = "booking_not_active"
        elif sheet.refusal:
            expected = sheet.refusal
            self.bookings[room, agent_id] = booking
        else:
            expected = sheet.give_back(agent_id)

        assert self._answer(cancel(self.database, booking)) == expected

    @rule(who=agents, room=rooms)
    def swap(self, who: int, room: int) -> None:
        """B5: one seat for a free one next door, or nothing at all; a line manager is asked about the new one (B7)."""
        agent_id, sheet, other = self.agents[who], self.sheets[room], self.sheets[1 - room]
        booking = self.bookings.get((room, agent_id))
        if booking is None or agent_id not in [*sheet.seated, *sheet.pending] or sheet.refusal or other.refusal:
            return
        free = not other.queue and other.held < other.capacity
        known = agent_id in [*other.seated, *other.pending, *other.asked, *other.queue]
        expected = "already_booked" if known else "booking_closed" if now() >= CLOSES_AT else "confirmed" if free else "no_seat_to_swap"

        assert self._answer(self._swapped(room, booking)) == expected
        if expected == "confirmed":
            del self.bookings[room, agent_id]
            sheet.give_back(agent_id)
            other.seat(agent_id)

    @rule(who=agents, room=rooms, yes=st.booleans())
    def answer_the_offer(self, who: int, room: int, yes: bool) -> None:
        """W3: whoever is not asked, or not any more, changes nothing."""
        agent_id, sheet = self.agents[who], self.sheets[room]
        booking = self.bookings.get((room, agent_id))
        if booking is None:
            return
        answer = self._answer((accept if yes else decline)(self.database, booking))
        if agent_id not in sheet.asked:
            assert answer in {"offer_unknown", "offer_answered", "offer_expired", "session_started", "session_is_cancelled"}
            return
        if yes and sheet.overlaps(agent_id):
            assert answer == "overlap"
            return
        assert answer == ("confirmed" if yes else "left")
        del sheet.asked[agent_id]
        if yes:
            sheet.seat(agent_id)
        else:
            sheet.serve()

    @rule(who=agents, room=rooms, yes=st.booleans())
    def answer_for_the_manager(self, who: int, room: int, yes: bool) -> None:
        """B7: in time, once, and yes only to a seat that is there."""
        agent_id, sheet = self.agents[who], self.sheets[room]
        booking = self.bookings.get((room, agent_id))
        if booking is None:
            return
        answer = self._answer((approve if yes else refuse)(self.database, booking, OPERATOR))
        if agent_id not in sheet.pending or sheet.refusal:
            assert answer in {"approval_unknown", "approval_answered", "approval_expired", "session_started", "session_is_cancelled"}
        elif yes and sheet.held > sheet.capacity:
            assert answer == "no_seat_left"
        else:
            assert answer == ("confirmed" if yes else "cancelled_by_lab")
            del sheet.pending[agent_id]
            if yes:
                sheet.seated.append(agent_id)
            else:
                sheet.serve()

    @rule(capacity=capacities, room=rooms)
    def change_capacity(self, capacity: int, room: int) -> None:
        """More seats serve the queue; fewer remove nobody (B8)."""
        if self.sheets[room].cancelled:
            return
        self.versions[room] += 1
        self._hear(room, capacity)
        self.sheets[room].capacity = capacity
        self.sheets[room].serve()

    @rule(room=rooms)
    def move_to_another_city(self, room: int) -> None:
        """M1: who has a seat is asked, and keeps it."""
        sheet = self.sheets[room]
        if sheet.cancelled:
            return
        self.versions[room] += 1
        self.cities[room] = "Rodez" if self.cities[room] != "Rodez" else "Foix"
        self._hear(room, sheet.capacity)
        sheet.move_away()
        sheet.serve()

    @rule(who=agents, room=rooms)
    def still_come(self, who: int, room: int) -> None:
        agent_id, sheet = self.agents[who], self.sheets[room]
        booking = self.bookings.get((room, agent_id))
        if booking is None:
            return
        answer = self._answer(confirm(self.database, booking))
        if agent_id in sheet.unsure and not sheet.refusal:
            assert answer == "confirmed"
            del sheet.unsure[agent_id]
        else:
            assert answer.startswith(("reconfirmation_", "session_"))

    @rule(age=st.integers(0, 2), room=rooms)
    def hear_old_news(self, age: int, room: int) -> None:
        """E4."""
        self._hear(room, 9, version=max(1, self.versions[room] - age))

    @rule(room=rooms)
    def cancel_the_session(self, room: int) -> None:
        """E2. It ends the places that are there, and refuses those who come after."""
        self.versions[room] += 1
        self._hear(room, self.sheets[room].capacity, status="cancelled")
        self.sheets[room].cancel()

    @rule(hours=st.sampled_from([1, 4, 20, 48, 100]))
    def wait(self, hours: int) -> None:
        """W3: the timers end what nobody answered. W4: past the cut-off nobody is asked."""
        it_is(now() + timedelta(hours=hours))
        for sheet in self.sheets:
            sheet.let_expire()
        self.runner.run(timers_fire(self.database))

    @invariant()
    def the_rows_are_those_on_paper(self) -> None:
        async def read(session_id: UUID) -> tuple[Any, Any]:
            async with self.database.connect() as connection:
                asked = {"session_id": session_id}
                return (await connection.execute(PLACES, asked)).all(), (await connection.execute(COUNTERS, asked)).one()

        for sheet, session_id in zip(self.sheets, self.session_ids, strict=True):
            places, counters = self.runner.run(read(session_id))
            settled = {row.agent_id for row in places if row.state.endswith("confirmed")} - set(sheet.pending)
            assert settled == set(sheet.seated)
            asked = {row.agent_id: row.pending_until for row in places if row.pending_until}
            assert asked == sheet.pending | sheet.unsure
            assert {row.agent_id: row.offer_deadline for row in places if row.state == "offeredwaiting"} == sheet.asked
            assert [row.agent_id for row in places if row.state == "waiting"] == sheet.queue
            assert tuple(counters) == (sheet.capacity, sheet.held, len(sheet.queue))

    def teardown(self) -> None:
        """Of these sessions: the clock of the others' examples is not ours."""
        self.runner.run(nothing_is_wrong(self.database, *self.session_ids))

    async def _swapped(self, room: int, booking: Booking) -> Booking:
        request = SwapBooking(booking_id=booking.booking_id, session_id=self.session_ids[1 - room], manager_id=MANAGER)
        async with self.database.begin() as tx:
            taken = await handlers.swap_booking(request, agent(booking.agent_id), tx)
        self.bookings[1 - room, booking.agent_id] = taken
        return taken

    def _answer(self, order: Awaitable[Booking]) -> str:
        async def answered() -> str:
            try:
                return str((await order).state)
            except Refused as refusal:
                return refusal.code

        return self.runner.run(answered())

    def _hear(self, room: int, capacity: int, *, version: int | None = None, status: str = "scheduled") -> None:
        told = catalog_says(
            self.session_ids[room],
            version=version or self.versions[room],
            capacity=capacity,
            starts_at=STARTS_AT,
            status=status,
            activity_type=ActivityType.TRAINING,
            needs_approval=self.sheets[room].needs_approval,
            city=self.cities[room],
        )
        self.runner.run(hear(self.database, told))


@pytest.fixture
def loop_of_its_own() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.timeout(420)  # seconds are enough when all is well; a failure is made small first
def test_any_order_of_steps_leaves_the_rows_that_the_rules_foresee(
    loop_of_its_own: asyncio.Runner, postgres_settings: Callable[[str], Settings]
) -> None:
    SeatsInPostgres.database = Database.of(postgres_settings("booking"))
    SeatsInPostgres.runner = loop_of_its_own
    try:
        run_state_machine_as_test(SeatsInPostgres, settings=settings(max_examples=50, stateful_step_count=50, deadline=None))
    finally:
        loop_of_its_own.run(SeatsInPostgres.database.dispose())

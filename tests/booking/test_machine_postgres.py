"""The same rules against PostgreSQL: after each step the rows are those of a model without SQL (B1-B4, B6-B8, W1-W4, E2, E4, N1).

A training, whose freed seats are offered and whose offers expire by their timers.
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

AGENTS = [uuid4() for _ in range(6)]
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


agents = st.sampled_from(AGENTS)
capacities = st.integers(1, 4)
OFFERS_UNTIL = offer_cutoff(ActivityType.TRAINING, STARTS_AT, is_holiday)
CLOSES_AT = booking_closing(ActivityType.TRAINING, STARTS_AT, is_holiday)


@dataclass
class Sheet:
    """What a careful person would keep on paper: who has a seat, who waits, in order."""

    capacity: int
    needs_approval: bool
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
        self.seat(agent_id)
        return "confirmed"

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
    """Every example has a session of its own in the test's database."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]

    @initialize(capacity=capacities, needs_approval=st.booleans())
    def open(self, capacity: int, needs_approval: bool) -> None:
        it_is(STARTS_AT - timedelta(days=12))
        self.sheet = Sheet(capacity, needs_approval)
        self.session_id = uuid7()
        self.version = 1
        self.city = "Toulouse"
        self.bookings: dict[UUID, Booking] = {}
        self._hear(capacity)

    @rule(group=st.lists(agents, min_size=1, max_size=5))
    def book(self, group: list[UUID]) -> None:
        """Orders that one commit carries, an agent's second one included (B1-B4)."""
        expected = [self.sheet.book(agent_id) for agent_id in group]

        answers = self.runner.run(book_together(self.database, [an_order(self.session_id, agent_id, MANAGER) for agent_id in group]))

        assert [answer.code if isinstance(answer, Refused) else str(answer.state) for answer in answers] == expected
        self.bookings |= {each.agent_id: each for each in answers if isinstance(each, Booking)}

    @rule(group=st.lists(agents, min_size=1, max_size=5))
    def book_in_a_transaction_that_fails(self, group: list[UUID]) -> None:
        """Nothing of it stays: neither places nor counters nor facts."""

        async def fail() -> None:
            async with self.database.begin() as tx:
                await handlers.book_seats([an_order(self.session_id, agent_id, MANAGER) for agent_id in group], tx)
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            self.runner.run(fail())

    @rule(agent_id=agents)
    def cancel(self, agent_id: UUID) -> None:
        """A freed seat goes to the head of the queue at once (W1); too late leaves a trace (N1)."""
        booking = self.bookings.pop(agent_id, None)
        if booking is None:
            return
        if agent_id not in [*self.sheet.seated, *self.sheet.pending, *self.sheet.asked, *self.sheet.queue]:
            expected = "booking_not_active"
        elif self.sheet.refusal:
            expected = self.sheet.refusal
            self.bookings[agent_id] = booking
        elif agent_id in self.sheet.queue:
            self.sheet.queue.remove(agent_id)
            expected = "left"
        elif agent_id in self.sheet.asked:
            del self.sheet.asked[agent_id]
            self.sheet.serve()
            expected = "left"
        elif agent_id in self.sheet.pending:
            del self.sheet.pending[agent_id]
            self.sheet.serve()
            expected = "cancelled_by_agent"  # never late
        else:
            self.sheet.seated.remove(agent_id)
            unsure = self.sheet.unsure.pop(agent_id, None)
            self.sheet.serve()
            expected = "late_cancelled" if now() > CLOSES_AT and not unsure else "cancelled_by_agent"

        assert self._answer(cancel(self.database, booking)) == expected

    @rule(agent_id=agents, yes=st.booleans())
    def answer_the_offer(self, agent_id: UUID, yes: bool) -> None:
        """W3: whoever is not asked, or not any more, changes nothing."""
        booking = self.bookings.get(agent_id)
        if booking is None:
            return
        answer = self._answer((accept if yes else decline)(self.database, booking))
        if agent_id not in self.sheet.asked:
            assert answer in {"offer_unknown", "offer_answered", "offer_expired", "session_started", "session_is_cancelled"}
            return
        assert answer == ("confirmed" if yes else "left")
        del self.sheet.asked[agent_id]
        if yes:
            self.sheet.seat(agent_id)
        else:
            self.sheet.serve()

    @rule(agent_id=agents, yes=st.booleans())
    def answer_for_the_manager(self, agent_id: UUID, yes: bool) -> None:
        """B7: in time, once, and yes only to a seat that is there."""
        booking = self.bookings.get(agent_id)
        if booking is None:
            return
        answer = self._answer((approve if yes else refuse)(self.database, booking, OPERATOR))
        if agent_id not in self.sheet.pending or self.sheet.refusal:
            assert answer in {"approval_unknown", "approval_answered", "approval_expired", "session_started", "session_is_cancelled"}
        elif yes and self.sheet.held > self.sheet.capacity:
            assert answer == "no_seat_left"
        else:
            assert answer == ("confirmed" if yes else "cancelled_by_lab")
            del self.sheet.pending[agent_id]
            if yes:
                self.sheet.seated.append(agent_id)
            else:
                self.sheet.serve()

    @rule(capacity=capacities)
    def change_capacity(self, capacity: int) -> None:
        """More seats serve the queue; fewer remove nobody (B8)."""
        if self.sheet.cancelled:
            return
        self.version += 1
        self._hear(capacity)
        self.sheet.capacity = capacity
        self.sheet.serve()

    @rule()
    def move_to_another_city(self) -> None:
        """M1: who has a seat is asked, and keeps it."""
        if self.sheet.cancelled:
            return
        self.version += 1
        self.city = "Rodez" if self.city != "Rodez" else "Foix"
        self._hear(self.sheet.capacity)
        self.sheet.move_away()
        self.sheet.serve()

    @rule(agent_id=agents)
    def still_come(self, agent_id: UUID) -> None:
        booking = self.bookings.get(agent_id)
        if booking is None:
            return
        answer = self._answer(confirm(self.database, booking))
        if agent_id in self.sheet.unsure and not self.sheet.refusal:
            assert answer == "confirmed"
            del self.sheet.unsure[agent_id]
        else:
            assert answer.startswith(("reconfirmation_", "session_"))

    @rule(age=st.integers(0, 2))
    def hear_old_news(self, age: int) -> None:
        """E4."""
        self._hear(9, version=max(1, self.version - age))

    @rule()
    def cancel_the_session(self) -> None:
        """E2. It ends the places that are there, and refuses those who come after."""
        self.version += 1
        self._hear(self.sheet.capacity, status="cancelled")
        self.sheet.cancelled = True
        self.sheet.seated.clear()
        self.sheet.asked.clear()
        self.sheet.pending.clear()
        self.sheet.unsure.clear()
        self.sheet.queue.clear()

    @rule(hours=st.sampled_from([1, 4, 20, 48, 100]))
    def wait(self, hours: int) -> None:
        """W3: the timers end what nobody answered. W4: past the cut-off nobody is asked."""
        it_is(now() + timedelta(hours=hours))
        self.sheet.let_expire()
        self.runner.run(timers_fire(self.database))

    @invariant()
    def the_rows_are_those_on_paper(self) -> None:
        async def read() -> tuple[Any, Any]:
            async with self.database.connect() as connection:
                asked = {"session_id": self.session_id}
                return (await connection.execute(PLACES, asked)).all(), (await connection.execute(COUNTERS, asked)).one()

        places, counters = self.runner.run(read())
        settled = {row.agent_id for row in places if row.state.endswith("confirmed")} - set(self.sheet.pending)
        assert settled == set(self.sheet.seated)
        asked = {row.agent_id: row.pending_until for row in places if row.pending_until}
        assert asked == self.sheet.pending | self.sheet.unsure
        assert {row.agent_id: row.offer_deadline for row in places if row.state == "offeredwaiting"} == self.sheet.asked
        assert [row.agent_id for row in places if row.state == "waiting"] == self.sheet.queue
        assert tuple(counters) == (self.sheet.capacity, self.sheet.held, len(self.sheet.queue))

    def teardown(self) -> None:
        """Of this session: the clock of the others' examples is not ours."""
        self.runner.run(nothing_is_wrong(self.database, self.session_id))

    def _answer(self, order: Awaitable[Booking]) -> str:
        async def answered() -> str:
            try:
                return str((await order).state)
            except Refused as refusal:
                return refusal.code

        return self.runner.run(answered())

    def _hear(self, capacity: int, *, version: int | None = None, status: str = "scheduled") -> None:
        told = catalog_says(
            self.session_id,
            version=version or self.version,
            capacity=capacity,
            starts_at=STARTS_AT,
            status=status,
            activity_type=ActivityType.TRAINING,
            needs_approval=self.sheet.needs_approval,
            city=self.city,
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

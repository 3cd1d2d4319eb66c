"""Groups and agents in one queue, against PostgreSQL: after each step the rows are those on paper (G1-G3, W6, W1-W4, B8, E2, E4).

A training, whose freed seats are offered and whose offers expire by their timers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from services.booking.seats import handlers
from shared.contracts.booking import Booking
from shared.contracts.catalog import ActivityType
from shared.contracts.groups import GroupBooking
from shared.database import Database
from shared.errors import Refused
from shared.outbox import uuid7
from shared.settings import Settings
from tests.booking.given import (
    STARTS_AT,
    accept,
    an_order,
    book_together,
    cancel,
    catalog_says,
    decline,
    hear,
    it_is,
    nothing_is_wrong,
    timers_fire,
)
from tests.booking.group_givens import book_group, booking_now, cancel_group, leave_part, name_seats, take_part
from tests.booking.groups_paper import CLOSES_AT, Party, Sheet, now

CONTACTS = [uuid4() for _ in range(3)]
PLACES = text(
    """
    select agent_id, coalesce(offer_state, '') || state as state, offer_deadline from booking
    where session_id = :session_id and state in ('confirmed', 'waiting') order by booking.session_sequence
    """
)
GROUPS = text(
    """
    select contact_agent_id, seats_unnamed, seats_awaited, seats_held, holds_until, offer_deadline,
           case when seats_unnamed > 0 then names_due_at end as names_due_at
    from group_booking
    where session_id = :session_id and state in ('waiting', 'partly_confirmed', 'confirmed')
    """
)
COUNTERS = text("select capacity, held, waiting, passed from session where session_id = :session_id")


agents = st.integers(0, 5)
capacities = st.integers(1, 4)


class GroupsInPostgres(RuleBasedStateMachine):
    """Every example has a session and agents of its own in the test's database."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]

    @initialize(capacity=capacities)
    def open(self, capacity: int) -> None:
        it_is(STARTS_AT - timedelta(days=12))
        self.agents = [uuid4() for _ in range(6)]
        self.sheet = Sheet(capacity)
        self.session_id = uuid7()
        self.version = 1
        self.bookings: dict[UUID, Booking] = {}
        self.groups: dict[UUID, GroupBooking] = {}
        self._hear(capacity)

    @rule(group=st.lists(agents, min_size=1, max_size=5))
    def book(self, group: list[int]) -> None:
        """Orders that one commit carries, an agent's second one included (B1-B4)."""
        expected = [self.sheet.book(self.agents[who]) for who in group]

        answers = self.runner.run(book_together(self.database, [an_order(self.session_id, self.agents[who]) for who in group]))

        assert [answer.code if isinstance(answer, Refused) else str(answer.state) for answer in answers] == expected
        self.bookings |= {each.agent_id: each for each in answers if isinstance(each, Booking)}

    @rule(contact=st.sampled_from(CONTACTS), seats=st.integers(2, 4), partial=st.booleans())
    def book_a_group(self, contact: UUID, seats: int, partial: bool) -> None:
        """G1: all, a part if its contact said so, or a place in the queue."""
        expected = self.sheet.book_group(contact, seats, partial)

        answer = self._answer_for_group(book_group(self.database, self.session_id, seats, partial=partial, contact=contact))

        assert answer == expected

    @rule(contact=st.sampled_from(CONTACTS), yes=st.booleans())
    def answer_for_the_group(self, contact: UUID, yes: bool) -> None:
        """W6: a part is taken by a yes, or left to those who fit."""
        group, party = self._party(contact)
        if group is None:
            return
        answer = self._answer_for_group((take_part if yes else leave_part)(self.database, group))
        if party is None or party.answer_by is None:
            assert answer == "group_offer_unknown"
        elif yes:
            party.take(0)
            self.sheet.leave(party) if not party.awaits else None
        else:
            self.sheet.pass_on(party)

    @rule(contact=st.sampled_from(CONTACTS), who=agents)
    def name(self, contact: UUID, who: int) -> None:
        """G2, G3: an agent has one place, whatever they had before."""
        agent_id = self.agents[who]
        group, party = self._party(contact)
        if group is None:
            return
        expected = self.sheet.name(party, agent_id)

        assert self._answer_for_group(name_seats(self.database, group, agent_id)) == expected

        if party and agent_id in party.members:
            (member,) = [each for each in self.groups[contact].members if each.agent_id == agent_id]
            self.bookings[agent_id] = self.runner.run(booking_now(self.database, member.booking_id))

    @rule(contact=st.sampled_from(CONTACTS))
    def cancel_the_group(self, contact: UUID) -> None:
        group, party = self._party(contact)
        if group is None or party is None or self.sheet.refusal:
            return
        assert self._answer_for_group(cancel_group(self.database, group)) == "cancelled"
        self.sheet.parties.remove(party)
        if party in self.sheet.queue:
            party.awaits = 0
            self.sheet.leave(party)
        self.sheet.serve()

    @rule(group=st.lists(agents, min_size=1, max_size=5))
    def book_in_a_transaction_that_fails(self, group: list[int]) -> None:
        """Nothing of it stays: neither places nor counters nor facts."""

        async def fail() -> None:
            async with self.database.begin() as tx:
                await handlers.book_seats([an_order(self.session_id, self.agents[who]) for who in group], tx)
                raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            self.runner.run(fail())

    @rule(who=agents)
    def cancel(self, who: int) -> None:
        """A freed seat goes to the head of the queue at once (W1); too late leaves a trace (N1)."""
        agent_id = self.agents[who]
        booking = self.bookings.pop(agent_id, None)
        if booking is None:
            return
        party = self.sheet.party_of(agent_id)
        if agent_id not in [*self.sheet.seated, *self.sheet.asked, *self.sheet.queue] and party is None:
            expected = "booking_not_active"
        elif self.sheet.refusal:
            expected = self.sheet.refusal
            self.bookings[agent_id] = booking
        elif agent_id in self.sheet.queue:
            self.sheet.leave(agent_id)
            expected = "left"
        elif agent_id in self.sheet.asked:
            del self.sheet.asked[agent_id]
            self.sheet.serve()
            expected = "left"
        else:
            (party.members if party else self.sheet.seated).remove(agent_id)
            self.sheet.serve()
            expected = "late_cancelled" if now() > CLOSES_AT else "cancelled_by_agent"

        assert self._answer(cancel(self.database, booking)) == expected

    @rule(who=agents, yes=st.booleans())
    def answer_the_offer(self, who: int, yes: bool) -> None:
        """W3: whoever is not asked, or not any more, changes nothing."""
        agent_id = self.agents[who]
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
        self.sheet.passed = min(self.sheet.passed, max(0, capacity - self.sheet.held))
        self.sheet.serve()

    @rule(age=st.integers(0, 2))
    def hear_old_news(self, age: int) -> None:
        """E4."""
        self._hear(9, version=max(1, self.version - age))

    @rule(really=st.sampled_from([False] * 7 + [True]))
    def cancel_the_session(self, really: bool) -> None:
        """E2. It ends the places that are there, and refuses those who come after: little happens afterwards, hence seldom."""
        if not really:
            return
        self.version += 1
        self._hear(self.sheet.capacity, status="cancelled")
        self.sheet.cancelled = True
        self.sheet.seated.clear()
        self.sheet.asked.clear()
        self.sheet.queue.clear()
        self.sheet.parties.clear()
        self.sheet.passed = 0

    @rule(hours=st.sampled_from([1, 4, 20, 48, 100]))
    def wait(self, hours: int) -> None:
        """W3: the timers end what nobody answered. W4: past the cut-off nobody is asked."""
        it_is(now() + timedelta(hours=hours))
        self.sheet.let_expire()
        self.runner.run(timers_fire(self.database))

    @rule()
    def wait_for_the_next_deadline(self) -> None:
        kept = [until for party in self.sheet.parties if (until := party.answer_by or party.until)]
        unnamed = [party.names_by for party in self.sheet.parties if party.has and party.names_by]
        if due := [*self.sheet.asked.values(), *kept, *unnamed]:
            it_is(max(now(), min(due)))
            self.sheet.let_expire()
            self.runner.run(timers_fire(self.database))

    @invariant()
    def the_rows_are_those_on_paper(self) -> None:
        async def read() -> tuple[Any, Any, Any]:
            async with self.database.connect() as connection:
                asked = {"session_id": self.session_id}
                places, groups = await connection.execute(PLACES, asked), await connection.execute(GROUPS, asked)
                return places.all(), groups.all(), (await connection.execute(COUNTERS, asked)).one()

        sheet = self.sheet
        places, groups, counters = self.runner.run(read())
        assert {row.agent_id for row in places if row.state.endswith("confirmed")} == {
            *sheet.seated,
            *(agent_id for party in sheet.parties for agent_id in party.members),
        }
        assert {row.agent_id: row.offer_deadline for row in places if row.state == "offeredwaiting"} == sheet.asked
        assert [row.agent_id for row in places if row.state == "waiting"] == [each for each in sheet.queue if isinstance(each, UUID)]
        assert sorted(tuple(row) for row in groups) == sorted(
            (party.contact, party.has, party.awaits, party.kept, party.until, party.answer_by, party.names_by if party.has else None)
            for party in sheet.parties
        )
        assert tuple(counters) == (sheet.capacity, sheet.held, len(sheet.queue), sheet.passed)

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

    def _party(self, contact: UUID) -> tuple[GroupBooking | None, Party | None]:
        return self.groups.get(contact), next((party for party in self.sheet.parties if party.contact == contact), None)

    def _answer_for_group(self, order: Awaitable[GroupBooking]) -> str:
        async def answered() -> str:
            try:
                group = await order
            except Refused as refusal:
                return refusal.code
            self.groups[group.contact_agent_id] = group
            return str(group.state)

        return self.runner.run(answered())

    def _hear(self, capacity: int, *, version: int | None = None, status: str = "scheduled") -> None:
        told = catalog_says(
            self.session_id,
            version=version or self.version,
            capacity=capacity,
            starts_at=STARTS_AT,
            status=status,
            activity_type=ActivityType.TRAINING,
            private=True,
        )
        self.runner.run(hear(self.database, told))


@pytest.fixture
def loop_of_its_own() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.timeout(420)  # seconds are enough when all is well; a failure is made small first
def test_any_order_of_steps_with_groups_leaves_the_rows_that_the_rules_foresee(
    loop_of_its_own: asyncio.Runner, postgres_settings: Callable[[str], Settings]
) -> None:
    GroupsInPostgres.database = Database.of(postgres_settings("booking"))
    GroupsInPostgres.runner = loop_of_its_own
    try:
        run_state_machine_as_test(GroupsInPostgres, settings=settings(max_examples=50, stateful_step_count=50, deadline=None))
    finally:
        loop_of_its_own.run(GroupsInPostgres.database.dispose())

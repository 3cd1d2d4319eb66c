"""Any order of bookings, cancellations, promotions and changes of the session: the rules hold after each step (B1-B4, B8, W1, W4, E2)."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from services.booking.seats.domain import AlreadyBooked, Fact, SessionIsCancelled, SessionStarted
from shared.contracts.booking import ACTIVE_STATES, Booking, BookingCancelled, BookingState, WaitlistPromoted
from tests.booking.given import STARTS_AT, a_session, catalog_says

AGENTS = [uuid4() for _ in range(6)]
capacities = st.integers(1, 4)


class Seats(RuleBasedStateMachine):
    """The session under test and the rows that a store would keep, as plain as they can be."""

    places = Bundle("places")

    @initialize(capacity=capacities)
    def open(self, capacity: int) -> None:
        self.session = a_session(capacity=capacity, sequence=0)
        self.now: datetime = STARTS_AT - timedelta(days=10)
        self.rows: dict[UUID, Booking] = {}
        self.facts: list[Fact] = []

    @rule(target=places, agent_id=st.sampled_from(AGENTS))
    def book(self, agent_id: UUID) -> UUID:
        already = next((row.booking_id for row in self._active() if row.agent_id == agent_id), None)
        free = self.session.capacity - self.session.held
        queue = len(self._in(BookingState.WAITING))
        try:
            fact = self.session.book(uuid4(), agent_id, already, self.now)
        except AlreadyBooked:
            assert already is not None
            return already
        except (SessionStarted, SessionIsCancelled):
            assert self._over()
            return uuid4()
        assert already is None
        assert not self._over()
        assert (fact.state is BookingState.CONFIRMED) == (free > 0 and queue == 0)  # B1, B2
        self._keep(fact)
        return fact.booking_id

    @rule(booking_id=consumes(places))
    def cancel(self, booking_id: UUID) -> None:
        row = self.rows.get(booking_id)
        if row is None or row.state not in ACTIVE_STATES or self._over():
            return
        queue = self._in(BookingState.WAITING)
        fact = self.session.cancel(row, self.now)
        self._keep(fact)
        promoted = self._serve() if isinstance(fact, BookingCancelled) else []
        if row.state is BookingState.WAITING:
            assert self.session.servable(self.now) == 0  # no seat was freed
        assert promoted == [each.booking_id for each in queue[: len(promoted)]]  # W1: from the head, in order

    @rule(capacity=capacities)
    def change_capacity(self, capacity: int) -> None:
        before = self.session.held
        change = catalog_says(
            self.session.session_id,
            version=self.session.catalog_version + 1,
            capacity=capacity,
            starts_at=STARTS_AT,
            status=self.session.status,
        )
        assert self.session.follow(change.session, self.session.cancellation_cutoff)
        self._serve()
        assert self.session.held >= before  # B8: nobody is removed

    @rule(version=st.integers(0, 1))
    def hear_old_news(self, version: int) -> None:
        old = catalog_says(self.session.session_id, version=max(1, self.session.catalog_version - version), capacity=1, starts_at=self.now)
        before = (self.session.capacity, self.session.starts_at, self.session.sequence)
        assert not self.session.follow(old.session, self.now)  # E4
        assert before == (self.session.capacity, self.session.starts_at, self.session.sequence)

    @rule()
    def cancel_the_session(self) -> None:
        cancelled = catalog_says(
            self.session.session_id,
            version=self.session.catalog_version + 1,
            capacity=self.session.capacity,
            starts_at=STARTS_AT,
            status="cancelled",
        )
        self.session.follow(cancelled.session, self.session.cancellation_cutoff)
        for row in self._active():
            self._keep(self.session.close(row, "séance annulée", self.now))
        assert (self.session.held, self.session.waiting) == (0, 0)  # E2

    @rule(days=st.integers(1, 6))
    def wait(self, days: int) -> None:
        self.now += timedelta(days=days)

    @invariant()
    def the_counters_are_those_of_the_rows(self) -> None:
        assert self.session.held == len(self._in(BookingState.CONFIRMED))
        assert self.session.waiting == len(self._in(BookingState.WAITING))

    @invariant()
    def nobody_was_seated_before_one_who_waited_longer(self) -> None:
        seated = [row.session_sequence for row in self._in(BookingState.CONFIRMED)]
        waiting = [row.session_sequence for row in self._in(BookingState.WAITING)]
        assert not seated or not waiting or max(seated) < min(waiting)

    @invariant()
    def no_seat_stays_free_while_someone_waits(self) -> None:
        if not self._over():
            assert self.session.servable(self.now) == 0

    @invariant()
    def one_place_per_agent(self) -> None:
        agents = [row.agent_id for row in self._active()]
        assert len(agents) == len(set(agents))

    @invariant()
    def decisions_are_numbered_in_the_order_they_were_taken(self) -> None:
        numbers = [fact.session_sequence for fact in self.facts]
        assert numbers == sorted(set(numbers))

    def _over(self) -> bool:
        return self.session.status == "cancelled" or self.now >= self.session.starts_at

    def _active(self) -> list[Booking]:
        return [row for row in self.rows.values() if row.state in ACTIVE_STATES]

    def _in(self, state: BookingState) -> list[Booking]:
        return sorted((row for row in self.rows.values() if row.state is state), key=lambda row: row.session_sequence)

    def _serve(self) -> list[UUID]:
        heads = self._in(BookingState.WAITING)[: self.session.servable(self.now)]
        promoted = [self.session.promote(head, rank, "place libérée", self.now) for rank, head in enumerate(heads, start=1)]
        for fact in promoted:
            self._keep(fact)
        return [fact.booking_id for fact in promoted]

    def _keep(self, fact: Fact) -> None:
        known = self.rows.get(fact.booking_id)
        assert fact.version == (known.version if known else 0) + 1
        if isinstance(fact, WaitlistPromoted):
            assert known is not None
            assert self.session.held <= self.session.capacity
        joined = known.session_sequence if known else fact.session_sequence
        self.facts.append(fact)
        self.rows[fact.booking_id] = Booking(
            booking_id=fact.booking_id,
            session_id=fact.session_id,
            agent_id=fact.agent_id,
            state=fact.state,
            session_sequence=joined,
            version=fact.version,
            booked_at=fact.decided_at,
        )


Seats.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestSeats = Seats.TestCase

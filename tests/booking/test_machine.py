"""Any order of bookings, offers and their answers, cancellations and changes of the session: the rules hold after each step.

B1-B4, B6, B8, W1-W4, W7, E2, E4. A talk promotes, a training and a visit offer.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from services.booking.seats.domain import (
    AlreadyBooked,
    BookingClosed,
    Change,
    Fact,
    OfferExpired,
    OfferUnknown,
    Opening,
    SessionIsCancelled,
    SessionStarted,
    changed,
    is_offered,
    opened,
)
from shared.contracts.booking import (
    ACTIVE_STATES,
    Booking,
    BookingConfirmed,
    BookingState,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import ActivityType, SessionState
from shared.errors import Refused
from tests.booking.given import STARTS_AT, a_session, catalog_says, is_holiday, milestones_of

AGENTS = [uuid4() for _ in range(6)]
capacities = st.integers(1, 4)
kinds = st.sampled_from([ActivityType.INNOVATION_THURSDAY, ActivityType.TRAINING, ActivityType.LABTOUR])


class Seats(RuleBasedStateMachine):
    """The session under test and the rows that a store would keep, as plain as they can be."""

    places = Bundle("places")

    @initialize(capacity=capacities, kind=kinds)
    def open(self, capacity: int, kind: ActivityType) -> None:
        self.kind, self.starts_at = kind, STARTS_AT
        self.session = a_session(capacity=capacity, sequence=0, kind=kind)
        self.now: datetime = STARTS_AT - timedelta(days=16)
        self.rows: dict[UUID, Booking] = {}
        self.given: dict[UUID, int] = {}  # the decision that gave or offered each seat
        self.facts: list[Fact] = []

    @rule(target=places, agent_id=st.sampled_from(AGENTS), token=st.booleans())
    def book(self, agent_id: UUID, token: bool) -> UUID:
        already = next((row.booking_id for row in self._active() if row.agent_id == agent_id), None)
        free = self.session.capacity - self.session.held
        queue = self._queue()
        self.session.first_waiting = sum(row.priority for row in queue)  # what the store reads when a token is brought
        try:
            fact = self.session.book(uuid4(), agent_id, already, self.now, token=token)
        except AlreadyBooked:
            assert already is not None
            return already
        except (SessionStarted, SessionIsCancelled):
            assert self._over()
            return uuid4()
        except BookingClosed:
            assert self.now >= self.session.milestones.closes_at  # B6
            return uuid4()
        assert already is None
        assert not self._over()
        assert isinstance(fact, BookingConfirmed) == (free > 0 and not queue)  # B1, B2
        self._keep(fact)
        if isinstance(fact, WaitlistJoined):
            assert self._queue()[fact.rank - 1].booking_id == fact.booking_id  # W1
        return fact.booking_id

    @rule(booking_id=consumes(places))
    def cancel(self, booking_id: UUID) -> None:
        row = self.rows.get(booking_id)
        if row is None or row.state not in ACTIVE_STATES or self._over():
            return
        try:
            fact = self.session.cancel(row, self.now)
        except OfferExpired:
            assert row.offer is not None
            assert self.now >= row.offer.deadline
            return
        self._keep(fact)
        if isinstance(fact, WaitlistLeft):
            assert self.session.servable(self.now) == 0  # no seat was freed
        else:
            self._serve()

    @rule(booking_id=places, yes=st.booleans())
    def answer(self, booking_id: UUID, yes: bool) -> None:
        """W3: in time or not at all, and once."""
        row = self.rows.get(booking_id)
        if row is None or row.state not in ACTIVE_STATES or self._over():
            return
        held = self.session.held
        try:
            fact = self.session.accept(row, self.now) if yes else self.session.decline(row, self.now)
        except OfferUnknown:
            assert row.offer is None
        except OfferExpired:
            assert row.offer is not None
            assert self.now >= row.offer.deadline
        except Refused:
            assert not is_offered(row)
        else:
            assert row.offer is not None
            assert self.now < row.offer.deadline
            assert self.session.held == held - (not yes)
            self._keep(fact)
            self._serve()

    @rule(capacity=capacities)
    def change_capacity(self, capacity: int) -> None:
        before = self.session.held
        assert self.session.follow(self._catalog(capacity=capacity), self.session.milestones)
        self._serve()
        assert self.session.held >= before  # B8: nobody is removed

    @rule(days=st.integers(-4, 4))
    def move(self, days: int) -> None:
        """W4, W7: the queue keeps its order, and no offer lasts past the new cut-off."""
        if self._over():
            return
        queue = [row.booking_id for row in self._queue()]
        self.starts_at += timedelta(days=days)
        self.session.follow(self._catalog(capacity=self.session.capacity), milestones_of(self.kind, self.starts_at))
        for row in list(self.rows.values()):
            if row.offer and is_offered(row) and (fact := self.session.bring_forward(row, row.offer, self.now)):
                self._keep(fact)
        assert [row.booking_id for row in self._queue()] == queue
        self._serve()

    @rule(version=st.integers(0, 1))
    def hear_old_news(self, version: int) -> None:
        old = catalog_says(self.session.session_id, version=max(1, self.session.catalog_version - version), capacity=1, starts_at=self.now)
        before = (self.session.capacity, self.session.starts_at, self.session.sequence)
        assert not self.session.follow(old.session, milestones_of(self.kind, self.now))  # E4
        assert before == (self.session.capacity, self.session.starts_at, self.session.sequence)

    @rule()
    def cancel_the_session(self) -> None:
        self.session.follow(self._catalog(capacity=self.session.capacity, status="cancelled"), self.session.milestones)
        for row in self._active():
            self._keep(self.session.close(row, "séance annulée", self.now))
        assert (self.session.held, self.session.waiting) == (0, 0)  # E2

    @rule(hours=st.sampled_from([1, 5, 20, 48, 100]))
    def wait(self, hours: int) -> None:
        """The timers of the offers fire, each serving the next of the queue (W3)."""
        self.now += timedelta(hours=hours)
        while late := [row for row in self._active() if row.offer and is_offered(row) and row.offer.deadline <= self.now]:
            assert late[0].offer is not None
            self._keep(self.session.expire(late[0], late[0].offer, self.now))
            self._serve()

    @invariant()
    def the_counters_are_those_of_the_rows(self) -> None:
        assert self.session.held == len(self._held())  # no orphan hold
        assert self.session.waiting == len(self._queue())

    @invariant()
    def nobody_was_served_before_one_who_came_first(self) -> None:
        for seated in self._held():
            for row in self._queue():
                was_waiting = row.session_sequence < self.given[seated.booking_id]
                assert not was_waiting or _turn(seated) < _turn(row)  # W1

    @invariant()
    def no_seat_stays_free_while_someone_waits(self) -> None:
        if not self._over():
            assert self.session.servable(self.now) == 0

    @invariant()
    def no_offer_outlives_its_deadline_or_the_cut_off(self) -> None:
        for row in self._active():
            if row.offer and is_offered(row):
                assert self.now < row.offer.deadline <= self.session.milestones.offers_until  # W3, W4

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

    def _held(self) -> list[Booking]:
        return [row for row in self._active() if row.state is BookingState.CONFIRMED or is_offered(row)]

    def _queue(self) -> list[Booking]:
        return sorted((row for row in self._active() if row.state is BookingState.WAITING and not is_offered(row)), key=_turn)

    def _catalog(self, *, capacity: int, status: str | None = None) -> SessionState:
        version = self.session.catalog_version + 1
        return catalog_says(
            self.session.session_id,
            version=version,
            capacity=capacity,
            starts_at=self.starts_at,
            status=status or self.session.status,
        ).session

    def _serve(self) -> None:
        queue = self._queue()
        heads = queue[: self.session.servable(self.now)]
        for rank, head in enumerate(heads, start=1):
            fact = self.session.serve(head, rank, "place libérée", self.now, is_holiday)
            promoted = self.kind is ActivityType.INNOVATION_THURSDAY and self.now < self.session.starts_at - timedelta(hours=24)
            assert isinstance(fact, WaitlistPromoted) == promoted  # W2
            assert self.session.held <= self.session.capacity
            self._keep(fact)

    def _keep(self, fact: Fact) -> None:
        known = self.rows.get(fact.booking_id)
        assert fact.version == (known.version if known else 0) + 1
        self.facts.append(fact)
        if isinstance(fact, BookingConfirmed | SeatOfferMade | WaitlistPromoted):
            self.given.setdefault(fact.booking_id, fact.session_sequence)
        self.rows[fact.booking_id] = changed(known, cast("Change", fact)) if known else opened(cast("Opening", fact), 0)


def _turn(place: Booking) -> tuple[bool, int]:
    return not place.priority, place.session_sequence


Seats.TestCase.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
TestSeats = Seats.TestCase

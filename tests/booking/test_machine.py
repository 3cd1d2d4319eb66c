"""Any order of bookings, offers and their answers, groups, cancellations and changes of the session: the rules hold after each step.

B1-B4, B6-B8, G1-G3, W1-W4, W6, W7, M1, E2, E4. A talk promotes, a training and a visit offer.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import cast
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule

from services.booking.approval.domain import FactT, approve, ask_again, ask_first, expire, refuse
from services.booking.groups import domain as groups
from services.booking.moves.domain import Move, ask, confirm, silence
from services.booking.names import domain as names
from services.booking.pending.domain import is_open
from services.booking.queue import domain as queue
from services.booking.queue.domain import Moment
from services.booking.seats.domain import Fact, OfferExpired, OfferUnknown, is_offered
from services.booking.seats.refusals import AlreadyBooked, BookingClosed, BookingNotOpenYet, SessionIsCancelled, SessionStarted
from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import (
    ACTIVE_STATES,
    Booking,
    BookingConfirmed,
    BookingState,
    PendingKind,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import ActivityType, SessionState
from shared.contracts.groups import (
    ACTIVE_GROUP_STATES,
    GroupBooking,
    GroupBookingBypassed,
    GroupChoice,
    GroupEvent,
    GroupState,
)
from shared.errors import Refused
from tests.booking.given import STARTS_AT, a_session, already_there, catalog_says, is_holiday, milestones_of, nothing_else
from tests.booking.machine_invariants import Invariants

AGENTS = [uuid4() for _ in range(6)]
MANAGER = uuid4()
capacities = st.integers(1, 5)
kinds = st.sampled_from([ActivityType.INNOVATION_THURSDAY, ActivityType.TRAINING, ActivityType.LABTOUR])


class Seats(Invariants, RuleBasedStateMachine):
    """The session under test and the rows that a store would keep, as plain as they can be."""

    places = Bundle("places")
    parties = Bundle("parties")

    @initialize(capacity=capacities, kind=kinds, needs_approval=st.booleans())
    def open(self, capacity: int, kind: ActivityType, needs_approval: bool) -> None:
        self.kind, self.starts_at = kind, STARTS_AT
        self.session = a_session(capacity=capacity, sequence=0, kind=kind)
        self.session.needs_approval = needs_approval
        self.now: datetime = STARTS_AT - timedelta(days=16)
        self.rows: dict[UUID, Booking] = {}
        self.given: dict[UUID, int] = {}  # the decision that gave or offered each seat
        self.facts: list[Fact | GroupEvent] = []
        self.groups: dict[UUID, GroupBooking] = {}
        self.bypassed: set[UUID] = set()
        self.of_group: dict[UUID, UUID] = {}

    @rule(target=places, agent_id=st.sampled_from(AGENTS), token=st.booleans())
    def book(self, agent_id: UUID, token: bool) -> UUID:
        already = next((row.booking_id for row in self._active() if row.agent_id == agent_id), None)
        free = self._free_for_newcomers()
        self.session.first_waiting = sum(row.priority for row in self._queue())  # what the store reads when a token is brought
        try:
            has = already_there(self.session, already) if already else nothing_else()
            fact = self.session.book(uuid4(), agent_id, has, self.now, token=token)
        except AlreadyBooked:
            assert already is not None
            return already
        except (SessionStarted, SessionIsCancelled):
            assert self._over()
            return uuid4()
        except BookingNotOpenYet:
            assert self.session.milestones.opens_at is not None
            assert self.now < self.session.milestones.opens_at  # moved further away than six weeks (B6)
            return uuid4()
        except BookingClosed:
            assert self.now >= self.session.milestones.closes_at  # B6
            return uuid4()
        assert already is None
        assert not self._over()
        assert isinstance(fact, BookingConfirmed) == (free > 0)  # B1, B2
        self._keep(self._ask_first(fact))
        if isinstance(fact, WaitlistJoined):
            assert self._line()[fact.rank - 1] == self.rows[fact.booking_id]  # W1
        return fact.booking_id

    @rule(target=parties, seats=st.integers(2, 4), choice=st.sampled_from(GroupChoice))
    def book_group(self, seats: int, choice: GroupChoice) -> UUID:
        """G1: all, or the part that its contact chose to take, or a place in the queue."""
        free = self._free_for_newcomers()
        try:
            fact, *more = groups.request(self.session, uuid4(), uuid4(), seats, choice, self.now)
        except Refused:
            assert self._over() or self.now >= self.session.milestones.closes_at
            return uuid4()
        assert fact.seats_unnamed == (seats if seats <= free else free if choice is GroupChoice.PARTIAL else 0)
        assert fact.seats_unnamed + fact.seats_awaited == seats
        for each in (fact, *more):
            self._keep_group(each)
        self._serve()
        return fact.group_id

    @rule(group_id=parties, yes=st.booleans())
    def answer_for_the_group(self, group_id: UUID, yes: bool) -> None:
        """W6: a part is taken by a yes only; what is left goes to those who fit, and the group keeps its rank."""
        group = self._group(group_id)
        if group is None or self._over():
            return
        try:
            fact = queue.accept(self.session, group, self.now) if yes else queue.decline(self.session, group, self.now)
        except Refused:
            assert group.offer is None or self.now >= group.offer.deadline
            return
        assert fact.seats_unnamed - group.seats_unnamed == (group.seats_held if yes else 0)
        self._keep_group(fact)
        if isinstance(fact, GroupBookingBypassed):
            self._pass_on(group_id)

    @rule(group_id=parties, seats=st.integers(1, 4))
    def resize_group(self, group_id: UUID, seats: int) -> None:
        group = self._group(group_id)
        if group is None or self._over():
            return
        free = self._free_for_newcomers()
        try:
            facts = [*groups.resize(self.session, group, seats, self.now)]
        except groups.GroupCannotGrow:
            assert seats - groups.size_of(group) > free
            return
        except BookingClosed:
            assert seats > groups.size_of(group)
            return
        except groups.GroupNotActive:
            assert group.state not in ACTIVE_GROUP_STATES
            return
        except groups.GroupHasMoreNames:
            assert seats < group.seats_named
            return
        for fact in facts:
            self._keep_group(fact)
        assert groups.size_of(cast("GroupBooking", self._group(group_id))) == seats
        self._serve()

    @rule(group_id=consumes(parties))
    def cancel_group(self, group_id: UUID) -> None:
        group = self._group(group_id)
        if group is not None and group.state in ACTIVE_GROUP_STATES and not self._over():
            self._keep_group(groups.end(self.session, group, GroupState.CANCELLED, self.now))
            for fact in names.dismiss(self.session, self._members(group_id), self.now):
                self._keep(fact)
            self._serve()

    @rule(target=places, group_id=parties, agent_id=st.sampled_from(AGENTS))
    def name(self, group_id: UUID, agent_id: UUID) -> UUID:
        """G2: one seat less without a name. G3: whoever had a place has one still, and a seat too many is free."""
        group, known, new = self._group(group_id), self._place_of(agent_id), uuid4()
        if group is None:
            return new
        held, had_seat = self.session.held, known is not None and known.booking in self._held()
        try:
            groups.must_be_active(group)
            facts = [*names.name(self.session, group, [names.Newcomer(agent_id, new, known, nothing_else())], self.now)]
        except Refused:
            in_another = known is not None and known.group_id is not None
            assert self._over() or not group.seats_unnamed or in_another or group.state not in ACTIVE_GROUP_STATES
            return new
        for fact in facts:
            self._keep_joining(fact, group_id)
        assert self.session.held == held - (had_seat and bool(facts))
        after = self._place_of(agent_id)
        assert after is not None
        assert (after.booking.state, after.group_id) == (BookingState.CONFIRMED, group_id)
        self._serve()
        return after.booking.booking_id

    @rule(target=places, booking_id=places, agent_id=st.sampled_from(AGENTS))
    def transfer(self, booking_id: UUID, agent_id: UUID) -> UUID:
        """G2: the same seat with another name, and the queue is not asked unless one is free by it (G3)."""
        row, group = self.rows.get(booking_id), self._group(self.of_group.get(booking_id))
        if row is None or group is None:
            return booking_id
        known, held, new = self._place_of(agent_id), self.session.held, uuid4()
        try:
            left, joined, gone = names.transfer(self.session, row, group, names.Newcomer(agent_id, new, known, nothing_else()), self.now)
        except Refused:
            late = self.now >= self.session.starts_at - timedelta(hours=2)
            assert self._over() or late or row.state is not BookingState.CONFIRMED or (known is not None and known.group_id)
            return booking_id
        had_seat = known is not None and known.booking in self._held()
        for fact in (*left, joined, gone):
            self._keep_joining(fact, group.group_id)
        assert self.session.held == held - had_seat
        assert self.rows[booking_id].state is BookingState.CANCELLED_BY_AGENT
        self._serve()
        return joined.booking_id

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
            fact = self.session.accept(row, nothing_else(), self.now) if yes else self.session.decline(row, self.now)
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
            self._keep(self._ask_first(fact))
            self._serve()

    @rule(booking_id=places, yes=st.booleans())
    def decide(self, booking_id: UUID, yes: bool) -> None:
        """B7: the line manager answers in time or not at all, once, and only a seat that is there becomes sure."""
        row = self.rows.get(booking_id)
        if row is None:
            return
        held = self.session.held
        try:
            fact = (approve if yes else refuse)(self.session, row, self.now)
        except Refused:
            assert not is_open(row, PendingKind.PENDING_APPROVAL) or self._over() or (yes and held > self.session.capacity)
            assert self.session.held == held
        else:
            assert is_open(row, PendingKind.PENDING_APPROVAL)
            assert self.session.held == held - (not yes)
            self._keep(fact)
            self._serve()

    @rule(booking_id=places)
    def still_come(self, booking_id: UUID) -> None:
        """M1: who was asked says yes once, and the seat stays."""
        row = self.rows.get(booking_id)
        if row is None:
            return
        held = self.session.held
        try:
            fact = confirm(self.session, row, self.now)
        except Refused:
            assert not is_open(row, PendingKind.TO_RECONFIRM) or self._over()
        else:
            assert is_open(row, PendingKind.TO_RECONFIRM)
            self._keep(fact)
        assert self.session.held == held

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
        before = [row.session_sequence for row in self._line()]
        self.starts_at += timedelta(days=days)
        self.session.follow(self._catalog(capacity=self.session.capacity), milestones_of(self.kind, self.starts_at))
        for row in list(self.rows.values()):
            if row.offer and is_offered(row) and (fact := self.session.bring_forward(row, row.offer, self.now)):
                self._keep(fact)
        for row in self._pending(PendingKind.PENDING_APPROVAL):
            self._keep(ask_again(self.session, row, MANAGER, self.now, is_holiday))
        for row in self._active():
            if row.state is BookingState.CONFIRMED and not is_open(row, PendingKind.PENDING_APPROVAL) and not self._over():
                how = Move.OTHER_DAY if days else Move.SAME_DAY  # to another city
                self._keep(ask(self.session, row, how, self.now, is_holiday))  # M1
        for group in self._awaiting():
            if kept := queue.bring_forward(self.session, group, Moment(self.now, is_holiday)):
                self._keep_group(kept)
        assert [row.session_sequence for row in self._line()] == before
        self._ask_for_names_again()
        self._serve()

    @rule(version=st.integers(0, 1))
    def hear_old_news(self, version: int) -> None:
        old = catalog_says(self.session.session_id, version=max(1, self.session.catalog_version - version), capacity=1, starts_at=self.now)
        before = (self.session.capacity, self.session.starts_at, self.session.sequence)
        assert not self.session.follow(old.session, milestones_of(self.kind, self.now))  # E4
        assert before == (self.session.capacity, self.session.starts_at, self.session.sequence)

    @rule(really=st.sampled_from([False] * 7 + [True]))
    def cancel_the_session(self, really: bool) -> None:
        if not really:
            return  # little happens afterwards
        self.session.follow(self._catalog(capacity=self.session.capacity, status="cancelled"), self.session.milestones)
        for row in self._active():
            self._keep(self.session.close(row, "séance annulée", self.now))
        for group in self._active_groups():
            self._keep_group(groups.end(self.session, group, GroupState.CLOSED, self.now, "séance annulée"))
        assert (self.session.held, self.session.waiting) == (0, 0)  # E2

    @rule(hours=st.sampled_from([1, 5, 20, 48, 100]))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self._fire_timers()

    @rule()
    def wait_for_the_next_deadline(self) -> None:
        offers = [each.offer.deadline for each in (*self._offered(), *self._awaiting()) if each.offer]
        gathered = [group.holds_until for group in self._awaiting() if group.holds_until and group.offer is None]
        unnamed = [group.names_due_at for group in self._active_groups() if group.seats_unnamed and group.names_due_at]
        if (due := [*offers, *gathered, *unnamed]) and not self._over():
            self.now = max(self.now, min(due))
            self._fire_timers()

    def _fire_timers(self) -> None:
        """Of the offers, each serving the next of the queue (W3), of what groups gathered (W6) and of what has no name (G2)."""
        for group_id in [*self.groups]:
            group = self._group(group_id)
            if group and not self._over() and (fact := names.release(self.session, group, self.now)):
                self._keep_group(fact)
                self._serve()
        for group in self._awaiting():
            if group.holds_until and group.holds_until <= self.now and group.offer is None:
                self._keep_group(queue.offer_what_is_held(self.session, group, Moment(self.now, is_holiday)))
        while gone := [group for group in self._awaiting() if group.offer and group.offer.deadline <= self.now]:
            self._keep_group(queue.expire(self.session, gone[0], self.now))
            self._pass_on(gone[0].group_id)
        while late := [row for row in self._offered() if row.offer and row.offer.deadline <= self.now]:
            assert late[0].offer is not None
            self._keep(self.session.expire(late[0], late[0].offer, self.now))
            self._serve()
        while late := [row for row in self._pending() if row.pending and row.pending.deadline <= self.now]:
            assert late[0].pending is not None
            end = expire if is_open(late[0], PendingKind.PENDING_APPROVAL) else silence
            self._keep(end(self.session, late[0], late[0].pending, self.now))
            self._serve()

    def _ask_for_names_again(self) -> None:
        for group in self._active_groups():
            if due := names.date_again(self.session, group, self.now, is_holiday):
                self._keep_group(due)

    def _ask_first(self, fact: FactT) -> FactT | BookingApprovalRequested:
        return ask_first(self.session, fact, MANAGER, self.now, is_holiday)

    def _catalog(self, *, capacity: int, status: str | None = None) -> SessionState:
        version = self.session.catalog_version + 1
        return catalog_says(
            self.session.session_id,
            version=version,
            capacity=capacity,
            starts_at=self.starts_at,
            status=status or self.session.status,
            needs_approval=self.session.needs_approval,
        ).session

    def _serve(self) -> None:
        self._give(queue.share(self.session, self._line(), Moment(self.now, is_holiday, agenda_of=lambda _: nothing_else())))

    def _pass_on(self, group_id: UUID) -> None:
        behind = [entry for entry in self._line() if entry != self.groups[group_id]]
        self._give(queue.share_what_was_passed_on(self.session, behind, Moment(self.now, is_holiday, agenda_of=lambda _: nothing_else())))

    def _give(self, facts: Iterator[queue.Served]) -> None:
        for fact in facts:
            assert self.session.held <= self.session.capacity
            if isinstance(fact, GroupEvent):
                self._keep_group(fact)
                continue
            promoted = self.kind is ActivityType.INNOVATION_THURSDAY and self.now < self.session.starts_at - timedelta(hours=24)
            assert isinstance(fact, WaitlistPromoted) == promoted  # W2
            self._keep(self._ask_first(fact))


Seats.TestCase.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
TestSeats = pytest.mark.timeout(420)(Seats.TestCase)  # a failure is made small first

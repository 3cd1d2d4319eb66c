"""What holds after each step of a machine."""

from __future__ import annotations

from datetime import datetime

from hypothesis.stateful import invariant

from services.booking.pending.domain import is_open
from services.booking.seats.domain import is_offered
from shared.contracts.booking import BookingState
from shared.contracts.groups import GroupChoice
from tests.booking.machine_rows import Rows, turn


class Invariants(Rows):
    """Of the rows that a machine keeps, with what it remembers of how they came."""

    now: datetime

    @invariant()
    def the_counters_are_those_of_the_rows(self) -> None:
        of_groups = sum(group.seats_unnamed + group.seats_held for group in self._active_groups())
        assert self.session.held == len(self._held()) + of_groups  # no orphan hold
        assert self.session.waiting == len(self._line())
        assert 0 <= self.session.passed <= max(0, self.session.capacity - self.session.held)
        assert not self.session.passed or (self._awaiting() and not self._queue())  # an agent always fits

    @invariant()
    def no_group_has_a_part_that_it_did_not_take(self) -> None:
        for group in self._awaiting():
            assert group.choice is GroupChoice.ALL_OR_NOTHING or group.seats_held == 0  # G1
            assert group.seats_held < group.seats_awaited
            assert (group.seats_held > 0) == (group.holds_until is not None)

    @invariant()
    def no_seat_is_without_a_name_past_its_date(self) -> None:
        for group in self._active_groups():
            if group.seats_unnamed and not self._over():
                assert group.names_due_at is not None
                assert self.now < group.names_due_at <= self.session.starts_at  # G2

    @invariant()
    def nobody_passed_a_group_that_did_not_let_them(self) -> None:
        for group in self._awaiting():
            for seated in self._held():
                late = self._came(seated) > group.session_sequence and not seated.priority
                assert not late or group.group_id in self.bypassed  # W6

    @invariant()
    def nobody_was_served_before_one_who_came_first(self) -> None:
        for seated in self._held():
            if seated.booking_id in self.of_group:
                continue  # the group's turn, and not theirs
            for row in self._queue():
                was_waiting = row.session_sequence < self.given[seated.booking_id]
                assert not was_waiting or turn(seated) < turn(row)  # W1

    @invariant()
    def no_seat_stays_free_while_someone_waits(self) -> None:
        if not self._over():
            assert self.session.servable(self.now) == 0

    @invariant()
    def no_offer_outlives_its_deadline_or_the_cut_off(self) -> None:
        for row in self._active():
            if row.offer and is_offered(row):
                assert self.now < row.offer.deadline <= self.session.milestones.offers_until  # W3, W4
        for group in self._awaiting():
            if group.offer:
                assert self.now < group.offer.deadline <= self.session.milestones.offers_until

    @invariant()
    def a_question_is_about_a_seat_and_does_not_outlive_its_deadline(self) -> None:
        for row in self.rows.values():
            if is_open(row):
                assert row.state is BookingState.CONFIRMED  # B1
                assert self._over() or (row.pending is not None and self.now < row.pending.deadline <= self.session.starts_at)  # B7

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

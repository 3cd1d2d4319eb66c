"""Any order of bookings in both modes, changes between them and of their capacities, against PostgreSQL (B1-B3, B8, B9, W1).

After each step the rows are those of a paper model in which each mode is a list of seats and a queue, and the audit finds nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import text

from shared.contracts.booking import Booking
from shared.database import Database
from shared.errors import Refused
from shared.outbox import uuid7
from shared.settings import Settings
from tests.booking.given import an_order, book_together, cancel, catalog_says, hear, in_days, nothing_is_wrong, now_of
from tests.booking.mode_givens import change

agents = st.integers(0, 6)
modes = st.booleans()
capacities = st.integers(1, 4)
PLACES = text(
    """
    select agent_id, state from booking
    where session_id = :session_id and remote = :remote and state in ('confirmed', 'waiting')
    order by coalesce(given_sequence, session_sequence)
    """
)


@dataclass
class Sheet:
    """One mode on paper."""

    capacity: int
    seated: set[UUID] = field(default_factory=set[UUID])
    queue: list[UUID] = field(default_factory=list[UUID])

    @property
    def free(self) -> int:
        return 0 if self.queue else max(0, self.capacity - len(self.seated))

    def has(self, agent_id: UUID) -> bool:
        return agent_id in self.seated or agent_id in self.queue

    def book(self, agent_id: UUID) -> str:
        if self.free:
            self.seated.add(agent_id)
            return "confirmed"
        self.queue.append(agent_id)
        return "waiting"

    def leave(self, agent_id: UUID) -> str:
        if agent_id in self.queue:
            self.queue.remove(agent_id)
            return "left"
        self.seated.remove(agent_id)
        self.serve()
        return "cancelled_by_agent"

    def serve(self) -> None:
        while self.queue and len(self.seated) < self.capacity:
            self.seated.add(self.queue.pop(0))


class ModesInPostgres(RuleBasedStateMachine):
    """Every example has a session and agents of its own in the test's database."""

    database: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]

    @initialize(room=capacities, distant=capacities)
    def open(self, room: int, distant: int) -> None:
        self.agents = [uuid4() for _ in range(7)]
        self.session_id, self.version, self.starts_at = uuid7(), 0, in_days(30)
        self.sheets = {False: Sheet(room), True: Sheet(distant)}
        self.bookings: dict[UUID, Booking] = {}
        self._hear()

    @rule(group=st.lists(st.tuples(agents, modes), min_size=1, max_size=6))
    def book(self, group: list[tuple[int, bool]]) -> None:
        """Orders of both modes that one commit carries; an agent has one place in both together."""
        asked = [(self.agents[who], remote) for who, remote in group]
        expected = [self._has(agent_id) or self.sheets[remote].book(agent_id) for agent_id, remote in asked]

        orders = [an_order(self.session_id, agent_id, remote=remote) for agent_id, remote in asked]
        answers = self.runner.run(book_together(self.database, orders))

        assert [answer.code if isinstance(answer, Refused) else str(answer.state) for answer in answers] == expected
        self.bookings |= {answer.agent_id: answer for answer in answers if isinstance(answer, Booking)}

    @rule(who=agents)
    def cancel(self, who: int) -> None:
        if (booking := self.bookings.pop(self.agents[who], None)) is not None:
            (sheet,) = (sheet for sheet in self.sheets.values() if sheet.has(booking.agent_id))
            expected = sheet.leave(booking.agent_id)
            assert self.runner.run(cancel(self.database, booking)).state == expected

    @rule(who=agents, remote=modes)
    def change(self, who: int, remote: bool) -> None:
        """A free seat of the other mode, or nothing (B9)."""
        if (booking := self.bookings.get(agent_id := self.agents[who])) is None:
            return
        here, there = self.sheets[not remote], self.sheets[remote]
        expected = "unchanged" if there.has(agent_id) else "moved" if there.free else "no_seat_to_swap"
        if expected == "moved":
            there.seated.add(agent_id)
            here.leave(agent_id)

        async def answered() -> str:
            before = await now_of(self.database, booking)
            try:
                answer = await change(self.database, booking, remote=remote)
            except Refused as refusal:
                return refusal.code
            return "unchanged" if answer.version == before.version else "moved"

        assert self.runner.run(answered()) == expected

    @rule(remote=modes, capacity=capacities)
    def change_capacity(self, remote: bool, capacity: int) -> None:
        """Nobody is removed, and who waits is served (B8)."""
        self.sheets[remote].capacity = capacity
        self._hear()
        self.sheets[remote].serve()

    @invariant()
    def the_rows_are_those_on_paper(self) -> None:
        if hasattr(self, "sheets"):
            assert self.runner.run(self._rows()) == {remote: (sheet.seated, sheet.queue) for remote, sheet in self.sheets.items()}
            self.runner.run(nothing_is_wrong(self.database, self.session_id))

    def _has(self, agent_id: UUID) -> str | None:
        return "already_booked" if any(sheet.has(agent_id) for sheet in self.sheets.values()) else None

    def _hear(self) -> None:
        self.version += 1
        said = catalog_says(
            self.session_id,
            version=self.version,
            capacity=self.sheets[False].capacity,
            remote_capacity=self.sheets[True].capacity,
            starts_at=self.starts_at,
        )
        self.runner.run(hear(self.database, said))

    async def _rows(self) -> dict[bool, tuple[set[UUID], list[UUID]]]:
        found: dict[bool, tuple[set[UUID], list[UUID]]] = {}
        async with self.database.connect() as connection:
            for remote in (False, True):
                rows = (await connection.execute(PLACES, {"session_id": self.session_id, "remote": remote})).all()
                found[remote] = (
                    {row.agent_id for row in rows if row.state == "confirmed"},
                    [row.agent_id for row in rows if row.state == "waiting"],
                )
        return found


@pytest.mark.timeout(420)  # a failure is made small first
def test_B9_any_order_of_bookings_in_both_modes(
    postgres_settings: Callable[..., Settings],
) -> None:
    with asyncio.Runner() as runner:
        ModesInPostgres.runner, ModesInPostgres.database = runner, Database.of(postgres_settings("booking"))
        try:
            run_state_machine_as_test(ModesInPostgres, settings=settings(max_examples=50, stateful_step_count=50, deadline=None))
        finally:
            runner.run(ModesInPostgres.database.dispose())

"""G5 in any order: agent, lab, hosts, days that pass, and catalog's words late, twice or overtaken. On paper, then against PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from services.booking.proposals.domain import starts_at
from shared.contracts.catalog import SessionScheduled
from shared.contracts.messages import Event
from shared.contracts.tailored import (
    AgreeToProposal,
    AnswerAsHost,
    CloseTailoredRequest,
    DeclineTailoredRequest,
    FrameTailoredRequest,
    ProposalState,
    ProposeDates,
    RequestState,
    WithdrawTailoredRequest,
)
from shared.database import Database
from shared.errors import Refused
from shared.settings import Settings
from tests.booking.given import ALICE, OPERATOR, agent, it_is
from tests.booking.tailored import HOST, MONDAY, a_proposal, an_order, ask, hear, hear_seats, host, now_of, timers_fire, told
from tests.booking.tailored_paper import Paper

days = st.integers(5, 40)
first_three = st.integers(0, 2)
hosts = st.lists(st.booleans(), min_size=1, max_size=3)


class TailoredOnPaper(RuleBasedStateMachine):
    """One request, its hosts and catalog; `Paper` is what the pure rules make of it."""

    @initialize(steps=st.integers(0, 4))
    def submit(self, steps: int) -> None:
        """Somewhere on its way: there is more to go wrong where much has been agreed."""
        self.now: datetime = MONDAY
        it_is(self.now)
        self.paper = Paper()
        self.order(an_order(), agent(ALICE))
        way: list[Callable[[], None]] = [
            self.frame,
            lambda: self.propose([True, False], 20),
            lambda: self.host_answers(0, accepts=True),
            lambda: self.agree(0),
        ]
        for step in way[:steps]:
            step()

    # --- what people do ---------------------------------------------------------------------------------------------------------------

    def order(self, order: Any, caller: Any = OPERATOR) -> str | None:  # noqa: ARG002 - paper asks nobody who they are
        """The code of a refusal; None when it was carried out."""
        return self.paper.order(order, self.now)

    @property
    def about(self) -> dict[str, Any]:
        return {"tailored_request_id": self.paper.request.tailored_request_id}

    @rule()
    def frame(self) -> None:
        code = self.order(FrameTailoredRequest(**self.about))
        assert code in {None, "tailored_request_moved_on"}

    @rule(with_host=hosts, ahead=days)
    def propose(self, with_host: list[bool], ahead: int) -> None:
        dates = tuple(
            a_proposal((self.now + timedelta(days=ahead + place)).date(), host=HOST if each else None)
            for place, each in enumerate(with_host)
        )
        self.order(ProposeDates(**self.about, proposals=dates))

    @rule(place=first_three, accepts=st.booleans())
    def host_answers(self, place: int, *, accepts: bool) -> None:
        if proposal := self._proposal(place):
            before = self.paper.request
            who = host() if proposal.host_contact_id else OPERATOR  # the lab writes down what a host without a contact says
            code = self.order(AnswerAsHost(proposal_id=proposal.proposal_id, accepts=accepts), who)
            if code is None and not accepts and before.agreed_proposal_id == proposal.proposal_id:
                assert self.paper.request.state is RequestState.PROPOSED  # G5: reopened, with priority
                assert self.paper.request.priority

    @rule(place=first_three)
    def agree(self, place: int) -> None:
        if proposal := self._proposal(place):
            late = self.paper.request.proposals_expire_at is not None and self.paper.request.proposals_expire_at <= self.now
            code = self.order(AgreeToProposal(**self.about, proposal_id=proposal.proposal_id), agent(ALICE))
            if code is None:
                assert not late
                assert proposal.state is ProposalState.READY
                assert starts_at(proposal) > self.now

    @precondition(lambda self: self.paper.request.version > 4)
    @rule(unlikely=st.integers(0, 9))
    def end(self, unlikely: int) -> None:
        if unlikely == 0:
            self.order(DeclineTailoredRequest(**self.about, reason="Hors de nos missions", redirection="Le programme"))
        elif unlikely == 1:
            self.order(WithdrawTailoredRequest(**self.about), agent(ALICE))
        elif unlikely == 2:
            self.order(CloseTailoredRequest(**self.about))

    # --- what time and the bus do -----------------------------------------------------------------------------------------------------

    @rule(hours=st.integers(1, 120))
    def wait(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        it_is(self.now)

    @rule()
    def timers(self) -> None:
        self.paper.fire(self.now)

    @precondition(lambda self: self.paper.said)
    @rule(data=st.data(), refuses=st.booleans())
    def catalog_hears(self, data: Any, refuses: bool) -> None:
        """Any fact, in any order, as often as it likes."""
        self.paper.catalog_hears(data.draw(st.sampled_from(self.paper.said)), refuses=refuses)

    @precondition(lambda self: self.paper.answers)
    @rule(data=st.data())
    def booking_hears(self, data: Any) -> None:
        self.hear(data.draw(st.sampled_from(self.paper.answers)))

    def hear(self, answer: Event) -> None:
        self.paper.hear(answer, self.now)

    # --- what holds after every step --------------------------------------------------------------------------------------------------

    @invariant()
    def the_request_is_whole(self) -> None:
        request = self.paper.request
        taken = request.state in {RequestState.AGREED, RequestState.SCHEDULED, RequestState.HELD, RequestState.CLOSED}
        assert (request.session_id is not None) == taken == (request.agreed_proposal_id is not None)
        owed, waits = request.answer_due_at is not None, request.proposals_expire_at is not None
        if request.state in {RequestState.SUBMITTED, RequestState.FRAMING}:
            assert (owed, waits) == (True, False)
        elif request.state is RequestState.PROPOSED:
            assert owed != waits
            assert waits == any(each.state in {ProposalState.ASKED, ProposalState.READY} for each in request.proposals)
        else:
            assert (owed, waits) == (False, False)
        assert len(request.proposals) <= 3

    @invariant()
    def every_version_was_said_once_and_no_alarm_twice(self) -> None:
        assert [fact.version for fact in self.paper.facts] == list(range(1, self.paper.request.version + 1))
        assert len(self.paper.alarms) == len(set(self.paper.alarms))

    @invariant()
    def a_session_that_stands_belongs_to_the_request_or_is_about_to_be_given_up(self) -> None:
        standing = self.paper.standing()
        assert len(standing - self.paper.released) <= 1

    def teardown(self) -> None:
        """When everything said has been heard, no session is an orphan and none is missing."""
        if not hasattr(self, "paper"):
            return
        while news := self.paper.unheard():
            for fact in news:
                if isinstance(fact, SessionScheduled) or fact.service() == "catalog":
                    self.hear(fact)
                else:
                    self.paper.catalog_hears(fact, refuses=False)
        request = self.paper.request
        assert request.state is not RequestState.AGREED
        assert self.paper.standing() == ({request.session_id} if request.session_id else set())

    def _proposal(self, place: int) -> Any:
        return self.paper.request.proposals[place] if place < len(self.paper.request.proposals) else None


TailoredOnPaper.TestCase.settings = settings(max_examples=500, stateful_step_count=50, deadline=None)
TestTailoredOnPaper = TailoredOnPaper.TestCase


class TailoredInPostgres(TailoredOnPaper):
    """The same against booking's own handlers: after each step its row is the request on paper, and the refusals are the same."""

    booking: ClassVar[Database]
    runner: ClassVar[asyncio.Runner]

    def order(self, order: Any, caller: Any = OPERATOR) -> str | None:
        expected = super().order(order)
        assert self.runner.run(_code(self.booking, order, caller)) == expected
        return expected

    @rule()
    def timers(self) -> None:
        super().timers()
        self.runner.run(timers_fire(self.booking))

    def hear(self, answer: Event) -> None:
        super().hear(answer)
        self.runner.run(self._hear(answer))

    async def _hear(self, answer: Any) -> None:
        if hasattr(answer, "session"):
            await hear_seats(self.booking, answer)
        await hear(self.booking, answer)

    @invariant()
    def the_row_is_the_request_on_paper(self) -> None:
        assert self.runner.run(now_of(self.booking, self.paper.request)) == self.paper.request
        kinds = [type(fact).subject.split(".")[2].removeprefix("tailored_request_") for fact in self.paper.facts]
        assert self.runner.run(told(self.booking, self.paper.request)) == kinds


async def _code(booking: Database, order: Any, caller: Any) -> str | None:
    try:
        await ask(booking, order, caller)
    except Refused as refusal:
        return refusal.code
    return None


@pytest.fixture
def in_postgres(postgres_settings: Callable[..., Settings]) -> Iterator[None]:
    with asyncio.Runner() as runner:
        TailoredInPostgres.runner, TailoredInPostgres.booking = runner, Database.of(postgres_settings("booking"))
        yield
        runner.run(TailoredInPostgres.booking.dispose())


@pytest.mark.usefixtures("in_postgres")
def test_G5_the_rows_are_those_of_the_rules() -> None:
    run_state_machine_as_test(TailoredInPostgres, settings=settings(max_examples=50, stateful_step_count=50, deadline=None))

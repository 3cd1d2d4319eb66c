"""A tailored request, its timers and catalog, as the pure rules make them: no SQL, no bus."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from services.booking.requests import domain
from services.booking.requests.domain import Step
from services.booking.requests.handlers import DEADLINES
from shared import clock
from shared.contracts.catalog import PrivateSessionRefused, SessionCancelled, SessionScheduled, SessionState
from shared.contracts.messages import Event
from shared.contracts.tailored import (
    AgreeToProposal,
    AnswerAsHost,
    CloseTailoredRequest,
    DeclineTailoredRequest,
    FrameTailoredRequest,
    Proposal,
    ProposeDates,
    SubmitTailoredRequest,
    TailoredRequest,
    WithdrawTailoredRequest,
)
from shared.contracts.tailored_events import (
    TailoredRequestAgreed,
    TailoredRequestEvent,
    TailoredRequestHostWithdrew,
    TailoredRequestOverdue,
    TailoredRequestWithdrawn,
)
from shared.errors import Refused
from tests.booking.given import catalog_says, is_holiday


class Paper:
    """`request` and everything that was said of it; catalog's sessions, and everything that catalog answered."""

    request: TailoredRequest

    def __init__(self) -> None:
        self.facts: list[TailoredRequestEvent] = []
        self.alarms: list[datetime] = []
        self.timers: set[tuple[str, datetime]] = set()
        self.sessions: dict[UUID, SessionState] = {}
        self.taken_up: set[UUID] = set()
        self.answers: list[Event] = []
        self._heard: set[int] = set()

    # --- booking ----------------------------------------------------------------------------------------------------------------------

    def order(self, order: Any, now: datetime) -> str | None:
        try:
            self._take(self._decide(order, now))
        except Refused as refusal:
            return refusal.code
        return None

    def _decide(self, order: Any, now: datetime) -> Step:  # noqa: PLR0911 - one for each order
        match order:
            case SubmitTailoredRequest():
                return domain.submit(order, now, is_holiday)
            case FrameTailoredRequest():
                return domain.frame(self.request, now, is_holiday)
            case ProposeDates():
                return domain.propose(self.request, order.proposals, now, is_holiday)
            case AnswerAsHost(proposal_id=proposal_id):
                proposal = self._proposal(proposal_id)
                if order.accepts:
                    return domain.host_accepts(self.request, proposal, now)
                return domain.host_refuses(self.request, proposal, now, is_holiday)
            case AgreeToProposal(proposal_id=proposal_id):
                return domain.agree(self.request, self._proposal(proposal_id), now)
            case DeclineTailoredRequest():
                return domain.decline(self.request, order.reason, order.redirection, now)
            case WithdrawTailoredRequest():
                return domain.withdraw(self.request, now)
            case CloseTailoredRequest():
                return domain.close(self.request, now)
            case _:
                raise LookupError(order)

    def _proposal(self, proposal_id: UUID) -> Proposal:
        proposal = self.request.proposal(proposal_id)
        assert proposal
        return proposal

    def fire(self, now: datetime) -> None:
        """Every timer that is due, oldest first, as the poller takes them."""
        rules: dict[str, Any] = {
            "tailored_answer_due": domain.alarm,
            "tailored_proposals_expire": lambda request, now: domain.expire(request, now, is_holiday),
            "tailored_session_ends": lambda request, now: domain.hold(request, now, is_holiday),
            "tailored_closes": domain.close,
        }
        while due := sorted((at, kind) for kind, at in self.timers if at <= now):
            at, kind = due[0]
            self.timers.discard((kind, at))
            if DEADLINES[kind](self.request) == at:
                self._take(rules[kind](self.request, now))

    def hear(self, answer: Any, now: datetime) -> None:
        self._heard.add(id(answer))
        match answer:
            case SessionScheduled():
                self._take(domain.session_made(self.request, answer.session_id, answer.session.ends_at, now))
            case SessionCancelled():
                reason = f"La séance est annulée : {answer.reason}"
                self._take(
                    domain.session_lost(self.request, answer.session_id, "session_cancelled", reason, now, is_holiday, priority=True)
                )
            case PrivateSessionRefused():
                self._take(
                    domain.session_lost(self.request, answer.session_id, answer.code, answer.reason, now, is_holiday, priority=False)
                )
            case _:
                raise LookupError(answer)

    def _take(self, step: Step | None) -> None:
        if step is None:
            return
        before = getattr(self, "request", None)
        self.request = step.after
        self.facts.append(step.fact)
        if isinstance(step.fact, TailoredRequestOverdue):
            self.alarms.append(step.fact.due_at)
        for kind, deadline in DEADLINES.items():
            due = deadline(step.after)
            if due is not None and (before is None or due != deadline(before)):
                self.timers.add((kind, due))

    # --- catalog ----------------------------------------------------------------------------------------------------------------------

    @property
    def said(self) -> list[TailoredRequestEvent]:
        """What booking said that catalog listens to."""
        return [
            each for each in self.facts if isinstance(each, TailoredRequestAgreed | TailoredRequestHostWithdrew | TailoredRequestWithdrawn)
        ]

    @property
    def released(self) -> set[UUID]:
        gave_up = (each for each in self.said if isinstance(each, TailoredRequestHostWithdrew | TailoredRequestWithdrawn))
        return {each.session_id for each in gave_up if each.session_id}

    def catalog_hears(self, fact: TailoredRequestEvent, *, refuses: bool) -> None:
        self._heard.add(id(fact))
        match fact:
            case TailoredRequestAgreed():
                if fact.session_id not in self.taken_up:
                    self.taken_up.add(fact.session_id)
                    self._make(fact, refuses=refuses)
            case TailoredRequestHostWithdrew(session_id=session_id) | TailoredRequestWithdrawn(session_id=session_id) if session_id:
                first = session_id not in self.taken_up
                self.taken_up.add(session_id)
                if not first and session_id in self.standing():
                    self._say(catalog_says(session_id, version=2, starts_at=self.sessions[session_id].starts_at, status="cancelled"))
            case _:
                pass

    def _make(self, fact: TailoredRequestAgreed, *, refuses: bool) -> None:
        if refuses:
            refusal = PrivateSessionRefused(version=1, session_id=fact.session_id, code="venue_taken", reason="Le lieu est pris.")
            self.answers.append(refusal)
            return
        first = fact.proposal.periods[0]
        starts_at = first.local_start.replace(tzinfo=clock.PARIS)
        self._say(catalog_says(fact.session_id, starts_at=starts_at, activity_type=fact.activity_type, capacity=6))

    def _say(self, said: Any) -> None:
        self.sessions[said.session_id] = said.session
        self.answers.append(said)

    def standing(self) -> set[UUID]:
        return {session_id for session_id, session in self.sessions.items() if session.status == "scheduled"}

    def unheard(self) -> list[Any]:
        return [each for each in (*self.said, *self.answers) if id(each) not in self._heard]

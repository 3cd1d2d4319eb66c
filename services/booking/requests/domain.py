"""Rules of tailored requests (G5): a request and the clock in, the request after and the fact out, or a refusal. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from services.booking.deadlines.domain import IsHoliday, working_days_after
from services.booking.proposals.domain import (
    OPEN,
    HostNotConfirmed,
    ProposalAnswered,
    ProposalExists,
    ProposalExpired,
    ProposalOver,
    ProposalsOpen,
    check_periods,
    fact_of,
    hosts,
    must_be_ahead,
    starts_at,
)
from shared.contracts.tailored import HostView, NewProposal, Proposal, ProposalState, RequestState, SubmitTailoredRequest, TailoredRequest
from shared.contracts.tailored_events import (
    TailoredRequestAgreed,
    TailoredRequestClosed,
    TailoredRequestDeclined,
    TailoredRequestEvent,
    TailoredRequestExpired,
    TailoredRequestFramed,
    TailoredRequestHeld,
    TailoredRequestHostConfirmed,
    TailoredRequestHostRefused,
    TailoredRequestHostWithdrew,
    TailoredRequestOverdue,
    TailoredRequestProposed,
    TailoredRequestReopened,
    TailoredRequestScheduled,
    TailoredRequestSubmitted,
    TailoredRequestWithdrawn,
)
from shared.errors import Refused

ANSWER_DAYS = 5  # working days that the lab has for its next step (G5)
PROPOSAL_DAYS = 10  # working days that proposals are good for (G5)
CLOSING_DAYS = 10  # working days after the session, when its attendance sheet cannot change any more (N2)

BEFORE_AGREEMENT = frozenset({RequestState.SUBMITTED, RequestState.FRAMING, RequestState.PROPOSED})
AHEAD = BEFORE_AGREEMENT | {RequestState.AGREED, RequestState.SCHEDULED}


class TailoredRequestUnknown(Refused):
    """Also the answer to whoever asks for another agent's request."""

    code, status, title = "tailored_request_unknown", 404, "Cette demande n'existe pas."


class TailoredRequestExists(Refused):
    code, title = "tailored_request_exists", "Une autre demande porte déjà cet identifiant."


class TailoredRequestMovedOn(Refused):
    """Travels with the request's `state`."""

    code, title = "tailored_request_moved_on", "La demande n'en est plus là : rechargez-la pour voir où elle en est."


class PeriodInvalid(Refused):
    code, status, title = "period_invalid", 422, "La période souhaitée se termine avant de commencer, ou elle est déjà passée."


@dataclass(frozen=True, slots=True)
class Step:
    """What one decision makes of a request, and what is said of it."""

    after: TailoredRequest
    fact: TailoredRequestEvent


# --- from the agent's wishes to an agreement -------------------------------------------------------------------------------------------


def submit(order: SubmitTailoredRequest, now: datetime, is_holiday: IsHoliday) -> Step:
    """Acknowledged at once; the first human answer is due in five working days."""
    if order.latest < order.earliest or order.latest < now.date():
        raise PeriodInvalid(f"from {order.earliest} to {order.latest}")
    request = TailoredRequest(
        **order.model_dump(exclude={"at"}),
        version=1,
        state=RequestState.SUBMITTED,
        submitted_at=now,
        answer_due_at=working_days_after(now, ANSWER_DAYS, is_holiday),
    )
    return _step(request, TailoredRequestSubmitted, now, org_unit=request.org_unit, participants=request.participants)


def frame(request: TailoredRequest, now: datetime, is_holiday: IsHoliday) -> Step:
    _must_be(request, RequestState.SUBMITTED)
    return _step(_to_framing(request, now, is_holiday), TailoredRequestFramed, now)


def propose(request: TailoredRequest, proposals: Sequence[NewProposal], now: datetime, is_holiday: IsHoliday) -> Step:
    _must_be(request, RequestState.FRAMING, RequestState.PROPOSED)
    if _open(request):
        raise ProposalsOpen(f"request {request.tailored_request_id}")
    for each in proposals:
        check_periods(each)
        must_be_ahead(each, now)
    if len({each.proposal_id for each in proposals}) < len(proposals):
        raise ProposalExists("the same id twice")
    expires_at = working_days_after(now, PROPOSAL_DAYS, is_holiday)
    made = tuple(
        Proposal(**each.model_dump(), state=ProposalState.ASKED if each.host_contact_id else ProposalState.READY) for each in proposals
    )
    after = _next(
        request, state=RequestState.PROPOSED, proposals=made, proposals_expire_at=expires_at, answer_due_at=None, reason=None
    )  # fmt: skip
    return _step(after, TailoredRequestProposed, now, proposals=tuple(map(fact_of, made)), expires_at=expires_at)


def host_accepts(request: TailoredRequest, proposal: Proposal, now: datetime) -> Step:
    if proposal.state in {ProposalState.READY, ProposalState.REFUSED, ProposalState.WITHDRAWN}:
        raise ProposalAnswered(f"proposal {proposal.proposal_id}", state=proposal.state)
    _must_be_open(request, proposal, now)
    after = _next(request, proposals=_with(request, proposal, ProposalState.READY))
    return _step(after, TailoredRequestHostConfirmed, now, **_host(proposal))


def host_refuses(request: TailoredRequest, proposal: Proposal, now: datetime, is_holiday: IsHoliday) -> Step:
    """Before the agreement a refusal; after it a withdrawal, which reopens the request with priority (G5)."""
    if proposal.state in {ProposalState.REFUSED, ProposalState.WITHDRAWN}:
        raise ProposalAnswered(f"proposal {proposal.proposal_id}", state=proposal.state)
    if _is_agreed(request, proposal) and now < starts_at(proposal):
        after = _reopened(request, proposal, ProposalState.WITHDRAWN, now, is_holiday)
        after = after.model_copy(update={"state": RequestState.PROPOSED, "priority": True})
        after = after.model_copy(update={"reason": "La structure d'accueil s'est désistée : une autre date vous est cherchée en priorité."})
        return _step(after, TailoredRequestHostWithdrew, now, session_id=request.session_id, **_host(proposal))
    _must_be_open(request, proposal, now)
    after = _next(request, proposals=_with(request, proposal, ProposalState.REFUSED))
    if not _open(after):
        reason = "Les structures d'accueil ne sont pas disponibles aux dates proposées."
        after = _to_framing(after, now, is_holiday, bumped=True).model_copy(update={"reason": reason})
    return _step(after, TailoredRequestHostRefused, now, **_host(proposal))


def agree(request: TailoredRequest, proposal: Proposal, now: datetime) -> Step:
    """Take one date; the others stay open until catalog has made the session, in case it cannot."""
    if proposal.state is ProposalState.ASKED and request.state is RequestState.PROPOSED:
        _must_be_open(request, proposal, now)
        raise HostNotConfirmed(f"proposal {proposal.proposal_id}")
    if proposal.state in {ProposalState.REFUSED, ProposalState.WITHDRAWN}:
        raise ProposalAnswered(f"proposal {proposal.proposal_id}", state=proposal.state)
    _must_be(request, RequestState.PROPOSED)
    _must_be_open(request, proposal, now)
    must_be_ahead(proposal, now)
    after = _next(request, state=RequestState.AGREED, agreed_proposal_id=proposal.proposal_id, proposals_expire_at=None, reason=None)
    after = after.model_copy(update={"session_id": uuid5(request.tailored_request_id, f"session/{after.version}")})
    return _step(after, TailoredRequestAgreed, now, session_id=after.session_id, proposal=fact_of(proposal))


def decline(request: TailoredRequest, reason: str, redirection: str, now: datetime) -> Step:
    _must_be(request, *BEFORE_AGREEMENT)
    after = _over(request, RequestState.DECLINED).model_copy(update={"reason": reason, "redirection": redirection})
    return _step(after, TailoredRequestDeclined, now, released=hosts(_open(request)))


def withdraw(request: TailoredRequest, now: datetime) -> Step:
    """The private session, if one was asked for, is to be given up; its id stays in the fact only."""
    _must_be(request, *AHEAD)
    after = _over(request, RequestState.WITHDRAWN).model_copy(
        update={"session_id": None, "session_ends_at": None, "agreed_proposal_id": None}
    )
    return _step(after, TailoredRequestWithdrawn, now, session_id=request.session_id, released=hosts(_open(request)))


# --- what catalog says of the private session ------------------------------------------------------------------------------------------


def session_made(request: TailoredRequest, session_id: UUID, ends_at: datetime, now: datetime) -> Step | None:
    """Scheduled, once; None for a session that the request does not wait for (any more)."""
    if request.state is not RequestState.AGREED or request.session_id != session_id:
        return None
    agreed = request.proposal(request.agreed_proposal_id)
    others = [each for each in _open(request) if each != agreed]
    proposals = tuple(each.model_copy(update={"state": ProposalState.CLOSED}) if each in others else each for each in request.proposals)
    after = _next(request, state=RequestState.SCHEDULED, proposals=proposals, session_ends_at=ends_at, priority=False, reason=None)
    host = agreed.host_contact_id if agreed else None
    about = {"session_id": session_id, "proposal_id": request.agreed_proposal_id, "host_contact_id": host}
    return _step(after, TailoredRequestScheduled, now, released=hosts(others), **about)


def session_moved(request: TailoredRequest, session_id: UUID, ends_at: datetime) -> TailoredRequest | None:
    """The request is held when its session is over, whenever that is; nothing is said of it, since catalog said it."""
    if request.state is not RequestState.SCHEDULED or request.session_id != session_id or request.session_ends_at == ends_at:
        return None
    return request.model_copy(update={"session_ends_at": ends_at})


def session_lost(
    request: TailoredRequest, session_id: UUID, code: str, reason: str, now: datetime, is_holiday: IsHoliday, *, priority: bool
) -> Step | None:
    """Compensation: the date is no longer agreed. Back to the proposals that are still open, else to framing."""
    if request.state not in {RequestState.AGREED, RequestState.SCHEDULED} or request.session_id != session_id:
        return None
    agreed = request.proposal(request.agreed_proposal_id)
    if agreed is None:
        raise ValueError(f"request {request.tailored_request_id} agreed to nothing")
    after = _reopened(request, agreed, ProposalState.IMPOSSIBLE, now, is_holiday)
    after = after.model_copy(update={"reason": reason, "priority": after.priority or priority})
    return _step(after, TailoredRequestReopened, now, session_id=session_id, code=code, released=hosts([agreed]))


# --- what time does --------------------------------------------------------------------------------------------------------------------


def expire(request: TailoredRequest, now: datetime, is_holiday: IsHoliday) -> Step | None:
    """Ten working days without an agreement: back to framing."""
    if request.state is not RequestState.PROPOSED or request.proposals_expire_at is None or now < request.proposals_expire_at:
        return None
    after = _to_framing(_closed(request), now, is_holiday).model_copy(update={"reason": "Les propositions sont restées sans accord."})
    return _step(after, TailoredRequestExpired, now, released=hosts(_open(request)))


def alarm(request: TailoredRequest, now: datetime) -> Step | None:
    """The lab's answer is late. The due date stays: it is a fact, and the alarm is not repeated."""
    if request.answer_due_at is None or now < request.answer_due_at:
        return None
    return _step(_next(request), TailoredRequestOverdue, now, due_at=request.answer_due_at)


def hold(request: TailoredRequest, now: datetime, is_holiday: IsHoliday) -> Step | None:
    if request.state is not RequestState.SCHEDULED or request.session_ends_at is None or now < request.session_ends_at:
        return None
    after = _next(request, state=RequestState.HELD, closes_at=working_days_after(request.session_ends_at, CLOSING_DAYS, is_holiday))
    return _step(after, TailoredRequestHeld, now, session_id=request.session_id)


def close(request: TailoredRequest, now: datetime) -> Step:
    _must_be(request, RequestState.HELD)
    return _step(_next(request, state=RequestState.CLOSED, closes_at=None), TailoredRequestClosed, now)


# --- what is shown ---------------------------------------------------------------------------------------------------------------------


def shown(request: TailoredRequest, now: datetime) -> TailoredRequest:
    """With the service-level clock read at this moment (G5)."""
    return request.model_copy(update={"overdue": request.answer_due_at is not None and request.answer_due_at <= now})


def host_view(request: TailoredRequest, proposal: Proposal, now: datetime) -> HostView:
    asked = proposal.state is ProposalState.ASKED and request.state is RequestState.PROPOSED and not _expired(request, now)
    offered = proposal.state in OPEN and request.state is RequestState.PROPOSED and not _expired(request, now)
    return HostView(
        proposal=proposal,
        activity_type=request.activity_type,
        participants=request.participants,
        access_needs=request.access_needs,
        answerable_until=request.proposals_expire_at if asked else None,
        withdrawable=offered or (_is_agreed(request, proposal) and now < starts_at(proposal)),
    )


# ---------------------------------------------------------------------------------------------------------------------------------------


def _step(after: TailoredRequest, fact: type[TailoredRequestEvent], now: datetime, **members: Any) -> Step:
    about = after.model_dump(include={"tailored_request_id", "version", "agent_id", "activity_type", "state", "answer_due_at", "priority"})
    return Step(after, fact(**about, decided_at=now, **members))


def _next(request: TailoredRequest, **changes: Any) -> TailoredRequest:
    return request.model_copy(update={"version": request.version + 1, **changes})


def _to_framing(request: TailoredRequest, now: datetime, is_holiday: IsHoliday, *, bumped: bool = False) -> TailoredRequest:
    """The lab's turn: its next step is due in five working days again."""
    due = working_days_after(now, ANSWER_DAYS, is_holiday)
    changes: dict[str, Any] = {"state": RequestState.FRAMING, "answer_due_at": due, "proposals_expire_at": None}
    return request.model_copy(update=changes) if bumped else _next(request, **changes)


def _reopened(request: TailoredRequest, lost: Proposal, state: ProposalState, now: datetime, is_holiday: IsHoliday) -> TailoredRequest:
    """The agreement is gone. Proposals that are still open are good for ten more working days; without any, it is the lab's turn."""
    after = _next(
        request, proposals=_with(request, lost, state), agreed_proposal_id=None, session_id=None, session_ends_at=None
    )  # fmt: skip
    if not _open(after):
        return _to_framing(after, now, is_holiday, bumped=True)
    changes = {"state": RequestState.PROPOSED, "proposals_expire_at": working_days_after(now, PROPOSAL_DAYS, is_holiday)}
    return after.model_copy(update=changes)


def _over(request: TailoredRequest, state: RequestState) -> TailoredRequest:
    return _next(_closed(request), state=state, answer_due_at=None, proposals_expire_at=None, priority=False)


def _closed(request: TailoredRequest) -> TailoredRequest:
    closed = tuple(
        each.model_copy(update={"state": ProposalState.CLOSED}) if each.state in OPEN else each for each in request.proposals
    )  # fmt: skip
    return request.model_copy(update={"proposals": closed})


def _with(request: TailoredRequest, proposal: Proposal, state: ProposalState) -> tuple[Proposal, ...]:
    changed = proposal.model_copy(update={"state": state})
    return tuple(changed if each.proposal_id == proposal.proposal_id else each for each in request.proposals)


def _open(request: TailoredRequest) -> list[Proposal]:
    return [each for each in request.proposals if each.state in OPEN]


def _host(proposal: Proposal) -> dict[str, UUID | None]:
    return {"proposal_id": proposal.proposal_id, "host_contact_id": proposal.host_contact_id}


def _is_agreed(request: TailoredRequest, proposal: Proposal) -> bool:
    taken = request.state in {RequestState.AGREED, RequestState.SCHEDULED}
    return taken and request.agreed_proposal_id == proposal.proposal_id


def _expired(request: TailoredRequest, now: datetime) -> bool:
    return request.proposals_expire_at is not None and request.proposals_expire_at <= now


def _must_be(request: TailoredRequest, *states: RequestState) -> None:
    if request.state not in states:
        raise TailoredRequestMovedOn(f"request {request.tailored_request_id} is {request.state}", state=request.state)


def _must_be_open(request: TailoredRequest, proposal: Proposal, now: datetime) -> None:
    """Late is late, whether the timer has come by yet or not."""
    if _expired(request, now) and proposal.state in OPEN:
        raise ProposalExpired(f"proposal {proposal.proposal_id}")
    if proposal.state not in OPEN or request.state is not RequestState.PROPOSED:
        raise ProposalOver(f"proposal {proposal.proposal_id} of a request that is {request.state}")

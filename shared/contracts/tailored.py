"""What booking answers and says of tailored requests: a labtour or the support of a workshop, agreed by an agent, the lab, a host (G5).

Texts that people wrote (wishes, costs, reasons) are here only, never in an event (`tailored_events.py`).
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.catalog import ActivityType, LocalPeriod, Seats
from shared.contracts.messages import Message, Request

Line = Annotated[str, Field(max_length=300)]
Reason = Annotated[str, Field(min_length=3, max_length=1000)]


class RequestState(StrEnum):
    """Where a tailored request stands."""

    SUBMITTED = "submitted"
    FRAMING = "framing"
    PROPOSED = "proposed"
    """Dates were proposed. With `priority` and no open proposal: a host withdrew, and the lab looks for another date first."""
    AGREED = "agreed"
    """The agent took a date; catalog has not said yet that its private session is there."""
    SCHEDULED = "scheduled"
    HELD = "held"
    CLOSED = "closed"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    """By the agent."""


class ProposalState(StrEnum):
    ASKED = "asked"
    """Its host has not answered yet."""
    READY = "ready"
    """The host said yes, or there is none to ask: the agent may agree."""
    REFUSED = "refused"
    """By its host."""
    WITHDRAWN = "withdrawn"
    """By its host, after the agreement."""
    IMPOSSIBLE = "impossible"
    """Its private session could not be made, or was cancelled by the lab."""
    CLOSED = "closed"
    """Expired, or another one was taken, or the request ended."""


class NewProposal(Message):
    """One dated option among at most three: what is offered, where, and what it costs."""

    proposal_id: UUID
    activity_id: UUID
    """The published activity that its private session will be a session of."""
    periods: Annotated[tuple[LocalPeriod, ...], Field(min_length=1, max_length=6)]
    venue_id: UUID | None = None
    place: Annotated[str, Field(min_length=2, max_length=300)]
    """In words, for who reads the proposal."""
    capacity: Seats
    cost: Line = ""
    """What it costs and who pays."""
    carbon: Line = ""
    """What the journey weighs."""
    host_contact_id: UUID | None = None
    """Who answers for the host by a signed link; without one, nobody is asked."""


class Proposal(NewProposal):
    state: ProposalState


class TailoredRequest(Message):
    """A request with the proposals of its last round."""

    tailored_request_id: UUID
    version: int
    state: RequestState
    activity_type: ActivityType
    agent_id: UUID
    org_unit: str
    wishes: str
    participants: int
    access_needs: str = ""
    earliest: date
    latest: date
    submitted_at: AwareDatetime
    answer_due_at: AwareDatetime | None = None
    """By when the lab owes its next step, in working days (G5); none while it is the turn of others."""
    overdue: bool = False
    """That moment has passed."""
    priority: bool = False
    """Before the others: an agreed date was lost."""
    proposals: tuple[Proposal, ...] = ()
    proposals_expire_at: AwareDatetime | None = None
    agreed_proposal_id: UUID | None = None
    session_id: UUID | None = None
    """The private session, asked of catalog since the agreement."""
    session_ends_at: AwareDatetime | None = None
    closes_at: AwareDatetime | None = None
    """When a request that was held closes by itself."""
    reason: str | None = None
    """Why it is where it is, in French, where that needs a reason."""
    redirection: str | None = None
    """Where the lab sends an agent whose request it declines."""

    def proposal(self, proposal_id: UUID | None) -> Proposal | None:
        return next((each for each in self.proposals if each.proposal_id == proposal_id), None)


# --- requests ------------------------------------------------------------------------------------------------------------------------


class Imported(Message):
    """An order that may tell of the past."""

    at: AwareDatetime | None = None
    """When it really happened: only an operator may say so, as an import does, and never of what is to come."""


class SubmitTailoredRequest(Imported, Request[TailoredRequest]):
    """Ask for a labtour or the support of a workshop; asking again with the same content answers the request as it is now.

    Refuses `tailored_request_exists` (the id has another content), `period_invalid` (ends before it starts, or has passed), `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.booking.submit_tailored_request.v1"
    tailored_request_id: UUID
    agent_id: UUID
    """Who asks, and answers for the group."""
    activity_type: Literal[ActivityType.LABTOUR, ActivityType.WORKSHOP_SUPPORT]
    org_unit: Annotated[str, Field(min_length=1, max_length=100)]
    wishes: Annotated[str, Field(min_length=3, max_length=4000)]
    participants: Annotated[int, Field(ge=1, le=500)]
    access_needs: Annotated[str, Field(max_length=1000)] = ""
    """What the place must offer, such as step-free access; no medical detail."""
    earliest: date
    latest: date
    """The last day that suits, inclusive."""


class FrameTailoredRequest(Imported, Request[TailoredRequest]):
    """The lab takes a submitted request up: its first framing note is made from a template. For `lab_team` and `operator`.

    Refuses `tailored_request_unknown`, `tailored_request_moved_on` (with its `state`), `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.booking.frame_tailored_request.v1"
    tailored_request_id: UUID


class ProposeDates(Imported, Request[TailoredRequest]):
    """Propose one to three dates, valid for 10 working days (G5), and ask their hosts. For `lab_team` and `operator`.

    Refuses `tailored_request_unknown`, `tailored_request_moved_on`, `proposals_open` (those of before still are), `proposal_exists`,
    `periods_invalid`, `proposal_past`, `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.booking.propose_dates.v1"
    tailored_request_id: UUID
    proposals: Annotated[tuple[NewProposal, ...], Field(min_length=1, max_length=3)]


class AnswerAsHost(Imported, Request[TailoredRequest]):
    """What a host says of a proposed date: by a signed link, or written down by the lab. A no after the agreement withdraws (G5).

    Refuses `proposal_unknown` (also when it is another host's), `proposal_expired` (410), `proposal_answered` (with its `state`),
    `proposal_over` (the request moved on).
    """

    subject: ClassVar[str] = "rpc.booking.answer_as_host.v1"
    proposal_id: UUID
    accepts: bool


class AgreeToProposal(Imported, Request[TailoredRequest]):
    """Take one of the dates, as the agent or for them. Catalog then makes the private session.

    Refuses `tailored_request_unknown`, `tailored_request_moved_on`, `proposal_unknown`, `proposal_expired` (410), `proposal_past`,
    `host_not_confirmed`, `proposal_answered` (its host cannot).
    """

    subject: ClassVar[str] = "rpc.booking.agree_to_proposal.v1"
    tailored_request_id: UUID
    proposal_id: UUID


class DeclineTailoredRequest(Imported, Request[TailoredRequest]):
    """The lab says no, why, and where to turn instead; possible until a date is agreed. For `lab_team` and `operator`.

    Refuses `tailored_request_unknown`, `tailored_request_moved_on`, `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.booking.decline_tailored_request.v1"
    tailored_request_id: UUID
    reason: Reason
    redirection: Reason


class WithdrawTailoredRequest(Request[TailoredRequest]):
    """The agent gives the request up, until it is held; its private session is given up with it.

    Refuses `tailored_request_unknown`, `tailored_request_moved_on`.
    """

    subject: ClassVar[str] = "rpc.booking.withdraw_tailored_request.v1"
    tailored_request_id: UUID


class CloseTailoredRequest(Request[TailoredRequest]):
    """Close a request that was held, before it closes by itself. For `lab_team` and `operator`.

    Refuses `tailored_request_unknown`, `tailored_request_moved_on`, `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.booking.close_tailored_request.v1"
    tailored_request_id: UUID


class GetTailoredRequest(Request[TailoredRequest]):
    """Refuses `tailored_request_unknown`, also when it is another agent's."""

    subject: ClassVar[str] = "rpc.booking.get_tailored_request.v1"
    tailored_request_id: UUID


class TailoredRequestList(Message):
    requests: tuple[TailoredRequest, ...]


class ListTailoredRequests(Request[TailoredRequestList]):
    """One agent's requests, or for the lab everybody's: what has priority first, then by what is due first.

    Refuses `not_allowed` (an agent who asks for more than their own).
    """

    subject: ClassVar[str] = "rpc.booking.list_tailored_requests.v1"
    agent_id: UUID | None = None
    state: RequestState | None = None
    overdue: bool = False
    """Only those whose answer is overdue (G5)."""
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class HostView(Message):
    """What a host needs to know to answer. It names nobody."""

    proposal: Proposal
    activity_type: ActivityType
    participants: int
    access_needs: str
    answerable_until: AwareDatetime | None
    """A yes is possible until then, exclusive; none once the answer is no longer waited for."""
    withdrawable: bool
    """A no is still possible: the date is proposed, or agreed and not over."""


class GetProposalForHost(Request[HostView]):
    """A proposal, for the contact of its host. Refuses `proposal_unknown`, also when it is another host's."""

    subject: ClassVar[str] = "rpc.booking.get_proposal_for_host.v1"
    proposal_id: UUID

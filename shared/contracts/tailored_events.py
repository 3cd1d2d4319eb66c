"""What booking says of tailored requests: ids, states and dates (G5)."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime

from shared.contracts.catalog import ActivityType, LocalPeriod
from shared.contracts.messages import Event, Message
from shared.contracts.tailored import RequestState


class HostAsked(Message):
    """A host's contact and the proposal that concerns them."""

    proposal_id: UUID
    host_contact_id: UUID


class ProposalFact(Message):
    """A proposal without words."""

    proposal_id: UUID
    activity_id: UUID
    periods: tuple[LocalPeriod, ...]
    venue_id: UUID | None = None
    capacity: int
    host_contact_id: UUID | None = None


class TailoredRequestEvent(Event):
    aggregate: ClassVar[str] = "tailored_request"
    tailored_request_id: UUID
    agent_id: UUID
    activity_type: ActivityType
    state: RequestState
    decided_at: AwareDatetime
    """Domain time of the decision."""
    answer_due_at: AwareDatetime | None = None
    """By when the lab owes its next step (G5)."""
    priority: bool = False
    """True when the lab looks for another date before all else, since an agreed one was lost."""
    released: tuple[HostAsked, ...] = ()
    """Hosts who need not keep their date any longer."""


class TailoredRequestSubmitted(TailoredRequestEvent):
    """An agent asks for a labtour or the support of a workshop."""

    subject: ClassVar[str] = "evt.booking.tailored_request_submitted.v1"
    org_unit: str
    """Code of the administration that asks."""
    participants: int
    """How many people would come."""


class TailoredRequestFramed(TailoredRequestEvent):
    """The lab took it up: a framing note is there to be written together."""

    subject: ClassVar[str] = "evt.booking.tailored_request_framed.v1"


class TailoredRequestProposed(TailoredRequestEvent):
    """One to three dates are proposed, and their hosts asked."""

    subject: ClassVar[str] = "evt.booking.tailored_request_proposed.v1"
    proposals: tuple[ProposalFact, ...]
    """In the order of the lab's preference."""
    expires_at: AwareDatetime
    """The proposals are good until then, exclusive: 10 working days."""


class TailoredRequestHostConfirmed(TailoredRequestEvent):
    """A host will welcome the group on the proposed date: the agent may agree to it."""

    subject: ClassVar[str] = "evt.booking.tailored_request_host_confirmed.v1"
    proposal_id: UUID
    host_contact_id: UUID | None = None


class TailoredRequestHostRefused(TailoredRequestEvent):
    """A host cannot on the proposed date. When no other proposal is open, the request is back in framing."""

    subject: ClassVar[str] = "evt.booking.tailored_request_host_refused.v1"
    proposal_id: UUID
    host_contact_id: UUID | None = None


class TailoredRequestAgreed(TailoredRequestEvent):
    """The agent took a date: catalog is to make the private session, under this id."""

    subject: ClassVar[str] = "evt.booking.tailored_request_agreed.v1"
    session_id: UUID
    proposal: ProposalFact
    """What was agreed to."""


class TailoredRequestScheduled(TailoredRequestEvent):
    """The private session is there."""

    subject: ClassVar[str] = "evt.booking.tailored_request_scheduled.v1"
    session_id: UUID
    proposal_id: UUID
    """What was agreed to."""
    host_contact_id: UUID | None = None


class TailoredRequestReopened(TailoredRequestEvent):
    """The agreed date fell through on the lab's side: catalog could not make the session, or the session was cancelled."""

    subject: ClassVar[str] = "evt.booking.tailored_request_reopened.v1"
    session_id: UUID
    code: str
    """Of the refusal, or `session_cancelled`."""


class TailoredRequestHostWithdrew(TailoredRequestEvent):
    """The host of the agreed date withdrew: catalog is to give up the private session, and the lab looks for another date first."""

    subject: ClassVar[str] = "evt.booking.tailored_request_host_withdrew.v1"
    session_id: UUID
    proposal_id: UUID
    host_contact_id: UUID | None = None


class TailoredRequestExpired(TailoredRequestEvent):
    """Nobody agreed in time: the proposals are over, the request is back in framing."""

    subject: ClassVar[str] = "evt.booking.tailored_request_expired.v1"


class TailoredRequestDeclined(TailoredRequestEvent):
    """The lab cannot do it; the reason, and where to turn instead, stand in the request."""

    subject: ClassVar[str] = "evt.booking.tailored_request_declined.v1"


class TailoredRequestWithdrawn(TailoredRequestEvent):
    """The agent gave the request up; catalog is to give up its private session, if any."""

    subject: ClassVar[str] = "evt.booking.tailored_request_withdrawn.v1"
    session_id: UUID | None = None


class TailoredRequestOverdue(TailoredRequestEvent):
    """The lab's answer was due and did not come; said once for each due date."""

    subject: ClassVar[str] = "evt.booking.tailored_request_overdue.v1"
    due_at: AwareDatetime
    """When it was due."""


class TailoredRequestHeld(TailoredRequestEvent):
    """The private session has taken place."""

    subject: ClassVar[str] = "evt.booking.tailored_request_held.v1"
    session_id: UUID


class TailoredRequestClosed(TailoredRequestEvent):
    """Nothing is left to do: closed by the lab, or 10 working days after the session."""

    subject: ClassVar[str] = "evt.booking.tailored_request_closed.v1"

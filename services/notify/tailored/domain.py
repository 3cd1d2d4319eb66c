"""Which fact of a tailored request is told to whom, and whether a mail that waited is still true. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from services.notify.mail.domain import MailKind
from shared.contracts.tailored import ProposalState, RequestState, TailoredRequest
from shared.contracts.tailored_events import (
    TailoredRequestDeclined,
    TailoredRequestEvent,
    TailoredRequestExpired,
    TailoredRequestFramed,
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

LAB = UUID("1ab01ab0-0000-7000-8000-000000000001")
"""Stands for the lab's functional address, which is a setting: no person is behind this id."""


@dataclass(frozen=True, slots=True)
class Told:
    """One mail to be written; `proposal_id` is that of a host's."""

    kind: MailKind
    recipient_id: UUID
    proposal_id: UUID | None = None


_TO_AGENT: dict[type[TailoredRequestEvent], MailKind] = {
    TailoredRequestSubmitted: MailKind.TAILORED_RECEIVED,
    TailoredRequestFramed: MailKind.TAILORED_FRAMED,
    TailoredRequestProposed: MailKind.TAILORED_PROPOSED,
    TailoredRequestHostConfirmed: MailKind.TAILORED_CONFIRMED,
    TailoredRequestHostWithdrew: MailKind.TAILORED_REOPENED,
    TailoredRequestReopened: MailKind.TAILORED_REOPENED,
    TailoredRequestExpired: MailKind.TAILORED_EXPIRED,
    TailoredRequestDeclined: MailKind.TAILORED_DECLINED,
}
_TO_LAB: dict[type[TailoredRequestEvent], MailKind] = {
    TailoredRequestSubmitted: MailKind.TAILORED_TO_ANSWER,
    TailoredRequestHostRefused: MailKind.TAILORED_HOST_REFUSED,
    TailoredRequestHostWithdrew: MailKind.TAILORED_REOPENED,
    TailoredRequestReopened: MailKind.TAILORED_REOPENED,
    TailoredRequestExpired: MailKind.TAILORED_EXPIRED,
    TailoredRequestWithdrawn: MailKind.TAILORED_WITHDRAWN,
    TailoredRequestOverdue: MailKind.TAILORED_OVERDUE,
}


def mails_for(event: TailoredRequestEvent) -> Iterator[Told]:
    """The agent hears of the seat itself from the session: that mail carries the calendar entry."""
    if (kind := _TO_AGENT.get(type(event))) is not None:
        yield Told(kind, event.agent_id)
    if (kind := _TO_LAB.get(type(event))) is not None:
        yield Told(kind, LAB)
    if isinstance(event, TailoredRequestProposed):
        for each in event.proposals:
            if each.host_contact_id:
                yield Told(MailKind.HOST_ASKED, each.host_contact_id, each.proposal_id)
    if isinstance(event, TailoredRequestScheduled) and event.host_contact_id:
        yield Told(MailKind.HOST_EXPECTED, event.host_contact_id, event.proposal_id)
    for host in event.released:
        yield Told(MailKind.HOST_RELEASED, host.host_contact_id, host.proposal_id)


# A request may be proposed and have no date that is open, once a host withdrew (G5).
_OF_OPEN_DATES = (MailKind.TAILORED_PROPOSED, MailKind.TAILORED_CONFIRMED, MailKind.HOST_ASKED)

_TRUE_WHILE: dict[MailKind, frozenset[RequestState]] = {
    MailKind.TAILORED_TO_ANSWER: frozenset({RequestState.SUBMITTED}),
    MailKind.TAILORED_FRAMED: frozenset({RequestState.FRAMING}),
    MailKind.TAILORED_PROPOSED: frozenset({RequestState.PROPOSED}),
    MailKind.TAILORED_CONFIRMED: frozenset({RequestState.PROPOSED}),
    MailKind.TAILORED_REOPENED: frozenset({RequestState.PROPOSED, RequestState.FRAMING}),
    MailKind.TAILORED_EXPIRED: frozenset({RequestState.FRAMING}),
    MailKind.HOST_ASKED: frozenset({RequestState.PROPOSED}),
    MailKind.HOST_EXPECTED: frozenset({RequestState.SCHEDULED}),
}


def reason_to_drop(kind: MailKind, request: TailoredRequest, proposal_id: UUID | None) -> str | None:
    """Why a mail has nothing to say any more, or None when it has."""
    if kind in _TRUE_WHILE and request.state not in _TRUE_WHILE[kind]:
        return f"the request is {request.state} by now"
    if kind in _OF_OPEN_DATES and request.proposals_expire_at is None:
        return "no date is open by now"
    if kind is MailKind.HOST_ASKED:
        proposal = request.proposal(proposal_id)
        if proposal is None or proposal.state is not ProposalState.ASKED:
            return "the host has answered, or is asked no more"
    return None

"""One proposed date: when it is, what is said of it, and why an order about it is refused. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from shared.contracts.tailored import NewProposal, Proposal, ProposalState
from shared.contracts.tailored_events import HostAsked, ProposalFact
from shared.errors import Refused

YEARS = range(2000, 2101)  # as catalog has them: outside, a typing error rather than a date
OPEN = frozenset({ProposalState.ASKED, ProposalState.READY})


class PeriodsInvalid(Refused):
    code, status, title = "periods_invalid", 422, "Ces horaires ne conviennent pas : vérifiez leur ordre, leurs heures et leur fuseau."


class ProposalsOpen(Refused):
    code, title = "proposals_open", "Des dates sont déjà proposées et attendent une réponse."


class ProposalExists(Refused):
    code, title = "proposal_exists", "Une autre proposition porte déjà cet identifiant."


class ProposalUnknown(Refused):
    """Also the answer to a host who asks for another host's."""

    code, status, title = "proposal_unknown", 404, "Cette proposition n'existe pas."


class ProposalExpired(Refused):
    code, status, title = "proposal_expired", 410, "Cette proposition a expiré : le Lab vous en fera d'autres."


class ProposalPast(Refused):
    code, title = "proposal_past", "Cette date est déjà passée."


class ProposalAnswered(Refused):
    """Travels with the proposal's `state`."""

    code, title = "proposal_answered", "La structure d'accueil a déjà répondu pour cette date."


class ProposalOver(Refused):
    code, title = "proposal_over", "Cette date n'est plus proposée : vous n'avez rien à prévoir."


class HostNotConfirmed(Refused):
    code, title = "host_not_confirmed", "La structure d'accueil n'a pas encore confirmé cette date."


def starts_at(proposal: NewProposal) -> datetime:
    first = proposal.periods[0]
    return first.local_start.replace(tzinfo=ZoneInfo(first.zone))


def check_periods(proposal: NewProposal) -> None:
    """Only what is needed to read them here: catalog judges the rest when it makes the session."""
    for period in proposal.periods:
        try:
            ZoneInfo(period.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise PeriodsInvalid("unknown time zone") from error
        if period.local_start.year not in YEARS or period.local_end.year not in YEARS:
            raise PeriodsInvalid(f"not between {YEARS.start} and {YEARS.stop - 1}")
        if period.local_start.tzinfo or period.local_end.tzinfo or period.local_end <= period.local_start:
            raise PeriodsInvalid("wall-clock times without an offset, each end after its start")


def must_be_ahead(proposal: NewProposal, now: datetime) -> None:
    if starts_at(proposal) <= now:
        raise ProposalPast(f"proposal {proposal.proposal_id}")


def fact_of(proposal: Proposal) -> ProposalFact:
    """Without its words."""
    return ProposalFact.model_validate(proposal.model_dump())


def hosts(proposals: Sequence[Proposal]) -> tuple[HostAsked, ...]:
    """Whom to tell, of those whose host was asked."""
    return tuple(
        HostAsked(proposal_id=each.proposal_id, host_contact_id=each.host_contact_id) for each in proposals if each.host_contact_id
    )

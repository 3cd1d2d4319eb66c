"""What a mail about a tailored request has to say, for its template. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from services.notify.mail import dates
from services.notify.mail.domain import MailKind
from services.notify.mail.letters import Links
from services.notify.tailored.domain import LAB
from shared.contracts.catalog import ActivityType, LocalPeriod, Period
from shared.contracts.tailored import Proposal, TailoredRequest
from shared.links import Purpose

KINDS = {ActivityType.LABTOUR: "visite", ActivityType.WORKSHOP_SUPPORT: "atelier"}


@dataclass(frozen=True, slots=True)
class Date:
    """A proposed date, in words; named as an appointment is in the layout."""

    title: str
    when: list[str]
    where: tuple[str, ...]
    access: tuple[str, ...]
    cost: str
    carbon: str
    state: str


def words(links: Links, kind: MailKind, request: TailoredRequest, recipient_id: UUID, proposal_id: UUID | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "request": request,
        "kind": KINDS[request.activity_type],
        "to_lab": recipient_id == LAB,
        "dates": [_date(request, each) for each in request.proposals if each.state in {"asked", "ready"}],
        "people": f"{request.participants} personne{'s' if request.participants > 1 else ''}",
        "over": kind is MailKind.HOST_RELEASED,
    }
    if (proposal := request.proposal(proposal_id)) is not None:
        found |= {"appointment": _date(request, proposal), "answers": _answers(links, request, proposal, recipient_id)}
    return found


def _date(request: TailoredRequest, proposal: Proposal) -> Date:
    return Date(
        title=f"{KINDS[request.activity_type].capitalize()} pour {request.participants} personne{'s' if request.participants > 1 else ''}",
        when=[dates.when(_period(each)) for each in proposal.periods],
        where=(proposal.place,),
        access=(f"Besoins d'accessibilité : {request.access_needs}",) if request.access_needs else (),
        cost=proposal.cost,
        carbon=proposal.carbon,
        state=proposal.state,
    )


def _answers(links: Links, request: TailoredRequest, proposal: Proposal, host_id: UUID) -> Mapping[str, str | None]:
    """A yes until the proposals expire, a no until the date begins: a host may have to withdraw."""
    starts_at = _period(proposal.periods[0]).starts_at
    until = request.proposals_expire_at or starts_at
    return {
        "accept": links.answer(Purpose.ACCEPT_AS_HOST, proposal.proposal_id, host_id, until),
        "refuse": links.answer(Purpose.REFUSE_AS_HOST, proposal.proposal_id, host_id, starts_at),
    }


def _period(local: LocalPeriod) -> Period:
    def instant(wall: datetime) -> datetime:
        return wall.replace(tzinfo=ZoneInfo(local.zone))

    return Period(**local.model_dump(), starts_at=instant(local.local_start), ends_at=instant(local.local_end))

"""The demonstration's tailored requests: what a person may write of them, and the orders that tell booking what happened when."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import Annotated, Any, Literal
from uuid import UUID, uuid5

from pydantic import BeforeValidator, Field

from deploy.agents import NAMESPACE, agent_id, read_agents
from deploy.demo_entries import Entry, read_day, read_period
from deploy.demo_tables import Tables
from shared.clock import PARIS
from shared.contracts.catalog import ActivityType, LocalPeriod
from shared.contracts.gateway import AddContact
from shared.contracts.messages import Request
from shared.contracts.tailored import (
    AgreeToProposal,
    AnswerAsHost,
    FrameTailoredRequest,
    NewProposal,
    ProposeDates,
    SubmitTailoredRequest,
)

REQUESTS = "requests.toml"


def _moment(written: object) -> datetime:
    if not isinstance(written, str):
        raise ValueError('write a moment as "2027-02-18 11:00"')  # noqa: TRY004 - Pydantic reads ValueErrors
    return datetime.strptime(written, "%Y-%m-%d %H:%M").replace(tzinfo=PARIS)


Moment = Annotated[datetime, BeforeValidator(_moment)]
Day = Annotated[date, BeforeValidator(read_day)]


class ContactEntry(Entry):
    slug: str
    email: str


class DateEntry(Entry):
    proposed: Moment
    activity: str
    venue: str
    period: Annotated[LocalPeriod, BeforeValidator(read_period)]
    capacity: int
    cost: str = ""
    carbon: str = ""
    contact: str | None = None
    answer: Literal["yes", "no"] | None = None
    answered: Moment | None = None
    agreed: Moment | None = None
    withdrawn: Moment | None = None


class RequestEntry(Entry):
    slug: str
    type: Literal[ActivityType.LABTOUR, ActivityType.WORKSHOP_SUPPORT]
    agent: str
    wishes: str
    participants: int
    access: str = ""
    earliest: Day
    latest: Day
    submitted: Moment
    framed: Moment | None = None
    dates: list[DateEntry] = Field(default_factory=list[DateEntry])


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """What is to be asked, in this order; an agreement is followed by catalog's answer."""

    entry: str
    orders: list[Request[Any]]


def read_requests(tables: Tables, places: Mapping[UUID, str]) -> tuple[list[tuple[str, AddContact]], list[PlannedRequest]]:
    """After the programme and the agents, to whom the entries refer; `places` are the venues in words."""
    said = tables.read(REQUESTS, contacts="slug", requests="slug")
    units = {agent.sub: agent.org_unit.code for agent in read_agents()}

    def contact(entry: str, one: ContactEntry) -> tuple[str, AddContact]:
        return entry, AddContact(contact_id=_id("contact", one.slug), email=one.email)

    def request(entry: str, one: RequestEntry) -> PlannedRequest:
        tables.must_exist("agents", "agent", one.agent)
        for each in one.dates:
            tables.must_exist("activities", "activity", each.activity)
            tables.must_exist("venues", "venue", each.venue)
            if each.contact:
                tables.must_exist("contacts", "contact", each.contact)
        return PlannedRequest(entry, list(_orders(one, units[one.agent], places)))

    contacts = tables.each(f"{REQUESTS}: contacts", said["contacts"], ContactEntry, contact)
    return contacts, tables.each(f"{REQUESTS}: requests", said["requests"], RequestEntry, request)


def _orders(one: RequestEntry, org_unit: str, places: Mapping[UUID, str]) -> Iterator[Request[Any]]:
    about = {"tailored_request_id": _id("tailored-request", one.slug)}
    yield SubmitTailoredRequest.model_validate(
        about
        | one.model_dump(include={"wishes", "participants", "earliest", "latest"})
        | {"agent_id": agent_id(one.agent), "org_unit": org_unit, "activity_type": one.type}
        | {"access_needs": one.access, "at": one.submitted}
    )
    if one.framed:
        yield FrameTailoredRequest.model_validate(about | {"at": one.framed})
    for proposed, together in groupby(one.dates, key=lambda each: each.proposed):
        dates = [(each, _proposal(one, each, places)) for each in together]
        yield ProposeDates.model_validate(about | {"proposals": [proposal for _, proposal in dates], "at": proposed})
        for each, proposal in dates:
            if each.answer and each.answered:
                yield AnswerAsHost(proposal_id=proposal.proposal_id, accepts=each.answer == "yes", at=each.answered)
        for each, proposal in dates:
            if each.agreed:
                yield AgreeToProposal.model_validate(about | {"proposal_id": proposal.proposal_id, "at": each.agreed})
            if each.withdrawn:
                yield AnswerAsHost(proposal_id=proposal.proposal_id, accepts=False, at=each.withdrawn)


def _proposal(request: RequestEntry, one: DateEntry, places: Mapping[UUID, str]) -> NewProposal:
    start, venue_id = one.period.local_start, _id("venue", one.venue)
    return NewProposal(
        proposal_id=_id("proposal", f"{request.slug}:{start.isoformat()}"),
        activity_id=_id("activity", one.activity),
        periods=(one.period,),
        venue_id=venue_id,
        place=places.get(venue_id, one.venue),  # of a venue that is refused itself, catalog will say so
        capacity=one.capacity,
        cost=one.cost,
        carbon=one.carbon,
        host_contact_id=_id("contact", one.contact) if one.contact else None,
    )


def _id(kind: str, slug: str) -> UUID:
    return uuid5(NAMESPACE, f"{kind}:{slug}")

"""What the tests of tailored requests start from, and how they speak to booking."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal, TypeVar, cast
from uuid import UUID, uuid4

from sqlalchemy import text

from services.booking.framing import handlers as framing
from services.booking.requests import handlers, queries
from services.booking.requests.handlers import requests
from services.booking.seats.handlers import follow_session
from shared import clock
from shared.bus import Caller
from shared.consumers import Consumer, Received, apply
from shared.contracts.catalog import ActivityType, LocalPeriod, SessionCancelled, SessionRescheduled, SessionScheduled
from shared.contracts.messages import Envelope, Event, Message, Request
from shared.contracts.tailored import (
    AgreeToProposal,
    AnswerAsHost,
    FrameTailoredRequest,
    NewProposal,
    ProposeDates,
    SubmitTailoredRequest,
    TailoredRequest,
)
from shared.database import Database
from shared.inbox import Delivery
from shared.outbox import uuid7
from shared.timers import TimerPoller
from tests.booking.given import ALICE, agent, catalog_says, it_is, paris

ReplyT = TypeVar("ReplyT", bound=Message)

MONDAY = paris(2027, 3, 1, 9)
LAB = Caller(str(uuid4()), frozenset({"agent", "lab_team"}))
HOST = uuid4()
ANOTHER_HOST = uuid4()


def an_order(**changed: Any) -> SubmitTailoredRequest:
    given: dict[str, Any] = {
        "tailored_request_id": uuid4(),
        "agent_id": ALICE,
        "activity_type": ActivityType.LABTOUR,
        "org_unit": "prefecture-66",
        "wishes": "Voir comment un lieu essaie avant de décider.",
        "participants": 6,
        "access_needs": "Une personne se déplace en fauteuil.",
        "earliest": date(2027, 3, 1),
        "latest": date(2027, 6, 30),
    }
    return SubmitTailoredRequest(**given | changed)


def a_proposal(day: date = date(2027, 4, 8), host: UUID | None = HOST, **changed: Any) -> NewProposal:
    start = datetime.combine(day, time(14))
    given: dict[str, Any] = {
        "proposal_id": uuid4(),
        "activity_id": uuid4(),
        "periods": (LocalPeriod(local_start=start, local_end=start + timedelta(hours=2)),),
        "place": "La Chambre témoin, Nîmes",
        "capacity": 6,
        "cost": "Gratuit ; le déplacement est à la charge du service.",
        "carbon": "28 kg de CO2 en train pour le groupe.",
        "host_contact_id": host,
    }
    return NewProposal(**given | changed)


def host(contact_id: UUID = HOST) -> Caller:
    """As the gateway speaks for whom a signed link was written to."""
    return Caller(str(contact_id), frozenset({"host"}))


async def ask(booking: Database, request: Request[ReplyT], caller: Caller = LAB) -> ReplyT:
    """Straight into the handler: a command in a transaction of its own."""
    for served in (requests, framing.requests):
        if command := served.commands.get(type(request)):
            async with booking.begin() as tx:
                return cast("ReplyT", await command(request, caller, tx))
        if query := served.queries.get(type(request)):
            return cast("ReplyT", await query(request, caller, booking))
    raise LookupError(request.subject)


# --- a request on its way ------------------------------------------------------------------------------------------------------------


async def submitted(booking: Database, **changed: Any) -> TailoredRequest:
    it_is(MONDAY)
    return await ask(booking, an_order(**changed), agent(changed.get("agent_id", ALICE)))


async def framed(booking: Database, **changed: Any) -> TailoredRequest:
    request = await submitted(booking, **changed)
    return await ask(booking, FrameTailoredRequest(tailored_request_id=request.tailored_request_id))


async def proposed(booking: Database, *proposals: NewProposal, **changed: Any) -> TailoredRequest:
    request = await framed(booking, **changed)
    return await ask(booking, ProposeDates(tailored_request_id=request.tailored_request_id, proposals=proposals or (a_proposal(),)))


async def confirmed(booking: Database, *proposals: NewProposal, **changed: Any) -> TailoredRequest:
    """The host of the first proposal said yes."""
    request = await proposed(booking, *proposals, **changed)
    first = request.proposals[0]
    return await answer(booking, first.proposal_id, accepts=True, contact_id=first.host_contact_id or HOST)


async def agreed(booking: Database, *proposals: NewProposal, **changed: Any) -> TailoredRequest:
    return await take_first(booking, await confirmed(booking, *proposals, **changed))


async def scheduled(booking: Database, *proposals: NewProposal, **changed: Any) -> TailoredRequest:
    request = await agreed(booking, *proposals, **changed)
    await catalog_answers(booking, request)
    return await now_of(booking, request)


async def answer(booking: Database, proposal_id: UUID, *, accepts: bool, contact_id: UUID = HOST) -> TailoredRequest:
    return await ask(booking, AnswerAsHost(proposal_id=proposal_id, accepts=accepts), host(contact_id))


async def take_first(booking: Database, request: TailoredRequest) -> TailoredRequest:
    first = request.proposals[0].proposal_id
    return await ask(booking, AgreeToProposal(tailored_request_id=request.tailored_request_id, proposal_id=first), agent(request.agent_id))


# --- what catalog says ---------------------------------------------------------------------------------------------------------------


async def catalog_answers(
    booking: Database, request: TailoredRequest, *, version: int = 1, status: Literal["scheduled", "cancelled"] = "scheduled"
) -> None:
    """The private session, heard by the seats and then by the request."""
    assert request.session_id
    said = catalog_says(
        request.session_id,
        version=version,
        capacity=request.participants,
        starts_at=paris(2027, 4, 8, 14),
        activity_type=request.activity_type,
        closes_at=clock.now(),
        status=status,
    )
    await hear_seats(booking, said)
    await hear(booking, said)


async def hear_seats(booking: Database, said: SessionScheduled | SessionRescheduled | SessionCancelled) -> None:
    async with booking.begin() as tx:
        await follow_session(received(said), tx)


def received(event: Event, event_id: UUID | None = None) -> Received[Any]:
    envelope = Envelope.of(event, event_id=event_id or uuid7(), time=datetime.now(UTC))
    return Received(event, envelope, Delivery(event.stream(), 1, f"{event.subject}.{event.aggregate_id}", {}, b""))


async def hear(booking: Database, event: Event, event_id: UUID | None = None) -> None:
    """Through the inbox, as the durable does."""
    (consumer,) = handlers.events.all
    await hear_as(consumer, booking, event, event_id)


async def hear_as(consumer: Consumer, database: Database, event: Event, event_id: UUID | None = None) -> None:
    async with database.begin() as tx:
        await apply(consumer, received(event, event_id), tx)


# --- what is there afterwards --------------------------------------------------------------------------------------------------------


async def timers_fire(booking: Database) -> int:
    poller, fired = TimerPoller(booking, [handlers.timers]), 0
    while await poller.fire_next():
        fired += 1
    return fired


async def now_of(booking: Database, request: TailoredRequest) -> TailoredRequest:
    async with booking.connect() as connection:
        found = await queries.read(connection, request.tailored_request_id)
    assert found
    return found


async def told(booking: Database, request: TailoredRequest) -> list[str]:
    """The facts recorded of a request, in the order of their versions: `submitted`, `framed`…"""
    async with booking.connect() as connection:
        statement = text("select subject from outbox where aggregate_id = :id order by aggregate_version")
        subjects = await connection.scalars(statement, {"id": request.tailored_request_id})
        return [subject.split(".")[2].removeprefix("tailored_request_") for subject in subjects]


async def seats_of(booking: Database, session_id: UUID) -> list[tuple[UUID, str]]:
    async with booking.connect() as connection:
        rows = await connection.execute(text("select agent_id, state from booking where session_id = :id"), {"id": session_id})
        return [(row.agent_id, row.state) for row in rows]


async def said_last(database: Database, request: TailoredRequest) -> Any:
    """The newest fact of a request, as it lies in the outbox."""
    statement = text("select subject, payload from outbox where aggregate_id = :id order by aggregate_version desc limit 1")
    async with database.connect() as connection:
        row = (await connection.execute(statement, {"id": request.tailored_request_id})).one()
    kind = next(each for each in Event.registry.values() if row.subject.startswith(f"{each.subject}."))
    return kind.model_validate_json(row.payload)

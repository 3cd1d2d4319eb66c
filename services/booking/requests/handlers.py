"""What tailored requests answer, hear and wait for. One who decides locks the request, decides, records, answers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.deadlines.france import is_holiday
from services.booking.framing import store as notes
from services.booking.framing.domain import template
from services.booking.proposals.domain import ProposalUnknown
from services.booking.requests import domain, queries, store
from services.booking.requests.domain import Step, TailoredRequestExists, TailoredRequestUnknown
from services.booking.seats.handlers import seat_for
from shared import clock, outbox
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.catalog import PrivateSessionRefused, SessionCancelled, SessionRescheduled, SessionScheduled
from shared.contracts.tailored import (
    AgreeToProposal,
    AnswerAsHost,
    CloseTailoredRequest,
    DeclineTailoredRequest,
    FrameTailoredRequest,
    GetProposalForHost,
    GetTailoredRequest,
    HostView,
    Imported,
    ListTailoredRequests,
    Proposal,
    ProposeDates,
    RequestState,
    SubmitTailoredRequest,
    TailoredRequest,
    TailoredRequestList,
    WithdrawTailoredRequest,
)
from shared.database import Database
from shared.errors import NotAllowed
from shared.outbox import Causing
from shared.requests import Requests
from shared.timers import Timer, Timers, set_timer

requests = Requests()
events = Consumers()
timers = Timers()

ANSWER_DUE, PROPOSALS_EXPIRE = "tailored_answer_due", "tailored_proposals_expire"
SESSION_ENDS, CLOSES = "tailored_session_ends", "tailored_closes"
DEADLINES: dict[str, Callable[[TailoredRequest], datetime | None]] = {
    ANSWER_DUE: lambda request: request.answer_due_at,
    PROPOSALS_EXPIRE: lambda request: request.proposals_expire_at,
    SESSION_ENDS: lambda request: request.session_ends_at if request.state is RequestState.SCHEDULED else None,
    CLOSES: lambda request: request.closes_at,
}
"""What a request waits for: each deadline has its timer, set in the transaction of the decision that makes it."""

IMPORT_GRACE = timedelta(minutes=1)
"""An import that tells of the past has so long to tell what came of it, before its deadlines are taken for missed."""

LAB = ("operator", "lab_team")
NOTIFY = "notify"
"""Reads a request for the mails about it, when they leave."""


# --- orders --------------------------------------------------------------------------------------------------------------------------


@requests.command(SubmitTailoredRequest)
async def submit(request: SubmitTailoredRequest, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    if not acts_for(caller, request.agent_id):
        raise NotAllowed(f"{caller.actor} asks for {request.agent_id}")
    step = domain.submit(request, _moment(request, caller), is_holiday)
    if not await store.insert(tx, request, step.after):
        if await store.read_asked(tx, request.tailored_request_id) != request:
            raise TailoredRequestExists(f"request {request.tailored_request_id} has another content")
        return domain.shown(await lock_for(tx, request.tailored_request_id, caller), clock.now())
    return await _record(tx, None, step, caller)


@requests.command(FrameTailoredRequest)
async def frame(request: FrameTailoredRequest, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    _must_be_lab(caller)
    before, now = await lock_for(tx, request.tailored_request_id, caller), _moment(request, caller)
    step = domain.frame(before, now, is_holiday)
    await notes.insert(tx, template(step.after, caller.actor, now))
    return await _record(tx, before, step, caller)


@requests.command(ProposeDates)
async def propose(request: ProposeDates, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    _must_be_lab(caller)
    before = await lock_for(tx, request.tailored_request_id, caller)
    step = domain.propose(before, request.proposals, _moment(request, caller), is_holiday)
    return await _record(tx, before, step, caller)


@requests.command(AnswerAsHost)
async def answer_as_host(request: AnswerAsHost, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    """The host and the agent race for the lock of the request: whoever is second finds what the first one did."""
    before, proposal = await _lock_proposal(tx, request.proposal_id, caller)
    now = _moment(request, caller)
    step = domain.host_accepts(before, proposal, now) if request.accepts else domain.host_refuses(before, proposal, now, is_holiday)
    return await _record(tx, before, step, caller)


@requests.command(AgreeToProposal)
async def agree(request: AgreeToProposal, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    before = await lock_for(tx, request.tailored_request_id, caller)
    if (proposal := before.proposal(request.proposal_id)) is None:
        raise ProposalUnknown(f"proposal {request.proposal_id}")
    return await _record(tx, before, domain.agree(before, proposal, _moment(request, caller)), caller)


@requests.command(DeclineTailoredRequest)
async def decline(request: DeclineTailoredRequest, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    _must_be_lab(caller)
    before = await lock_for(tx, request.tailored_request_id, caller)
    step = domain.decline(before, request.reason, request.redirection, _moment(request, caller))
    return await _record(tx, before, step, caller)


@requests.command(WithdrawTailoredRequest)
async def withdraw(request: WithdrawTailoredRequest, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    before = await lock_for(tx, request.tailored_request_id, caller)
    return await _record(tx, before, domain.withdraw(before, clock.now()), caller)


@requests.command(CloseTailoredRequest)
async def close(request: CloseTailoredRequest, caller: Caller, tx: AsyncConnection) -> TailoredRequest:
    _must_be_lab(caller)
    before = await lock_for(tx, request.tailored_request_id, caller)
    return await _record(tx, before, domain.close(before, clock.now()), caller)


# --- questions -----------------------------------------------------------------------------------------------------------------------


@requests.query(GetTailoredRequest)
async def get_request(request: GetTailoredRequest, caller: Caller, database: Database) -> TailoredRequest:
    async with database.connect() as connection:
        found = await queries.read(connection, request.tailored_request_id)
    if found is None or not (acts_for(caller, found.agent_id) or caller.actor == NOTIFY):
        raise TailoredRequestUnknown(f"request {request.tailored_request_id}")
    return domain.shown(found, clock.now())


@requests.query(ListTailoredRequests)
async def list_requests(request: ListTailoredRequests, caller: Caller, database: Database) -> TailoredRequestList:
    if not (caller.has(*LAB) or (request.agent_id is not None and caller.is_agent(request.agent_id))):
        raise NotAllowed(f"{caller.actor} lists the requests of {request.agent_id or 'everybody'}")
    async with database.connect() as connection:
        return await queries.listed(connection, request, clock.now())


@requests.query(GetProposalForHost)
async def get_proposal(request: GetProposalForHost, caller: Caller, database: Database) -> HostView:
    async with database.connect() as connection:
        found = await queries.request_of(connection, request.proposal_id)
        asked = await queries.read(connection, found) if found else None
    return domain.host_view(*_of_host(asked, request.proposal_id, caller), clock.now())


# --- what catalog says of the private session (the saga) -----------------------------------------------------------------------------


@events.effect("booking-private-sessions", SessionScheduled, SessionRescheduled, SessionCancelled, PrivateSessionRefused)
async def follow_private_session(
    received: Received[SessionScheduled | SessionRescheduled | SessionCancelled | PrivateSessionRefused], tx: AsyncConnection
) -> None:
    """A session that no request waits for is not ours, or was given up meanwhile: catalog cancels that one, and nobody gets a seat."""
    event, now = received.event, clock.now()
    if (before := await store.lock_of_session(tx, event.session_id)) is None:
        return
    match event:
        case SessionScheduled():
            step = domain.session_made(before, event.session_id, event.session.ends_at, now)
            if step is not None:
                await seat_for(tx, event.session_id, before.agent_id, received)
        case SessionRescheduled():
            if after := domain.session_moved(before, event.session_id, event.session.ends_at):
                await store.write(tx, after)
                await _set_timers(tx, before, after)
            return
        case SessionCancelled():
            reason = f"La séance est annulée : {event.reason}"
            step = domain.session_lost(before, event.session_id, "session_cancelled", reason, now, is_holiday, priority=True)
        case PrivateSessionRefused():
            step = domain.session_lost(before, event.session_id, event.code, event.reason, now, is_holiday, priority=False)
    if step is not None:
        await _record(tx, before, step, received)


# --- what time does ------------------------------------------------------------------------------------------------------------------


@timers.on(ANSWER_DUE)
async def alarm(timer: Timer, tx: AsyncConnection) -> None:
    await _when_due(timer, tx, domain.alarm)


@timers.on(PROPOSALS_EXPIRE)
async def expire(timer: Timer, tx: AsyncConnection) -> None:
    """Whoever has the request's lock first, the agent or the deadline, decides."""
    await _when_due(timer, tx, lambda request, now: domain.expire(request, now, is_holiday))


@timers.on(SESSION_ENDS)
async def hold(timer: Timer, tx: AsyncConnection) -> None:
    await _when_due(timer, tx, lambda request, now: domain.hold(request, now, is_holiday))


@timers.on(CLOSES)
async def close_in_time(timer: Timer, tx: AsyncConnection) -> None:
    await _when_due(timer, tx, lambda request, now: domain.close(request, now) if request.state is RequestState.HELD else None)


async def _when_due(timer: Timer, tx: AsyncConnection, rule: Callable[[TailoredRequest, datetime], Step | None]) -> None:
    """Of a deadline that is no longer the request's, nothing becomes."""
    before = await store.lock(tx, UUID(timer.payload["tailored_request_id"]))
    if before is None or DEADLINES[timer.kind](before) != datetime.fromisoformat(timer.payload["due"]):
        return
    if (step := rule(before, clock.now())) is not None:
        await _record(tx, before, step, timer)


# -------------------------------------------------------------------------------------------------------------------------------------


def acts_for(caller: Caller, agent_id: UUID) -> bool:
    return caller.is_agent(agent_id) or caller.has(*LAB)


async def lock_for(tx: AsyncConnection, tailored_request_id: UUID, caller: Caller) -> TailoredRequest:
    request = await store.lock(tx, tailored_request_id)
    if request is None or not acts_for(caller, request.agent_id):
        raise TailoredRequestUnknown(f"request {tailored_request_id}")
    return request


async def _lock_proposal(tx: AsyncConnection, proposal_id: UUID, caller: Caller) -> tuple[TailoredRequest, Proposal]:
    found = await queries.request_of(tx, proposal_id)
    return _of_host(await store.lock(tx, found) if found else None, proposal_id, caller)


def _of_host(request: TailoredRequest | None, proposal_id: UUID, caller: Caller) -> tuple[TailoredRequest, Proposal]:
    """Of an earlier round, it is over: the host sees the same as of one that never was."""
    proposal = request.proposal(proposal_id) if request else None
    if request is None or proposal is None or not (caller.has(*LAB) or caller.actor == str(proposal.host_contact_id)):
        raise ProposalUnknown(f"proposal {proposal_id}")
    return request, proposal


def _must_be_lab(caller: Caller) -> None:
    if not caller.has(*LAB):
        raise NotAllowed(f"{caller.actor} is not of the lab")


def _moment(order: Imported, caller: Caller) -> datetime:
    now = clock.now()
    if order.at is None:
        return now
    if not caller.has("operator") or order.at > now:
        raise NotAllowed("only an operator records what happened, and never what is to come")
    return order.at


async def _record(tx: AsyncConnection, before: TailoredRequest | None, step: Step, cause: Causing) -> TailoredRequest:
    if before is not None:
        await store.save(tx, step)
    await _set_timers(tx, before, step.after)
    await outbox.record(tx, step.fact, cause=cause)
    return domain.shown(step.after, clock.now())


async def _set_timers(tx: AsyncConnection, before: TailoredRequest | None, after: TailoredRequest) -> None:
    """Timers of before are left alone: one that is firing waits for the lock that we hold, and we must not wait for it."""
    earliest = clock.now() + IMPORT_GRACE
    for kind, deadline in DEADLINES.items():
        due = deadline(after)
        if due is not None and (before is None or due != deadline(before)):
            fires_at = due if due > clock.now() else earliest
            about = {"tailored_request_id": str(after.tailored_request_id), "due": due.isoformat()}
            await set_timer(tx, f"{kind}/{after.tailored_request_id}/{due.isoformat()}", fires_at, kind, about)

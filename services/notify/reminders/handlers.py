"""Reminders: one timer per session, for the next of them. And what people need to come, which reminders tell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from uuid import UUID

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail import store as mail_store
from services.notify.mail.domain import MailKind
from services.notify.mail.store import NewMail
from services.notify.reminders import store
from services.notify.reminders.domain import FRESH, NotConfirmed, Reminder, Rules, SessionNotReady, look, next_of, reminders_of
from services.notify.settings import NotifySettings
from shared import clock, telemetry
from shared.bus import Caller
from shared.contracts.catalog import SessionState
from shared.contracts.messages import Acknowledged
from shared.contracts.reminders import GetJoiningInstructions, GiveJoiningInstructions, JoiningInstructions
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests
from shared.timers import Timer, Timers, cancel_timer, set_timer

requests = Requests()
timers = Timers()

KIND = "session_reminders"
DROPPED = Counter("labo_reminders_dropped", "Reminders that were not sent: their date had begun, or a later one was due too", ["reason"])


@cache
def rules() -> Rules:
    return NotifySettings().reminders


async def plan(tx: AsyncConnection, session: SessionState) -> None:
    """Set the next reminder of a session that is new, has moved or was cancelled; the caller holds its row."""
    due_at = next_of(reminders_of(session, rules()), clock.now())
    if due_at is None:
        await cancel_timer(tx, _key(session.session_id))
    else:
        await set_timer(tx, _key(session.session_id), due_at, KIND, {"session_id": session.session_id})


def _key(session_id: UUID) -> str:
    return f"reminders/{session_id}"


@timers.on(KIND)
async def remind(timer: Timer, tx: AsyncConnection) -> None:
    session = await store.session(tx, UUID(timer.payload["session_id"]), locked=True)
    if session is None:
        return
    now = clock.now()
    due = look(reminders_of(session, rules()), timer.due_at, now)
    if due.to_send:
        seats = await store.seated(tx, session.session_id, now, FRESH)
        await mail_store.write(tx, (mail for each in due.to_send for mail in _mails(each, session, seats)))
    for reason, number in (("started", due.started), ("overtaken", due.overtaken)):
        if number:
            DROPPED.labels(reason).inc(number)
            telemetry.log.warning("reminders_dropped", session_id=str(session.session_id), reason=reason, number=number)
    if due.next_at is not None:
        await set_timer(tx, _key(session.session_id), due.next_at, KIND, {"session_id": session.session_id})


def _mails(reminder: Reminder, session: SessionState, seats: Sequence[tuple[UUID, UUID]]) -> list[NewMail]:
    return [
        NewMail(
            key=f"{reminder.kind}/{session.session_id}/{reminder.due_at.isoformat()}/{agent_id}",
            kind=MailKind(reminder.kind),
            agent_id=agent_id,
            booking_id=booking_id,
            session_id=session.session_id,
            details={"starts_at": reminder.starts_at.isoformat()},
            traceparent=telemetry.traceparent(),
        )
        for booking_id, agent_id in seats
    ]


@requests.command(GiveJoiningInstructions)
async def give_joining_instructions(request: GiveJoiningInstructions, caller: Caller, tx: AsyncConnection) -> Acknowledged:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} organises no session")
    session = await store.session(tx, request.session_id)
    if session is None:
        raise SessionNotReady(f"session {request.session_id}")
    return Acknowledged(version=await store.give(tx, request, session.venue and session.venue.venue_id))


@requests.query(GetJoiningInstructions)
async def get_joining_instructions(request: GetJoiningInstructions, caller: Caller, database: Database) -> JoiningInstructions:
    async with database.connect() as connection:
        session = await store.session(connection, request.session_id)
        if session is None:
            raise SessionNotReady(f"session {request.session_id}")
        if not caller.has("operator", "lab_team") and not await _is_seated(connection, caller, request.session_id):
            raise NotConfirmed(f"session {request.session_id}")
        return await store.instructions(connection, session)


async def _is_seated(connection: AsyncConnection, caller: Caller, session_id: UUID) -> bool:
    try:
        return await store.is_seated(connection, session_id, UUID(caller.actor))
    except ValueError:
        return False

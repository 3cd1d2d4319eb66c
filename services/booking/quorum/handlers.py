"""Whether a session takes place: decided by its seats seven days before, unless the lab decided otherwise (M3)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.quorum import domain, store
from services.booking.quorum.domain import QuorumOfSession, QuorumUnknown
from services.booking.quorum.planning import QUORUM_DAY
from services.booking.seats.queries import availability
from services.booking.seats.refusals import SessionNotReady
from services.booking.seats.store import lock_session
from shared import clock, outbox
from shared.bus import Caller
from shared.contracts.quorum import GetQuorum, KeepDespiteQuorum, QuorumReport, QuorumState, SessionQuorumMissed
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests
from shared.timers import Timer, Timers

requests = Requests()
timers = Timers()


@timers.on(QUORUM_DAY)
async def decide_quorum(timer: Timer, tx: AsyncConnection) -> None:
    """Count the seats under the session's lock: a booking is counted, or comes after and is told of the cancellation (E2).

    Nothing is decided of a session that is cancelled, has begun, moved to another day, or that the lab keeps.
    """
    session = await lock_session(tx, UUID(timer.payload["session_id"]))
    now = clock.now()
    if session is None or session.status == "cancelled" or now >= session.starts_at:
        return
    quorum = await store.quorum(tx, session.session_id)
    if quorum is None or quorum.state is not QuorumState.OPEN or quorum.day.isoformat() != timer.payload["day"]:
        return

    decided = domain.decide(quorum, await store.taken(tx, session.session_id))

    await store.write(tx, session, decided)
    if decided.state is QuorumState.MISSED:
        ids = {"quorum_decision_id": outbox.uuid7(), "session_id": session.session_id}
        missed = SessionQuorumMissed(version=1, **ids, needed=decided.needed, day=decided.day, decided_at=now)
        await outbox.record(tx, missed, cause=timer)


@requests.command(KeepDespiteQuorum)
async def keep_despite_quorum(request: KeepDespiteQuorum, caller: Caller, tx: AsyncConnection) -> QuorumReport:
    """Whoever has the session's lock first, the lab or the timer, decides."""
    _must_be_lab(caller)
    if (session := await lock_session(tx, request.session_id)) is None:
        raise SessionNotReady(f"session {request.session_id}")
    if (quorum := await store.quorum(tx, request.session_id)) is None:
        raise QuorumUnknown(f"session {request.session_id}")

    kept = domain.keep(quorum, session, request.reason, caller.actor, clock.now())

    await store.write(tx, session, kept)
    return await _report(tx, request.session_id, kept)


@requests.query(GetQuorum)
async def get_quorum(request: GetQuorum, caller: Caller, database: Database) -> QuorumReport:
    _must_be_lab(caller)
    async with database.connect() as connection:
        if (quorum := await store.quorum(connection, request.session_id)) is not None:
            return await _report(connection, request.session_id, quorum)
        known = await availability(connection, [request.session_id])
    raise QuorumUnknown(f"session {request.session_id}") if known else SessionNotReady(f"session {request.session_id}")


def _must_be_lab(caller: Caller) -> None:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} decides about no quorum")


async def _report(connection: AsyncConnection, session_id: UUID, quorum: QuorumOfSession) -> QuorumReport:
    return QuorumReport(
        session_id=session_id,
        needed=quorum.needed,
        decides_at=quorum.decides_at,
        state=quorum.state,
        taken=await store.taken(connection, session_id),
        reason=quorum.reason,
        kept_by=quorum.kept_by,
    )

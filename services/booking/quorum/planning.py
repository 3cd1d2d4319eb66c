"""The decision that catalog's word on a session calls for."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.deadlines.france import is_holiday
from services.booking.quorum import store
from services.booking.quorum.domain import plan
from services.booking.seats.domain import Session
from shared.contracts.catalog import SessionState
from shared.contracts.quorum import QuorumState
from shared.timers import set_timer

QUORUM_DAY = "quorum_day"


async def plan_decision(tx: AsyncConnection, session: Session, catalog: SessionState, now: datetime) -> None:
    """None for a private session: it was agreed with its group, however small. A timer whose day is another by now does nothing."""
    if catalog.quorum is None or catalog.private or session.status == "cancelled":
        return
    planned = plan(await store.quorum(tx, session.session_id), catalog.quorum, session.starts_at, now, is_holiday)
    if planned is None:
        return
    await store.write(tx, session, planned)
    if planned.state is QuorumState.OPEN:
        about = {"session_id": session.session_id, "day": planned.day}
        await set_timer(tx, f"quorum/{session.session_id}/{planned.day}", planned.decides_at, QUORUM_DAY, about)

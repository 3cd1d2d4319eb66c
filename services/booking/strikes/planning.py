"""The day on which those who have two strikes are asked whether they come."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.strikes.domain import confirmation_day
from shared.contracts.catalog import SessionState
from shared.timers import cancel_timer, set_timer

CONFIRMATION_DAY = "confirmation_day"


async def plan_confirmations(tx: AsyncConnection, catalog: SessionState, now: datetime) -> None:
    """It follows the session. Nobody is asked of a private session, nor of one that is less than three days away by now."""
    key, due = f"confirm/{catalog.session_id}", confirmation_day(catalog.starts_at)
    if catalog.private or catalog.status == "cancelled" or due <= now:
        await cancel_timer(tx, key)
    else:
        await set_timer(tx, key, due, CONFIRMATION_DAY, {"session_id": catalog.session_id})

"""Until when names are awaited, once the session has moved (G2)."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.deadlines.france import is_holiday
from services.booking.groups.store import active_groups
from services.booking.names.domain import date_again
from services.booking.seats.domain import Session
from shared.contracts.names import GroupNamesDue


async def ask_for_names_again(tx: AsyncConnection, session: Session, now: datetime) -> list[GroupNamesDue]:
    """Of the groups that have seats without a name; none of a session that has begun."""
    if now >= session.starts_at:
        return []
    asked = [date_again(session, group, now, is_holiday) for group in await active_groups(tx, session)]
    return [fact for fact in asked if fact]

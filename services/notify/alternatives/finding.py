"""What else somebody could come to whose session the lab cancelled (M3): found here, and asked of booking whether there is a seat."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import text

from services.notify.mail.claims import Mail
from services.notify.mail.domain import MailKind
from shared import clock
from shared.bus import Bus, Caller
from shared.contracts.availability import Availability, GetAvailability
from shared.contracts.booking import ACTIVE_STATES
from shared.contracts.catalog import SessionState
from shared.contracts.groups import ACTIVE_GROUP_STATES
from shared.database import Database
from shared.errors import Refused
from shared.telemetry import log

AT_MOST = 3
LOOKED_AT = 50
PATIENCE_SECONDS = 1.0
NOTIFY = Caller(actor="notify")
CANCELLED_BY_LAB = (MailKind.CANCELLED_BY_LAB, MailKind.WAITLIST_CLOSED, MailKind.GROUP_CLOSED)

# The same activity first, then the same theme; none where the reader has a place already.
_LIKE_IT = text(
    """
    select other.state from session lost, session other
    where lost.session_id = :session_id and other.session_id <> lost.session_id
      and (other.state ->> 'activity_id' = lost.state ->> 'activity_id' or other.state ->> 'theme' = lost.state ->> 'theme')
      and other.state ->> 'status' = 'scheduled' and not coalesce(cast(other.state ->> 'private' as boolean), false)
      and cast(other.state #>> '{periods,0,starts_at}' as timestamptz) > :now
      and coalesce(cast(other.state #>> '{quota,until}' as timestamptz) <= :now, true)
      and not exists (
          select from booking where booking.session_id = other.session_id and booking.agent_id = :agent_id and booking.state = any(:active))
    order by other.state ->> 'activity_id' <> lost.state ->> 'activity_id', cast(other.state #>> '{periods,0,starts_at}' as timestamptz),
             other.session_id
    limit :number
    """
)


async def alternatives(database: Database, bus: Bus, mail: Mail) -> Sequence[SessionState]:
    """Three at most, that can be booked now. None when booking does not answer: a cancellation does not wait for that."""
    if mail.kind not in CANCELLED_BY_LAB:
        return ()
    values = {
        "session_id": mail.session_id,
        "agent_id": mail.agent_id,
        "active": [*ACTIVE_STATES, *ACTIVE_GROUP_STATES],
        "now": clock.now(),
    }
    async with database.connect() as connection:
        rows = await connection.execute(_LIKE_IT, values | {"number": LOOKED_AT})
        like_it = [SessionState.model_validate(row.state) for row in rows]
    if not like_it:
        return ()
    try:
        asked = GetAvailability(session_ids=tuple(each.session_id for each in like_it))
        found = await bus.ask(asked, NOTIFY, timeout=PATIENCE_SECONDS)
    except Refused as refusal:
        log.warning("alternatives_unknown", code=refusal.code)
        return ()
    seats = mail.details.get("seats_needed", 1)
    open_ones: set[UUID] = {each.session_id for each in found.sessions if _has(each, seats)}
    return [each for each in like_it if each.session_id in open_ones][:AT_MOST]


def _has(found: Availability, seats: int) -> bool:
    """Whether a newcomer gets so many now (B2, B6)."""
    now = clock.now()
    if (found.opens_at is not None and now < found.opens_at) or (found.closes_at is not None and now >= found.closes_at):
        return False
    return not found.waiting and found.capacity - found.held >= seats

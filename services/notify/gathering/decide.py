"""Whether a mail that is about to leave goes by itself, with others, or not at all."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.gathering import store
from services.notify.gathering.domain import MAY_WAIT, next_hour, next_morning
from services.notify.mail.claims import Mail
from services.notify.preferences import store as preferences
from services.notify.preferences.domain import TOPICS, wish
from shared import clock


async def instead_of_leaving(tx: AsyncConnection, mail: Mail, per_hour: int) -> str | None:
    """Why this mail does not leave by itself, once that has been arranged; None when it does."""
    now = clock.now()
    if mail.kind in TOPICS:
        match wish(mail.kind, await preferences.read(tx, mail.agent_id)):
            case "none":
                return "the agent chose not to be told"
            case "digest":
                days = (next_morning(now), next_morning(now) + timedelta(days=1))
                await store.gather(tx, mail, [(f"{day:%Y-%m-%d}", day - clock.offset()) for day in days])
                return "told in the digest of the day"
            case "immediate":
                pass
    if mail.kind in MAY_WAIT and await store.sent_lately(tx, mail.agent_id) >= per_hour:
        hours = (next_hour(now), next_hour(now) + timedelta(hours=1))
        await store.gather(tx, mail, [(f"{hour:%Y-%m-%dT%H}", hour - clock.offset()) for hour in hours])
        return "told in the digest of the hour"
    return None

"""What a room of Tchap is told of the public programme, when there is a bot."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.settings import NotifySettings
from services.notify.tchap import store
from services.notify.tchap.domain import news_of
from shared.consumers import Consumers, Received
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled

events = Consumers()


@events.batch("notify-tchap", SessionScheduled, SessionRescheduled, SessionCancelled)
async def hear_news(batch: Sequence[Received[SessionScheduled | SessionRescheduled | SessionCancelled]], tx: AsyncConnection) -> None:
    """Without a bot they are heard and forgotten."""
    if NotifySettings().tchap is not None:
        await store.hear(tx, [news for received in batch if (news := news_of(received.event))])

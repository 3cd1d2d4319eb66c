"""The programme that the portal shows with or without a broker: projections of what catalog and booking say."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.gateway.programme import store
from shared.consumers import Consumers, Received
from shared.contracts.activities import ActivityArchived, ActivityEdited
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.catalog import ActivityPublished, SessionCancelled, SessionRescheduled, SessionScheduled

events = Consumers()


@events.projection(
    "gateway-programme", ActivityPublished, ActivityEdited, ActivityArchived, SessionScheduled, SessionRescheduled, SessionCancelled
)
async def follow_programme(
    received: Received[ActivityPublished | SessionScheduled | SessionRescheduled | SessionCancelled], tx: AsyncConnection
) -> None:
    """Activities and sessions are two kinds of aggregates, each with its own versions: neither waits for the other."""
    if isinstance(received.event, ActivityPublished):
        await store.put_activity(tx, received.event, archived=isinstance(received.event, ActivityArchived))
    else:
        await store.put_session(tx, received.event.session)


@events.newest("gateway-availability", SessionAvailabilityChanged)
async def follow_availability(batch: Sequence[Received[SessionAvailabilityChanged]], tx: AsyncConnection) -> None:
    await store.put_availability(tx, [received.event for received in batch])

"""Sessions that booking says too few come to (M3)."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import domain, store
from shared import outbox
from shared.clock import PARIS
from shared.consumers import Consumers, Received
from shared.contracts.quorum import SessionQuorumMissed

events = Consumers()


@events.effect("catalog-quorum", SessionQuorumMissed)
async def cancel_for_quorum(received: Received[SessionQuorumMissed], tx: AsyncConnection) -> None:
    """Nothing when it is cancelled already (M5), or has moved to another day, about which booking decides anew."""
    missed = received.event
    before = await store.lock_session(tx, missed.session_id)
    if before is None or before.starts_at.astimezone(PARIS).date() != missed.day:
        return
    fact = domain.cancel(before, f"pas assez d'inscriptions, il en fallait {missed.needed}")
    if fact is not None:
        await store.change_session(tx, before, fact.session)
        await outbox.record(tx, fact, cause=received)

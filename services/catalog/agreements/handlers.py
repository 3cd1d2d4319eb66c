"""The private sessions of tailored requests: made when booking says that a date is agreed, given up when it says that it is not any more.

Each session id is taken up once, whatever comes first: of one that was given up before it was made, nothing is made.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import domain
from services.catalog.activities import store as activities
from services.catalog.agreements import store
from shared import clock, outbox
from shared.consumers import Consumers, Received
from shared.contracts.catalog import PrivateSessionRefused, ScheduleSession, SessionScheduled
from shared.contracts.tailored_events import (
    TailoredRequestAgreed,
    TailoredRequestEvent,
    TailoredRequestHostWithdrew,
    TailoredRequestWithdrawn,
)
from shared.errors import Refused

events = Consumers()

HOST_WITHDREW = "La structure d'accueil s'est désistée."
REQUEST_WITHDRAWN = "La demande a été retirée."


class ActivityOfAnotherType(Refused):
    code, title = "activity_of_another_type", "L'activité choisie n'est pas du type demandé."


class VenueTaken(Refused):
    code, title = "venue_taken", "Le lieu accueille déjà une autre séance à cette heure."


@events.effect("catalog-agreements", TailoredRequestAgreed, TailoredRequestHostWithdrew, TailoredRequestWithdrawn)
async def follow_agreement(
    received: Received[TailoredRequestAgreed | TailoredRequestHostWithdrew | TailoredRequestWithdrawn], tx: AsyncConnection
) -> None:
    """Booking hears what became of it; a refusal is a fact as well, which it answers by going back."""
    match received.event:
        case TailoredRequestAgreed() as agreed:
            if await store.take_up(tx, agreed.session_id, agreed.tailored_request_id):
                try:
                    fact = await _schedule(tx, agreed)
                except Refused as refusal:
                    fact = PrivateSessionRefused(version=1, session_id=agreed.session_id, code=refusal.code, reason=refusal.title)
                await outbox.record(tx, fact, cause=received)
        case TailoredRequestHostWithdrew(session_id=session_id):
            await _give_up(received, tx, session_id, HOST_WITHDREW)
        case TailoredRequestWithdrawn(session_id=session_id):
            await _give_up(received, tx, session_id, REQUEST_WITHDRAWN)


async def _schedule(tx: AsyncConnection, agreed: TailoredRequestAgreed) -> SessionScheduled:
    """Closed to newcomers since the agreement (B6). Two agreements on one venue take turns at its row."""
    proposal = agreed.proposal
    order = ScheduleSession(
        session_id=agreed.session_id,
        activity_id=proposal.activity_id,
        venue_id=proposal.venue_id,
        periods=proposal.periods,
        capacity=proposal.capacity,
        closes_at=agreed.decided_at,
        private=True,
    )
    if (activity := await activities.lock_activity(tx, proposal.activity_id)) is None:
        raise domain.ActivityUnknown(f"no activity {proposal.activity_id}")
    if activity.content.activity_type != agreed.activity_type:
        raise ActivityOfAnotherType(f"activity {proposal.activity_id} is a {activity.content.activity_type}")
    venue = None
    if proposal.venue_id is not None:
        await store.lock_venue(tx, proposal.venue_id)
        if (venue := await activities.venue_for_rules(tx, proposal.venue_id)) is None:
            raise domain.VenueUnknown(f"no venue {proposal.venue_id}")
    fact = domain.schedule(order, activity, venue, now=clock.now(), past_allowed=False)
    if proposal.venue_id is not None and await store.is_taken(tx, proposal.venue_id, fact.session.periods):
        raise VenueTaken(f"venue {proposal.venue_id}")
    if not await activities.insert_session(tx, order, fact.session):
        raise domain.SessionExists(f"session {order.session_id}")
    return fact


async def _give_up(received: Received[TailoredRequestEvent], tx: AsyncConnection, session_id: UUID | None, reason: str) -> None:
    if session_id is None or await store.take_up(tx, session_id, received.event.tailored_request_id):
        return
    before = await activities.lock_session(tx, session_id)
    if before is None or (fact := domain.cancel(before, reason)) is None:
        return
    await activities.change_session(tx, before, fact.session)
    await outbox.record(tx, fact, cause=received)

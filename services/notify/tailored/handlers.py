"""The mails about tailored requests. What they say is asked of booking when they leave: no event holds a text that somebody wrote."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail import store
from services.notify.mail.store import NewMail, key_of
from services.notify.tailored.domain import mails_for
from shared.consumers import Consumers, Received
from shared.contracts.tailored_events import (
    TailoredRequestDeclined,
    TailoredRequestEvent,
    TailoredRequestExpired,
    TailoredRequestFramed,
    TailoredRequestHostConfirmed,
    TailoredRequestHostRefused,
    TailoredRequestHostWithdrew,
    TailoredRequestOverdue,
    TailoredRequestProposed,
    TailoredRequestReopened,
    TailoredRequestScheduled,
    TailoredRequestSubmitted,
    TailoredRequestWithdrawn,
)

events = Consumers()


@events.effect(
    "notify-tailored",
    TailoredRequestSubmitted,
    TailoredRequestFramed,
    TailoredRequestProposed,
    TailoredRequestHostConfirmed,
    TailoredRequestHostRefused,
    TailoredRequestScheduled,
    TailoredRequestReopened,
    TailoredRequestHostWithdrew,
    TailoredRequestExpired,
    TailoredRequestOverdue,
    TailoredRequestDeclined,
    TailoredRequestWithdrawn,
)
async def write_mails(received: Received[TailoredRequestEvent], tx: AsyncConnection) -> None:
    event = received.event
    mails: list[NewMail] = []
    for told in mails_for(event):
        details = {"tailored_request_id": str(event.tailored_request_id)}
        key = key_of("tailored_request", event.tailored_request_id, event.version, told.recipient_id)
        if told.proposal_id:
            details["proposal_id"] = str(told.proposal_id)
            key = f"{key}/{told.proposal_id}"
        mails.append(
            NewMail(key=key, kind=told.kind, agent_id=told.recipient_id, details=details, traceparent=received.envelope.traceparent)
        )
    await store.write(tx, mails)

"""Mails about attendance: to whoever keeps a sheet, to those who were expected; certificate and surveys to those who came."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.mail import store
from services.notify.mail.domain import MailKind
from services.notify.mail.store import NewMail, key_of
from shared.consumers import Consumers, Received
from shared.contracts.attendance import AttendanceCorrected, AttendanceRecorded, SheetEntrusted, SheetOverdue
from shared.contracts.booking import AttendanceOutcome
from shared.contracts.certificates import CertificateIssued, CertificateRevoked
from shared.contracts.feedback import FeedbackRequested, Survey
from shared.contracts.messages import Event

events = Consumers()

OUTCOMES = {
    AttendanceOutcome.ABSENT: MailKind.ABSENCE_RECORDED,
    AttendanceOutcome.EXCUSED: MailKind.EXCUSE_ACCEPTED,
    AttendanceOutcome.UNKNOWN: MailKind.ATTENDANCE_UNKNOWN,
}


@events.effect("notify-sheets", SheetEntrusted, SheetOverdue)
async def write_to_the_keeper(received: Received[SheetEntrusted | SheetOverdue], tx: AsyncConnection) -> None:
    event = received.event
    if event.trainer_id is not None:
        kind = MailKind.SHEET_ENTRUSTED if isinstance(event, SheetEntrusted) else MailKind.SHEET_OVERDUE
        details = event.model_dump(mode="json", include={"expires_at", "unknown_at"})
        await _write(received, tx, kind, event.trainer_id, event.session_id, None, details)


@events.effect("notify-attendance", AttendanceRecorded, AttendanceCorrected, CertificateIssued, CertificateRevoked, FeedbackRequested)
async def write_to_the_agent(
    received: Received[AttendanceRecorded | AttendanceCorrected | CertificateIssued | CertificateRevoked | FeedbackRequested],
    tx: AsyncConnection,
) -> None:
    """Who attended hears of it with their certificate; a certificate that is replaced, with the next one."""
    event = received.event
    details: dict[str, Any] = {}
    match event:
        case AttendanceRecorded() | AttendanceCorrected():
            kind = OUTCOMES.get(event.outcome)
        case CertificateIssued():
            kind = MailKind.CERTIFICATE_AVAILABLE
            details = event.model_dump(mode="json", include={"issued_at", "replaces"}, exclude_none=True)
        case CertificateRevoked():
            kind = None if event.replaced_by else MailKind.CERTIFICATE_REVOKED
        case FeedbackRequested():
            kind = MailKind.FEEDBACK_HOT if event.survey is Survey.HOT else MailKind.FEEDBACK_COLD
            details = event.model_dump(mode="json", include={"invitation_id", "open_until"})
    if kind is not None:
        await _write(received, tx, kind, event.agent_id, event.session_id, event.booking_id, details)


async def _write(
    received: Received[Event],
    tx: AsyncConnection,
    kind: MailKind,
    agent_id: UUID,
    session_id: UUID,
    booking_id: UUID | None,
    details: dict[str, Any],
) -> None:
    event = received.event
    mail = NewMail(
        key=key_of(event.aggregate, event.aggregate_id, event.version, agent_id),
        kind=kind,
        agent_id=agent_id,
        traceparent=received.envelope.traceparent,
        booking_id=booking_id,
        session_id=session_id,
        details=details,
    )
    await store.write(tx, [mail])

"""Everything that makes a mail, who may ask what became of it, and who decides when nobody can know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify.bounces import store as bounces
from services.notify.mail import claims, queries, store
from services.notify.mail.domain import Before, DeliverySettled, DeliveryUnknown, MailKind, moved
from services.notify.mail.kinds import kind_for, kind_for_contact
from services.notify.mail.store import NewMail, key_of
from services.notify.reminders import handlers as reminders
from shared import telemetry
from shared.bus import Caller
from shared.consumers import Consumers, Received
from shared.contracts.approval import BookingApprovalRequested, BookingApproved, BookingRefused, BookingReleased
from shared.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingEvent,
    PendingEvent,
    SeatOfferAccepted,
    SeatOfferDeclined,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import SessionCancelled, SessionRescheduled, SessionScheduled
from shared.contracts.groups import (
    GroupBookingBypassed,
    GroupBookingCancelled,
    GroupBookingConfirmed,
    GroupBookingRequested,
    GroupBookingResized,
    GroupEvent,
    GroupSeatsHeld,
    GroupSeatsOffered,
)
from shared.contracts.modes import BookingModeChanged
from shared.contracts.moves import BookingReconfirmationRequested, BookingReconfirmed
from shared.contracts.names import BookingJoinedGroup, GroupNamesDue, GroupSeatsNamed, GroupSeatsReleased
from shared.contracts.notify import Delivery, DeliveryList, GetSessionReport, ListDeliveries, ResolveDelivery, SessionReport
from shared.contracts.overbooking import VolunteerSought
from shared.contracts.projects import ApplicationDecided, ApplicationSubmitted, EngagementClosed, EngagementStarted
from shared.contracts.strikes import BookingConfirmationRequested
from shared.database import Database
from shared.errors import NotAllowed
from shared.requests import Requests

requests = Requests()
events = Consumers()


@events.batch(
    "notify-bookings",
    BookingConfirmed,
    BookingCancelled,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
    SeatOfferMade,
    SeatOfferAccepted,
    SeatOfferDeclined,
    SeatOfferExpired,
    BookingApprovalRequested,
    BookingApproved,
    BookingRefused,
    BookingReleased,
    BookingReconfirmationRequested,
    BookingConfirmationRequested,
    BookingReconfirmed,
    VolunteerSought,
    BookingJoinedGroup,
    BookingModeChanged,
    largest=500,
)
async def follow_bookings(batch: Sequence[Received[BookingEvent]], tx: AsyncConnection) -> None:
    await store.follow_bookings(tx, [received.event for received in batch])
    await store.write(tx, (mail for received in batch for mail in (_about_booking(received), _to_manager(received)) if mail))


def _about_booking(received: Received[BookingEvent]) -> NewMail | None:
    event = received.event
    if (kind := kind_for(event)) is None:
        return None
    details = {name: value for name in ("rank", "reason") if (value := getattr(event, name, None))}
    if getattr(event, "overlaps", ()):
        details["overlaps"] = True
    details |= {name: value.isoformat() for name in ("deadline", "priority_until") if (value := getattr(event, name, None))}
    details |= {"version": event.version, "remote": event.remote} if isinstance(event, BookingModeChanged) else {}
    details |= _question(event) | ({"of_group": True} if getattr(event, "group_id", None) else {})
    return NewMail(
        key=key_of("booking", event.booking_id, event.version, event.agent_id),
        kind=kind,
        agent_id=event.agent_id,
        booking_id=event.booking_id,
        session_id=event.session_id,
        details=details,
        traceparent=received.envelope.traceparent,
    )


def _question(event: BookingEvent) -> dict[str, Any]:
    if not isinstance(event, PendingEvent):
        return {}
    about = {"version": event.version, "question": event.pending.kind.value, "deadline": event.pending.deadline.isoformat()}
    about |= {"silence_keeps": event.pending.silence_keeps}
    return about | ({"moved": True} if getattr(event, "moved", False) else {})


def _to_manager(received: Received[BookingEvent]) -> NewMail | None:
    """The line manager is written to as well, when asked and when it is too late; `agent_id` is their opaque id (B7)."""
    event = received.event
    manager_id = event.manager_id if isinstance(event, BookingApprovalRequested | BookingReleased) else None
    if manager_id is None:
        return None
    return NewMail(
        key=key_of("booking", event.booking_id, event.version, manager_id),
        kind=MailKind.APPROVAL_ASKED if isinstance(event, BookingApprovalRequested) else MailKind.APPROVAL_LAPSED,
        agent_id=manager_id,
        booking_id=event.booking_id,
        session_id=event.session_id,
        details=_question(event) | {"applicant_id": str(event.agent_id)},
        traceparent=received.envelope.traceparent,
    )


@events.effect(
    "notify-groups",
    GroupBookingRequested,
    GroupBookingConfirmed,
    GroupSeatsHeld,
    GroupSeatsOffered,
    GroupBookingBypassed,
    GroupBookingResized,
    GroupBookingCancelled,
    GroupSeatsNamed,
    GroupNamesDue,
    GroupSeatsReleased,
)
async def follow_groups(received: Received[GroupEvent], tx: AsyncConnection) -> None:
    event = received.event
    await store.follow_group(tx, event)
    if (kind := kind_for_contact(event)) is None:
        return
    numbers = {"seats_needed", "seats_unnamed", "seats_awaited", "seats_held", "seats_added", "seats_released", "rank"}
    words = {"reason", "deadline", "names_due_at", "priority_until"}
    mail = NewMail(
        key=key_of("group", event.group_id, event.version, event.contact_agent_id),
        kind=kind,
        agent_id=event.contact_agent_id,
        booking_id=event.group_id,
        session_id=event.session_id,
        details=event.model_dump(mode="json", include=numbers | words, exclude_none=True),
        traceparent=received.envelope.traceparent,
    )
    await store.write(tx, [mail])


@events.effect("notify-sessions", SessionScheduled, SessionRescheduled, SessionCancelled)
async def follow_session(received: Received[SessionScheduled | SessionRescheduled | SessionCancelled], tx: AsyncConnection) -> None:
    """A cancellation writes to nobody here: booking cancels every seat, and each of those is one mail (E2)."""
    event = received.event
    followed = await store.follow_session(tx, event.session, received.envelope.time)
    if followed is None:
        return
    await reminders.plan(tx, event.session)
    if not isinstance(event, SessionRescheduled):
        return
    known = followed.before
    before = Before(known.periods, known.venue) if known else Before(event.previous_periods, event.previous_venue)
    if moved(before, event.session):
        await store.write_moves(tx, event.session, before, event.reason, received.envelope.traceparent)


@events.effect("notify-projects", ApplicationSubmitted, ApplicationDecided, EngagementStarted, EngagementClosed)
async def follow_projects(
    received: Received[ApplicationSubmitted | ApplicationDecided | EngagementStarted | EngagementClosed], tx: AsyncConnection
) -> None:
    await store.write(tx, _about_project(received))


def _about_project(
    received: Received[ApplicationSubmitted | ApplicationDecided | EngagementStarted | EngagementClosed],
) -> Iterator[NewMail]:
    event, traceparent = received.event, received.envelope.traceparent

    def mail(kind: MailKind, agent_id: UUID, **details: Any) -> NewMail:
        return NewMail(
            key=key_of(event.aggregate, event.aggregate_id, event.version, agent_id),
            kind=kind,
            agent_id=agent_id,
            application_id=event.application_id,
            engagement_id=getattr(event, "engagement_id", None),
            details=details,
            traceparent=traceparent,
        )

    match event:
        case ApplicationSubmitted():
            yield mail(MailKind.APPLICATION_RECEIVED, event.project_lead_id)
        case ApplicationDecided():
            yield mail(MailKind.APPLICATION_DECIDED, event.project_lead_id, state=event.state)
        case EngagementStarted() | EngagementClosed():
            for agent_id, part in {event.coach_id: "coach", event.project_lead_id: "lead"}.items():
                if isinstance(event, EngagementStarted):
                    plan = {"starts_on": event.starts_on.isoformat(), "planned_end_on": event.planned_end_on.isoformat()}
                    yield mail(MailKind.ENGAGEMENT_STARTED, agent_id, part=part, **plan)
                else:
                    closing = {"outcome": event.outcome, "has_lessons_learned": event.has_lessons_learned}
                    yield mail(MailKind.ENGAGEMENT_CLOSED, agent_id, part=part, **closing)


@requests.query(ListDeliveries)
async def list_deliveries(request: ListDeliveries, caller: Caller, database: Database) -> DeliveryList:
    agent_id = request.agent_id
    if not caller.has("operator"):
        agent_id = agent_id or _agent(caller)
        if not caller.is_agent(agent_id):
            raise NotAllowed("agents read of their own mail only")
    async with database.connect() as connection:
        return await queries.list_deliveries(connection, agent_id=agent_id, state=request.state, limit=request.limit)


@requests.query(GetSessionReport)
async def get_session_report(request: GetSessionReport, caller: Caller, database: Database) -> SessionReport:
    if not caller.has("operator", "lab_team"):
        raise NotAllowed(f"{caller.actor} reads of everybody's mail")
    async with database.connect() as connection:
        return await queries.session_report(connection, request.session_id, everything=request.everything)


@requests.command(ResolveDelivery)
async def resolve_delivery(request: ResolveDelivery, caller: Caller, tx: AsyncConnection) -> Delivery:
    if not caller.has("operator"):
        raise NotAllowed(f"{caller.actor} decides about no mail")
    decided = await claims.resolve(tx, request.mail_id, request.resolution)
    found = await queries.delivery(tx, request.mail_id)
    if found is None:
        raise DeliveryUnknown(f"mail {request.mail_id}")
    if not decided:
        raise DeliverySettled(f"mail {request.mail_id} is {found.state}", state=found.state)
    if request.resolution != "dropped":
        await bounces.clear(tx, found.agent_id)
    telemetry.log.info("delivery_resolved", mail_id=str(request.mail_id), resolution=request.resolution)
    return found


def _agent(caller: Caller) -> UUID:
    try:
        return UUID(caller.actor)
    except ValueError:
        raise NotAllowed("neither an agent nor an operator") from None

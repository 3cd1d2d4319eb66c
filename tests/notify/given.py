"""Sessions, people and facts to write about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from shared.contracts.booking import (
    BookingCancelled,
    BookingConfirmed,
    BookingState,
    SeatOfferAccepted,
    SeatOfferDeclined,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import (
    ActivityType,
    DeliveryMode,
    Period,
    SessionCancelled,
    SessionRescheduled,
    SessionScheduled,
    SessionState,
    VenueSheet,
)
from shared.contracts.gateway import Contact
from shared.contracts.messages import Envelope, Event
from shared.contracts.names import BookingJoinedGroup
from shared.contracts.overbooking import VolunteerSought
from shared.outbox import uuid7

PARIS = ZoneInfo("Europe/Paris")
HALL = VenueSheet(
    venue_id=UUID(int=1),
    name="Fablab de la Halle",
    address="3 rue des Rails",
    city="Toulouse",
    department="31",
    step_free_access=False,
    public_transport="métro B, arrêt Canal",
)
LIBRARY = VenueSheet(
    venue_id=UUID(int=2), name="Médiathèque", address="12 place des Arts", city="Rodez", department="12", step_free_access=True
)


def period(day: datetime | str, hours: float = 3.5, zone: str = "Europe/Paris") -> Period:
    """`period("2027-03-18 14:00")`: from then on, for so many hours."""
    local = datetime.fromisoformat(day) if isinstance(day, str) else day
    starts_at = local.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    ends_at = starts_at + timedelta(hours=hours)
    return Period(
        local_start=local,
        local_end=ends_at.astimezone(ZoneInfo(zone)).replace(tzinfo=None),
        zone=zone,
        starts_at=starts_at,
        ends_at=ends_at,
    )


THURSDAY = period("2027-03-18 14:00")
FRIDAY = period("2027-03-19 09:00")
IN_APRIL = period("2027-04-15 14:00")


def a_session(
    session_id: UUID | None = None, *periods: Period, version: int = 1, venue: VenueSheet | None = HALL, **others: Any
) -> SessionState:
    given: dict[str, Any] = {
        "activity_id": UUID(int=9),
        "activity_type": ActivityType.TRAINING,
        "title": "Pitcher en 5 minutes",
        "summary": "Dire l'essentiel, et s'arrêter.",
        "theme": "prise de parole",
        "delivery_mode": DeliveryMode.IN_PERSON if venue else DeliveryMode.REMOTE,
        "capacity": 12,
        "status": "scheduled",
    }
    return SessionState(session_id=session_id or uuid4(), version=version, venue=venue, periods=periods or (THURSDAY,), **given | others)


def changed(session: SessionState, **what: Any) -> SessionState:
    """The next version of a session."""
    return session.model_copy(update={"version": session.version + 1} | what)


def scheduled(session: SessionState) -> SessionScheduled:
    return SessionScheduled(version=session.version, session_id=session.session_id, session=session)


def rescheduled(before: SessionState, after: SessionState, reason: str = "") -> SessionRescheduled:
    return SessionRescheduled(
        version=after.version,
        session_id=after.session_id,
        session=after,
        previous_periods=before.periods,
        previous_venue=before.venue,
        previous_capacity=before.capacity,
        reason=reason,
    )


def session_cancelled(session: SessionState, reason: str = "intervenant empêché") -> SessionCancelled:
    after = changed(session, status="cancelled", cancellation_reason=reason)
    return SessionCancelled(version=after.version, session_id=after.session_id, session=after, reason=reason)


class Seat:
    """One booking, and the facts of its life in order."""

    def __init__(self, session: SessionState, agent_id: UUID, booking_id: UUID | None = None) -> None:
        self.booking_id, self.session_id, self.agent_id, self.version = booking_id or uuid4(), session.session_id, agent_id, 0

    def _next(self, state: BookingState) -> dict[str, Any]:
        self.version += 1
        return {
            "booking_id": self.booking_id,
            "session_id": self.session_id,
            "agent_id": self.agent_id,
            "version": self.version,
            "state": state,
            "session_sequence": self.version,
            "decided_at": datetime(2027, 3, 1, 9, tzinfo=UTC),
        }

    def confirmed(self, group_id: UUID | None = None) -> BookingConfirmed:
        return BookingConfirmed(**self._next(BookingState.CONFIRMED), group_id=group_id)

    def joined_group(self, group_id: UUID) -> BookingJoinedGroup:
        return BookingJoinedGroup(**self._next(BookingState.CONFIRMED), group_id=group_id)

    def waits(self, rank: int = 3) -> WaitlistJoined:
        return WaitlistJoined(**self._next(BookingState.WAITING), rank=rank)

    def promoted(self, reason: str = "rang 1, place libérée le 12 mars 2027 à 18 h 30") -> WaitlistPromoted:
        return WaitlistPromoted(**self._next(BookingState.CONFIRMED), reason=reason)

    def offered(self, deadline: datetime, reason: str = "rang 1, place libérée le 12 mars 2027 à 18 h 30") -> SeatOfferMade:
        return SeatOfferMade(**self._next(BookingState.WAITING), deadline=deadline, reason=reason)

    def accepted(self, reason: str = "rang 1, place libérée le 12 mars 2027 à 18 h 30") -> SeatOfferAccepted:
        return SeatOfferAccepted(**self._next(BookingState.CONFIRMED), reason=reason)

    def declined(self) -> SeatOfferDeclined:
        return SeatOfferDeclined(**self._next(BookingState.LEFT))

    def expired(self, deadline: datetime) -> SeatOfferExpired:
        reason = "proposition restée sans réponse le 15 mars 2027 à 11 h 30"
        return SeatOfferExpired(**self._next(BookingState.LEFT), deadline=deadline, reason=reason)

    def sought(self) -> VolunteerSought:
        return VolunteerSought(**self._next(BookingState.CONFIRMED))

    def withdrawn(self, reason: str, priority_until: datetime) -> BookingCancelled:
        about = self._next(BookingState.CANCELLED_BY_LAB)
        return BookingCancelled(**about, reason=reason, priority_until=priority_until, withdrawn=True)

    def cancelled(self, state: BookingState = BookingState.CANCELLED_BY_AGENT, reason: str = "") -> BookingCancelled:
        return BookingCancelled(**self._next(state), reason=reason)

    def left(self, state: BookingState = BookingState.LEFT, reason: str = "") -> WaitlistLeft:
        return WaitlistLeft(**self._next(state), reason=reason)


def a_contact(agent_id: UUID | None = None, **others: str) -> Contact:
    agent_id = agent_id or uuid4()
    given = {"given_name": "Garonne", "usual_name": "Saule-Têtard", "email": f"{agent_id.hex[:12]}@exemple.invalid"}
    return Contact(agent_id=agent_id, **given | others)


def on_the_wire(event: Event, *, event_id: UUID | None = None, traceparent: str | None = None) -> tuple[str, bytes, dict[str, str]]:
    envelope = Envelope.of(event, event_id=event_id or uuid7(), time=datetime.now(UTC), actor="labo", traceparent=traceparent)
    return f"{event.subject}.{event.aggregate_id}", event.model_dump_json().encode(), envelope.headers()

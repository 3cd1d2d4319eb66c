"""The rules of seats and of the queue, for one session under its row lock. Pure: state and clock come in, a fact or a refusal comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from shared.contracts.booking import (
    ACTIVE_STATES,
    Booking,
    BookingCancelled,
    BookingConfirmed,
    BookingState,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import ActivityType, SessionState
from shared.errors import Refused, VersionConflict

Fact = BookingConfirmed | BookingCancelled | WaitlistJoined | WaitlistLeft | WaitlistPromoted

PARIS = ZoneInfo("Europe/Paris")
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")


class SessionNotReady(Refused):
    """Its `session.scheduled` has not arrived: never a 404, which would look final (E1)."""

    code, status, retryable, retry_after = "session_not_ready", 409, True, 1
    title = "Cette séance n'est pas encore ouverte aux inscriptions : réessayez dans quelques instants."


class SessionStarted(Refused):
    code = "session_started"
    title = "Cette séance a déjà commencé."


class SessionIsCancelled(Refused):
    code = "session_is_cancelled"
    title = "Cette séance est annulée."


class AlreadyBooked(Refused):
    """Travels with `booking_id`, the place that the agent has (B3)."""

    code = "already_booked"
    title = "Vous avez déjà une place ou un rang dans la liste d'attente de cette séance."


class BookingUnknown(Refused):
    """Also the answer to whoever asks for another agent's booking."""

    code, status = "booking_unknown", 404
    title = "Cette inscription n'existe pas."


class BookingNotActive(Refused):
    code = "booking_not_active"
    title = "Cette inscription est déjà terminée."


@dataclass
class Session:
    """A session under its row lock: counters and what the rules need, never whole lists."""

    session_id: UUID
    starts_at: datetime
    cancellation_cutoff: datetime
    status: Literal["scheduled", "cancelled"]
    capacity: int
    held: int  # confirmed bookings; later also pending approval, to reconfirm, live offers, group holds (B1)
    waiting: int
    sequence: int  # of the last decision
    catalog_version: int

    @property
    def over_capacity(self) -> int:
        """Seats held beyond a capacity that was lowered: nobody is removed (B8)."""
        return max(0, self.held - self.capacity)

    def book(self, booking_id: UUID, agent_id: UUID, already: UUID | None, now: datetime) -> BookingConfirmed | WaitlistJoined:
        """Give a seat, or a place in the queue when none is free or someone already waits (B1, B2).

        `already` is the agent's active booking of this session, if any (B3). A booking that ended does not count: coming back is a
        new record at the end of the queue (B4).
        """
        self._must_be_ahead(now)
        if already is not None:
            raise AlreadyBooked(f"agent {agent_id} has {already}", booking_id=str(already))
        sequence = self._next_sequence()
        if self.waiting or self.held >= self.capacity:
            self.waiting += 1
            return WaitlistJoined(
                version=1,
                booking_id=booking_id,
                session_id=self.session_id,
                agent_id=agent_id,
                state=BookingState.WAITING,
                session_sequence=sequence,
                decided_at=now,
                rank=self.waiting,  # the queue has no holes: its length is the newcomer's rank
            )
        self.held += 1
        return BookingConfirmed(
            version=1,
            booking_id=booking_id,
            session_id=self.session_id,
            agent_id=agent_id,
            state=BookingState.CONFIRMED,
            session_sequence=sequence,
            decided_at=now,
        )

    def cancel(self, booking: Booking, now: datetime) -> BookingCancelled | WaitlistLeft:
        """Give a seat back, late after the cut-off (N1), or leave the queue, which frees no seat."""
        _must_be_active(booking)
        self._must_be_ahead(now)
        if booking.state is BookingState.WAITING:
            return self._leave(booking, BookingState.LEFT, "", now)
        late = now > self.cancellation_cutoff
        return self._free(booking, BookingState.LATE_CANCELLED if late else BookingState.CANCELLED_BY_AGENT, "", now)

    def servable(self, now: datetime) -> int:
        """How many of the queue can be given a seat now: none once the session started or was cancelled (W4), nor over capacity (B8)."""
        if self.status == "cancelled" or now >= self.starts_at:
            return 0
        return min(max(0, self.capacity - self.held), self.waiting)

    def promote(self, head: Booking, rank: int, because: str, now: datetime) -> WaitlistPromoted:
        """Give a seat to the head of the queue, with the reason that the agent will read (W5). `servable` said that there is one."""
        self.waiting -= 1
        self.held += 1
        return WaitlistPromoted(
            version=head.version + 1,
            booking_id=head.booking_id,
            session_id=self.session_id,
            agent_id=head.agent_id,
            state=BookingState.CONFIRMED,
            session_sequence=self._next_sequence(),
            decided_at=now,
            reason=f"rang {rank}, {because} le {in_french(now)}",
        )

    def follow(self, catalog: SessionState, cutoff: datetime) -> bool:
        """Take over what catalog says now; False when it is old news (E4)."""
        if catalog.version <= self.catalog_version:
            return False
        self.catalog_version = catalog.version
        self.status = catalog.status
        self.starts_at = catalog.starts_at
        self.cancellation_cutoff = cutoff
        self.capacity = catalog.capacity
        self._next_sequence()
        return True

    def close(self, booking: Booking, reason: str, now: datetime) -> BookingCancelled | WaitlistLeft:
        """End a place with its cancelled session: the seat is cancelled by the lab, the place in the queue is closed (E2, W7)."""
        _must_be_active(booking)
        if booking.state is BookingState.WAITING:
            return self._leave(booking, BookingState.CLOSED, reason, now)
        return self._free(booking, BookingState.CANCELLED_BY_LAB, reason, now)

    def _must_be_ahead(self, now: datetime) -> None:
        if self.status == "cancelled":
            raise SessionIsCancelled(f"session {self.session_id}")
        if now >= self.starts_at:
            raise SessionStarted(f"session {self.session_id} began at {self.starts_at.isoformat()}")

    def _next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    def _free(self, booking: Booking, state: BookingState, reason: str, now: datetime) -> BookingCancelled:
        self.held -= 1
        return BookingCancelled(
            version=booking.version + 1,
            booking_id=booking.booking_id,
            session_id=self.session_id,
            agent_id=booking.agent_id,
            state=state,
            session_sequence=self._next_sequence(),
            decided_at=now,
            reason=reason,
        )

    def _leave(self, booking: Booking, state: BookingState, reason: str, now: datetime) -> WaitlistLeft:
        self.waiting -= 1
        return WaitlistLeft(
            version=booking.version + 1,
            booking_id=booking.booking_id,
            session_id=self.session_id,
            agent_id=booking.agent_id,
            state=state,
            session_sequence=self._next_sequence(),
            decided_at=now,
            reason=reason,
        )


def _must_be_active(booking: Booking) -> None:
    if booking.state not in ACTIVE_STATES:
        raise BookingNotActive(f"booking {booking.booking_id} is {booking.state}", state=booking.state.value)


def opened(fact: BookingConfirmed | WaitlistJoined, waiting: int) -> Booking:
    """The place that a first fact made; `waiting` is the length of the queue, its newcomer included."""
    queued = isinstance(fact, WaitlistJoined)
    return Booking(
        booking_id=fact.booking_id,
        session_id=fact.session_id,
        agent_id=fact.agent_id,
        state=fact.state,
        session_sequence=fact.session_sequence,
        version=fact.version,
        booked_at=fact.decided_at,
        rank=fact.rank if queued else None,
        waiting=waiting if queued else None,
    )


def ended(booking: Booking, fact: BookingCancelled | WaitlistLeft) -> Booking:
    over = {"state": fact.state, "version": fact.version, "reason": fact.reason or None, "rank": None, "waiting": None}
    return booking.model_copy(update=over)


def must_be_at(booking: Booking, expected_version: int | None) -> None:
    if expected_version is not None and expected_version != booking.version:
        raise VersionConflict(f"booking {booking.booking_id} is at {booking.version}", version=booking.version)


# --- times ---------------------------------------------------------------------------------------------------------------------------

OPENS, CLOSES = time(8), time(19)  # working hours, Monday to Friday
HOURS_OF_A_WORKING_DAY = 11

VISIT_NOTICE = timedelta(hours=72)
TALK_NOTICE = timedelta(hours=24)
TRAINING_NOTICE_DAYS = 5


def cancellation_cutoff(activity_type: ActivityType, starts_at: datetime, is_holiday: Callable[[date], bool]) -> datetime:
    """Last instant at which cancelling leaves no trace (N1)."""
    if activity_type is ActivityType.TRAINING:
        return working_days_before(starts_at, TRAINING_NOTICE_DAYS, is_holiday)
    if activity_type in (ActivityType.LABTOUR, ActivityType.WORKSHOP_SUPPORT):  # people wait there for the group
        return starts_at - VISIT_NOTICE
    return starts_at - TALK_NOTICE


def working_days_before(instant: datetime, days: int, is_holiday: Callable[[date], bool]) -> datetime:
    """The instant that `days` × 11 working hours separate from this one, in Paris: opening hours are counted, nights and holidays not."""
    local = instant.astimezone(PARIS)
    missing = timedelta(hours=days * HOURS_OF_A_WORKING_DAY)
    day, until = local.date(), min(max(local.time(), OPENS), CLOSES)
    while True:
        if day.isoweekday() <= 5 and not is_holiday(day):
            end = datetime.combine(day, until)
            worked = end - datetime.combine(day, OPENS)
            if worked >= missing:
                return (end - missing).replace(tzinfo=PARIS).astimezone(instant.tzinfo)
            missing -= worked
        day, until = day - timedelta(days=1), CLOSES


def in_french(instant: datetime) -> str:
    """« 12 mars 2027 à 18 h 30 », in Paris."""
    local = instant.astimezone(PARIS)
    minutes = f" {local.minute:02}" if local.minute else ""
    return f"{'1er' if local.day == 1 else local.day} {MONTHS[local.month - 1]} {local.year} à {local.hour} h{minutes}"

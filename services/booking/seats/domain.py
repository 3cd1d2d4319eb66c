"""The rules of seats and of the queue, for one session under its row lock. Pure: state and clock come in, a fact or a refusal comes out.

A hybrid session has its places in the room and others at a distance, each with a queue of their own: the same rules hold for both (B9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from services.booking.agenda.domain import Agenda, Occasion
from services.booking.deadlines.domain import IsHoliday, Milestones, in_french, offer_deadline
from services.booking.offers.domain import OfferAnswered, OfferExpired, OfferUnknown, is_offered
from services.booking.pending.domain import is_open
from services.booking.quotas.domain import Applicant, must_be_admitted
from services.booking.seats.refusals import (
    AlreadyBooked,
    BookingClosed,
    BookingNotActive,
    BookingNotOpenYet,
    NoRemotePlaces,
    SessionIsCancelled,
    SessionStarted,
)
from shared.contracts.approval import BookingApprovalRequested
from shared.contracts.booking import (
    ACTIVE_STATES,
    Booking,
    BookingCancelled,
    BookingConfirmed,
    BookingState,
    OfferState,
    PendingEvent,
    SeatOffer,
    SeatOfferAccepted,
    SeatOfferDeclined,
    SeatOfferExpired,
    SeatOfferMade,
    WaitlistJoined,
    WaitlistLeft,
    WaitlistPromoted,
)
from shared.contracts.catalog import DeliveryMode, SessionState
from shared.contracts.modes import BookingModeChanged
from shared.contracts.names import BookingJoinedGroup
from shared.contracts.overbooking import VolunteerSought
from shared.contracts.quotas import Quota

Opening = BookingConfirmed | WaitlistJoined | BookingApprovalRequested
OfferFact = SeatOfferMade | SeatOfferAccepted | SeatOfferDeclined | SeatOfferExpired
Ended = BookingCancelled | WaitlistLeft
Change = Ended | WaitlistPromoted | OfferFact | PendingEvent | VolunteerSought | BookingJoinedGroup | BookingModeChanged
Fact = Opening | Change


@dataclass
class Session:
    """A session under its row lock: counters and what the rules need, never whole lists.

    Of a hybrid session, its places in the room: those at a distance are a session beside it, with the same hours and other seats (B9).
    """

    session_id: UUID
    series_id: UUID | None
    occasion: Occasion
    starts_at: datetime
    milestones: Milestones
    status: Literal["scheduled", "cancelled"]
    capacity: int
    held: int  # confirmed bookings, also pending ones, live offers, seats that groups have without a name or that are kept for them (B1)
    waiting: int  # agents without those who have an offer, and groups that await seats, each as one
    sequence: int  # of the last decision
    catalog_version: int
    needs_approval: bool = False  # by the line manager (B7)
    first_waiting: int = 0  # of those who wait, how many came with a priority token; read only when somebody brings one (W1)
    passed: int = 0  # free seats that the groups of the queue did not take: whoever comes next may have them (W6)
    quota: Quota | None = None  # seats in the room that some may book before everybody else (W1)
    distant: Session | None = field(default=None, repr=False, compare=False)  # its places at a distance, if it has any (B9)
    room: Session | None = field(default=None, repr=False, compare=False)  # of places at a distance: those in the room

    @property
    def remote(self) -> bool:
        return self.room is not None

    @property
    def whole(self) -> Session:
        """The one that numbers all decisions, whichever places they are about."""
        return self.room or self

    def places(self, *, remote: bool) -> Session:
        """Those of one mode (B9)."""
        if not remote:
            return self.whole
        if (distant := self.whole.distant) is None:
            raise NoRemotePlaces(f"session {self.session_id}")
        return distant

    @property
    def modes(self) -> Sequence[Session]:
        return [self.whole, self.whole.distant] if self.whole.distant else [self.whole]

    def with_places_at_a_distance(self, capacity: int, held: int, waiting: int) -> None:
        there = replace(self.occasion, in_person=False)
        counters = {"capacity": capacity, "held": held, "waiting": waiting, "first_waiting": 0, "passed": 0}
        self.distant = replace(self, occasion=there, distant=None, room=self, quota=None, **counters)

    @property
    def over_capacity(self) -> int:
        """Seats held beyond a capacity that was lowered: nobody is removed (B8)."""
        return max(0, self.held - self.capacity)

    def book(
        self, booking_id: UUID, agent_id: UUID, agenda: Agenda, now: datetime, *, token: bool = False, applicant: Applicant | None = None
    ) -> Opening:
        """Give a seat, or a place in the queue when none is free or someone already waits (B1, B2).

        The agent has one active place here at most (B3), is never in two rooms at once (B5), and has no more than is fair (B10). A booking
        that ended is not in the agenda: coming back is a new record at the end of the queue (B4). A priority `token` goes before those who
        have none, and counts in a queue only (W1). What is reserved at first is for an `applicant` whom the quota admits.
        """
        self.must_be_ahead(now)
        if self.remote and not self.capacity:  # it is hybrid no more (B9)
            raise NoRemotePlaces(f"session {self.session_id}")
        self._must_be_new_to(agent_id, agenda)
        self.must_be_open(now, applicant and applicant.beside(agenda))
        agenda.must_have_room_for(self.occasion)
        if self.free_for_newcomers:
            agenda.must_be_free_for(self.occasion)  # who waits may overlap
            return self._give(booking_id, agent_id, now)
        self.waiting += 1
        self.first_waiting += token
        rank = self.first_waiting if token else self.waiting  # the queue has no holes: its length is the newcomer's rank
        about = self._first_of(booking_id, agent_id, now)
        return WaitlistJoined(**about, state=BookingState.WAITING, rank=rank, priority=token)

    def book_agreed(self, booking_id: UUID, agent_id: UUID, agenda: Agenda, now: datetime) -> BookingConfirmed:
        """The seat of whom a private session was made for: they agreed to its hours, whatever else they have (B5, B10).

        It is closed to everybody else (B6), and theirs also where catalog's word of it came late, even after its start.
        """
        self._must_be_new_to(agent_id, agenda)
        return self._give(booking_id, agent_id, now)

    def cancel(self, booking: Booking, now: datetime) -> BookingCancelled | WaitlistLeft | SeatOfferDeclined:
        """Give a seat back, late after the cut-off (N1), decline the one that is offered, or leave the queue, which frees no seat."""
        _must_be_active(booking)
        self.must_be_ahead(now)
        if is_offered(booking):
            return self.decline(booking, now)
        if booking.state is BookingState.WAITING:
            return self._leave(booking, BookingState.LEFT, now)
        late = now > self.milestones.cancellation_cutoff and not is_open(booking)  # what is not settled yet binds nobody (B7, N4)
        return self._free(booking, BookingState.LATE_CANCELLED if late else BookingState.CANCELLED_BY_AGENT, now)

    def leave(self, booking: Booking, reason: str, now: datetime) -> WaitlistLeft:
        """End a place in the queue, or an offer, that its agent needs no more."""
        return self._leave(booking, BookingState.LEFT, now, reason)

    def release(self, booking: Booking, now: datetime) -> dict[str, Any]:
        """What a fact says of a seat that is held no more."""
        self.held -= 1
        return self.next_of(booking, now)

    # --- the queue -----------------------------------------------------------------------------------------------------

    def servable(self, now: datetime) -> int:
        """How many seats the queue can have now: none past the offer cut-off or once cancelled (W4), nor over capacity (B8)."""
        if not self.waiting or self.status == "cancelled" or now >= self.milestones.offers_until:
            return 0
        return max(0, self.capacity - self.held - self.passed)

    def serve(
        self, head: Booking, rank: int, because: str, now: datetime, is_holiday: IsHoliday, agenda: Agenda | None
    ) -> WaitlistPromoted | SeatOfferMade:
        """Give a free seat to the head of the queue, or hold it while they are asked, with the reason that they will read (W2, W5).

        Nobody is promoted into an overlap: they are asked whether to exchange or to keep (B5). So is who books at this very moment, whose
        `agenda` is then not known.
        """
        self.waiting -= 1
        self.held += 1
        reason = f"rang {rank}, {because} le {in_french(now)}"
        overlaps = tuple(place.clash for place in agenda.clashing(self.occasion)) if agenda else ()
        promotes = self.milestones.promotions_until is not None and now < self.milestones.promotions_until
        if promotes and agenda is not None and not overlaps:
            return WaitlistPromoted(**self.next_of(head, now), state=BookingState.CONFIRMED, reason=reason)
        deadline = offer_deadline(now, self.starts_at, self.milestones.offers_until, is_holiday)
        return SeatOfferMade(**self.next_of(head, now), state=BookingState.WAITING, deadline=deadline, reason=reason, overlaps=overlaps)

    def accept(self, booking: Booking, agenda: Agenda, now: datetime) -> SeatOfferAccepted:
        self._must_await_answer(booking, now)
        agenda.must_have_room_for(self.occasion)
        agenda.must_be_free_for(self.occasion)
        return SeatOfferAccepted(**self.next_of(booking, now), state=BookingState.CONFIRMED, reason=booking.reason or "")

    def decline(self, booking: Booking, now: datetime) -> SeatOfferDeclined:
        self._must_await_answer(booking, now)
        self.held -= 1
        return SeatOfferDeclined(**self.next_of(booking, now), state=BookingState.LEFT)

    def expire(self, booking: Booking, offer: SeatOffer, now: datetime, because: str = "") -> SeatOfferExpired:
        """The seat goes on to the next (W3)."""
        self.held -= 1
        reason = because or f"proposition restée sans réponse le {in_french(offer.deadline)}"
        return SeatOfferExpired(**self.next_of(booking, now), state=BookingState.LEFT, deadline=offer.deadline, reason=reason)

    def bring_forward(self, booking: Booking, offer: SeatOffer, now: datetime) -> SeatOfferMade | SeatOfferExpired | None:
        """What becomes of an offer whose session moved: no seat is held past the new cut-off (W4)."""
        until = self.milestones.offers_until
        if offer.deadline <= until:
            return None
        if until <= now:
            return self.expire(booking, offer, now, "la séance a été avancée")
        return SeatOfferMade(**self.next_of(booking, now), state=BookingState.WAITING, deadline=until, reason=booking.reason or "")

    # --- what catalog says ---------------------------------------------------------------------------------------------

    def follow(self, catalog: SessionState, milestones: Milestones) -> bool:
        """Take over what catalog says now; False when it is old news (E4)."""
        if catalog.version <= self.catalog_version:
            return False
        self.catalog_version = catalog.version
        self.status = catalog.status
        self.starts_at = catalog.starts_at
        self.occasion = Occasion.of(catalog)
        self.milestones = milestones
        self.capacity = catalog.capacity
        self.needs_approval = catalog.needs_approval
        self.quota = catalog.quota
        self.passed = min(self.passed, max(0, self.capacity - self.held))
        self._follow_at_a_distance(catalog)
        self.next_sequence()
        return True

    def _follow_at_a_distance(self, catalog: SessionState) -> None:
        """Who follows a session that is no more hybrid keeps their place: nobody is removed (B8, B9)."""
        remote = catalog.remote_capacity or 0 if catalog.delivery_mode is DeliveryMode.HYBRID else 0
        if remote or self.distant:
            held, waiting = (self.distant.held, self.distant.waiting) if self.distant else (0, 0)
            self.with_places_at_a_distance(remote, held, waiting)

    def close(self, booking: Booking, reason: str, now: datetime, priority_until: datetime | None = None) -> Ended:
        """End a place with its cancelled session: the seat is cancelled by the lab, the place in the queue is closed (E2, W7)."""
        _must_be_active(booking)
        if booking.state is BookingState.WAITING:
            return self._leave(booking, BookingState.CLOSED, now, reason, priority_until)
        return self._free(booking, BookingState.CANCELLED_BY_LAB, now, reason, priority_until)

    def withdraw(self, booking: Booking, reason: str, now: datetime, priority_until: datetime) -> BookingCancelled:
        """Take one seat back while the session stands (B8)."""
        _must_be_active(booking)
        self.held -= 1
        about = self.next_of(booking, now)
        return BookingCancelled(**about, state=BookingState.CANCELLED_BY_LAB, reason=reason, priority_until=priority_until, withdrawn=True)

    # -------------------------------------------------------------------------------------------------------------------

    @property
    def free_for_newcomers(self) -> int:
        """All free seats where nobody waits, otherwise those that the queue passed on (B2)."""
        return self.passed if self.waiting else max(0, self.capacity - self.held)

    def take(self, seats: int) -> None:
        """Of those that are free for newcomers."""
        self.held += seats
        self.passed = max(0, self.passed - seats)

    def must_be_ahead(self, now: datetime) -> None:
        if self.status == "cancelled":
            raise SessionIsCancelled(f"session {self.session_id}")
        if now >= self.starts_at:
            raise SessionStarted(f"session {self.session_id} began at {self.starts_at.isoformat()}")

    def must_be_open(self, now: datetime, applicant: Applicant | None = None) -> None:
        """To everybody, or to this applicant (B6, W1)."""
        opens_at, closes_at = self.milestones.opens_at, self.milestones.closes_at
        if opens_at is not None and now < opens_at:
            raise BookingNotOpenYet(f"session {self.session_id} opens at {opens_at.isoformat()}", opens_at=opens_at.isoformat())
        if now >= closes_at:
            raise BookingClosed(f"session {self.session_id} closed at {closes_at.isoformat()}", closes_at=closes_at.isoformat())
        if self.quota is not None and now < self.quota.until:
            must_be_admitted(self.quota, applicant, self.held, self.capacity)

    def _must_await_answer(self, booking: Booking, now: datetime) -> None:
        offer = booking.offer
        if offer is None:
            raise OfferUnknown(f"booking {booking.booking_id} has no offer")
        if offer.state is OfferState.EXPIRED or (offer.state is OfferState.OFFERED and now >= offer.deadline):
            raise OfferExpired(f"the offer of {booking.booking_id} ended", session_id=str(self.session_id), **self._rank_again(offer, now))
        self.must_be_ahead(now)
        if offer.state is not OfferState.OFFERED:
            raise OfferAnswered(f"the offer of {booking.booking_id} is {offer.state}", state=offer.state.value)

    def _rank_again(self, offer: SeatOffer, now: datetime) -> dict[str, int]:
        """What joining again would give; an offer that is about to be ended by its timer holds no seat any more."""
        if now >= self.milestones.closes_at or self.status == "cancelled":
            return {}
        held = self.held - (offer.state is OfferState.OFFERED)
        return {"rank": 0 if self.passed or (not self.waiting and held < self.capacity) else self.waiting + 1}

    def next_sequence(self) -> int:
        self.whole.sequence += 1
        return self.whole.sequence

    def next_of(self, booking: Booking, now: datetime) -> dict[str, Any]:
        """What every later fact of a place says."""
        return {
            "version": booking.version + 1,
            "booking_id": booking.booking_id,
            "session_id": self.session_id,
            "agent_id": booking.agent_id,
            "session_sequence": self.next_sequence(),
            "decided_at": now,
            "remote": booking.remote,
        }

    def _must_be_new_to(self, agent_id: UUID, agenda: Agenda) -> None:
        if (already := agenda.place_in(self.session_id)) is not None:
            raise AlreadyBooked(f"agent {agent_id} has {already}", booking_id=str(already))

    def _give(self, booking_id: UUID, agent_id: UUID, now: datetime) -> BookingConfirmed:
        self.take(1)
        return BookingConfirmed(**self._first_of(booking_id, agent_id, now), state=BookingState.CONFIRMED)

    def _first_of(self, booking_id: UUID, agent_id: UUID, now: datetime) -> dict[str, Any]:
        about: dict[str, Any] = {"version": 1, "booking_id": booking_id, "session_id": self.session_id, "agent_id": agent_id}
        return about | {"session_sequence": self.next_sequence(), "decided_at": now, "remote": self.remote}

    def _free(
        self, booking: Booking, state: BookingState, now: datetime, reason: str = "", until: datetime | None = None
    ) -> BookingCancelled:
        self.held -= 1
        return BookingCancelled(**self.next_of(booking, now), state=state, reason=reason, priority_until=until)

    def _leave(self, booking: Booking, state: BookingState, now: datetime, reason: str = "", until: datetime | None = None) -> WaitlistLeft:
        if is_offered(booking):
            self.held -= 1
        else:
            self.waiting -= 1
        return WaitlistLeft(**self.next_of(booking, now), state=state, reason=reason, priority_until=until)


def _must_be_active(booking: Booking) -> None:
    if booking.state not in ACTIVE_STATES:
        raise BookingNotActive(f"booking {booking.booking_id} is {booking.state}", state=booking.state.value)

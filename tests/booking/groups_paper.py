"""Groups and agents in one queue, as a careful person would keep them on paper (G1-G3, W6)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from services.booking.deadlines.domain import booking_closing, offer_cutoff, offer_deadline, working_days_after
from shared import clock
from shared.contracts.catalog import ActivityType
from tests.booking.given import STARTS_AT, is_holiday

OFFERS_UNTIL = offer_cutoff(ActivityType.TRAINING, STARTS_AT, is_holiday)
CLOSES_AT = booking_closing(ActivityType.TRAINING, STARTS_AT, is_holiday)


def now() -> datetime:
    return clock.now()


@dataclass(eq=False)
class Party:
    """A group on paper."""

    contact: UUID
    awaits: int
    partial: bool
    has: int = 0
    kept: int = 0
    until: datetime | None = None
    answer_by: datetime | None = None
    names_by: datetime | None = None
    """Until when what it has may be without names (G2)."""
    members: list[UUID] = field(default_factory=list[UUID])

    def take(self, more: int) -> None:
        if self.kept + more:
            answered = offer_deadline(now(), STARTS_AT, OFFERS_UNTIL if now() < OFFERS_UNTIL else STARTS_AT, is_holiday)
            self.names_by = max(self.names_by or answered, answered, CLOSES_AT)  # which is five working days before as well
        self.has += self.kept + more
        self.awaits -= self.kept + more
        self.kept, self.until, self.answer_by = 0, None, None


@dataclass
class Sheet:
    """What a careful person would keep on paper: who has a seat, who waits, in order."""

    capacity: int
    seated: list[UUID] = field(default_factory=list[UUID])
    asked: dict[UUID, datetime] = field(default_factory=dict[UUID, datetime])
    """Who has an offer, and until when."""
    queue: list[UUID | Party] = field(default_factory=list["UUID | Party"])
    parties: list[Party] = field(default_factory=list[Party])
    passed: int = 0
    cancelled: bool = False

    @property
    def refusal(self) -> str | None:
        return "session_is_cancelled" if self.cancelled else "session_started" if now() >= STARTS_AT else None

    def book(self, agent_id: UUID) -> str:
        """The state or the code of the refusal that the agent is answered."""
        if self.refusal:
            return self.refusal
        if agent_id in [*self.seated, *self.asked, *self.queue] or self.party_of(agent_id):
            return "already_booked"
        if now() >= CLOSES_AT:
            return "booking_closed"
        if not self.free_for_newcomers:
            self.queue.append(agent_id)
            return "waiting"
        self.passed = max(0, self.passed - 1)
        self.seated.append(agent_id)
        return "confirmed"

    def book_group(self, contact: UUID, seats: int, partial: bool) -> str:
        if any(party.contact == contact for party in self.parties):
            return "group_exists"
        if self.refusal:
            return self.refusal
        if now() >= CLOSES_AT:
            return "booking_closed"
        free = self.free_for_newcomers
        party = Party(contact, seats, partial)
        party.take(seats if seats <= free else free if partial else 0)
        self.passed = max(0, self.passed - party.has)
        self.parties.append(party)
        if party.awaits:
            self.queue.append(party)
        self.serve()
        return "confirmed" if not party.awaits else "partly_confirmed" if party.has else "waiting"

    def party_of(self, agent_id: UUID) -> Party | None:
        return next((party for party in self.parties if agent_id in party.members), None)

    def name(self, party: Party | None, agent_id: UUID) -> str:
        if party is None:
            return "group_not_active"
        if self.refusal:
            return self.refusal
        if agent_id not in party.members:
            if not party.has:
                return "too_many_names"
            if self.party_of(agent_id):
                return "named_elsewhere"
            if agent_id in self.queue:
                self.leave(agent_id)
            self.seated = [each for each in self.seated if each != agent_id]
            self.asked.pop(agent_id, None)
            party.has -= 1
            party.members.append(agent_id)
            self.serve()
        return "partly_confirmed" if party.awaits else "confirmed"

    def release(self, party: Party) -> None:
        """G2: what has no name is for others, and the party waits for no more."""
        party.has = party.kept = party.awaits = 0
        party.until = party.answer_by = None
        if party in self.queue:
            self.leave(party)
        if not party.members:
            self.parties.remove(party)
        self.serve()

    @property
    def free_for_newcomers(self) -> int:
        return self.passed if self.queue else max(0, self.capacity - self.held)

    @property
    def held(self) -> int:
        return len(self.seated) + len(self.asked) + sum(party.has + party.kept + len(party.members) for party in self.parties)

    @property
    def free(self) -> int:
        """For the queue."""
        served = self.queue and not self.refusal and now() < OFFERS_UNTIL
        return max(0, self.capacity - self.held - self.passed) if served else 0

    def serve(self, *, without: Party | None = None) -> None:
        """`without`: this party left its seats, and they go to the next that fit, or to whoever comes."""
        for entry in [each for each in self.queue if each is not without]:
            if not (free := self.free):
                return
            if isinstance(entry, UUID):
                self.queue.remove(entry)
                self.asked[entry] = offer_deadline(now(), STARTS_AT, OFFERS_UNTIL, is_holiday)
            elif (lacking := entry.awaits - entry.kept) <= free + (0 if without else self.passed) or entry.partial:
                more = min(lacking, free + self.passed)
                self.passed -= max(0, more - free)
                entry.take(more)
                self.leave(entry)
            elif not without:
                entry.kept += free
                entry.until = entry.until or min(working_days_after(now(), 5, is_holiday), STARTS_AT - timedelta(days=7))
                if entry.until <= now() and entry.answer_by is None:
                    entry.answer_by = offer_deadline(now(), STARTS_AT, OFFERS_UNTIL, is_holiday)
        if without:
            self.passed += self.free

    def leave(self, entry: UUID | Party) -> None:
        if isinstance(entry, UUID) or not entry.awaits:
            self.queue.remove(entry)
        self.passed = self.passed if self.queue else 0

    def pass_on(self, party: Party) -> None:
        party.kept, party.until, party.answer_by = 0, None, None
        self.serve(without=party)

    def let_expire(self) -> None:
        """One by one in the order in which they are due, as the timers do; each time the next is asked."""
        while due := sorted(self._due(), key=lambda each: each[:2]):
            _, what, who = due[0]
            if isinstance(who, UUID):
                del self.asked[who]
                self.serve()
            elif what.endswith("names"):
                self.release(who)
            elif who.answer_by is None:
                who.answer_by = offer_deadline(now(), STARTS_AT, OFFERS_UNTIL, is_holiday)
            else:
                self.pass_on(who)

    def _due(self) -> Iterator[tuple[datetime, str, UUID | Party]]:
        """With the key by which the timers of one moment are put in order: groups have ids in the order in which they came."""
        for agent_id, until in self.asked.items():
            if until <= now():
                yield until, "offer", agent_id
        for number, party in enumerate(self.parties):
            if (until := party.answer_by or party.until) and until <= now():
                yield until, f"group/{number:03}/{'offer' if party.answer_by else 'holds'}", party
            if party.has and party.names_by and party.names_by <= now():
                yield party.names_by, f"group/{number:03}/names", party

"""What one agent already has, and whether another seat fits in: the same hours (B5), fair use (B10). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self
from uuid import UUID

from services.booking.deadlines.domain import VISITS
from shared.contracts.booking import BookingState, Clash
from shared.contracts.catalog import ActivityType, DeliveryMode, SessionState
from shared.errors import Refused

Span = tuple[datetime, datetime]
"""Half-open."""

COUNTED = (ActivityType.TRAINING, *VISITS)  # talks are unlimited (B10)


class Overlap(Refused):
    """Travels with `clashes`, each a booking that could be exchanged for this one (B5)."""

    code = "overlap"
    title = "Vous avez déjà une place dans une autre séance à ces heures : vous pouvez l'échanger contre celle-ci, ou la garder."


class FairUseLimit(Refused):
    """Travels with `limit` and `bookings`, what the agent has (B10)."""

    code = "fair_use_limit"
    title = "Vous avez déjà le nombre de formations et de visites que chacun peut réserver à la fois."


@dataclass(frozen=True, slots=True)
class Occasion:
    """When and where a seat takes its agent."""

    session_id: UUID
    activity_type: ActivityType
    spans: tuple[Span, ...]
    in_person: bool
    city: str | None

    @classmethod
    def of(cls, session: SessionState) -> Self:
        return cls(
            session_id=session.session_id,
            activity_type=session.activity_type,
            spans=tuple((period.starts_at, period.ends_at) for period in session.periods),
            in_person=session.delivery_mode is not DeliveryMode.REMOTE,
            city=session.venue.city if session.venue else None,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How much time lies between two sessions in person, and how much one agent may hold."""

    buffer: timedelta
    travel: timedelta
    """Instead of the buffer, to a labtour in another city or from it."""
    fair_use: int


@dataclass(frozen=True, slots=True)
class Place:
    """An active place of an agent: a seat, or a rank in a queue, which takes nobody anywhere yet."""

    booking_id: UUID
    state: BookingState
    occasion: Occasion

    @property
    def seated(self) -> bool:
        return self.state is not BookingState.WAITING

    @property
    def clash(self) -> Clash:
        spans = self.occasion.spans
        return Clash(
            booking_id=self.booking_id, session_id=self.occasion.session_id, starts_at=spans[0][0], ends_at=spans[-1][1]
        )  # fmt: skip


@dataclass
class Agenda:
    """The active places of one agent, read under the agent's lock, in sessions that are not over."""

    limits: Limits
    places: list[Place] = field(default_factory=list[Place])
    lifted: frozenset[UUID] = frozenset()
    """Sessions for which the lab lifted the limit of fair use (B10)."""

    @property
    def has_a_seat(self) -> bool:
        return any(place.seated for place in self.places)

    def place_in(self, session_id: UUID) -> UUID | None:
        return next((place.booking_id for place in self.places if place.occasion.session_id == session_id), None)

    def add(self, booking_id: UUID, state: BookingState, occasion: Occasion) -> None:
        self.places.append(Place(booking_id, state, occasion))

    def without(self, booking_id: UUID) -> Agenda:
        """What is left when this seat is given back."""
        return replace(self, places=[place for place in self.places if place.booking_id != booking_id])

    def must_have_room_for(self, occasion: Occasion) -> None:
        """At most so many trainings and visits at a time (B10)."""
        counted = [place for place in self._others(occasion) if place.occasion.activity_type in COUNTED]
        if occasion.activity_type in COUNTED and occasion.session_id not in self.lifted and len(counted) >= self.limits.fair_use:
            raise FairUseLimit(
                f"{len(counted)} bookings beside {occasion.session_id}", limit=self.limits.fair_use, bookings=said(counted)
            )  # fmt: skip

    def must_be_free_for(self, occasion: Occasion) -> None:
        """Nobody can be in two rooms at once (B5)."""
        if clashing := self.clashing(occasion):
            raise Overlap(f"{len(clashing)} bookings at the hours of {occasion.session_id}", clashes=said(clashing))

    def clashing(self, occasion: Occasion) -> list[Place]:
        """Seats in person that leave no time for this one, in person too."""
        if not occasion.in_person:
            return []
        return [
            place
            for place in self._others(occasion)
            if place.occasion.in_person and _too_near(place.occasion, occasion, self._between(place.occasion, occasion))
        ]

    def at_the_same_hours(self, occasion: Occasion) -> tuple[Clash, ...]:
        """Seats that can be held together, since one of the two is remote: worth a warning (B5)."""
        return tuple(
            place.clash
            for place in self._others(occasion)
            if not (place.occasion.in_person and occasion.in_person) and _too_near(place.occasion, occasion, timedelta())
        )

    def _others(self, occasion: Occasion) -> list[Place]:
        return [place for place in self.places if place.seated and place.occasion.session_id != occasion.session_id]

    def _between(self, one: Occasion, other: Occasion) -> timedelta:
        visit = ActivityType.LABTOUR in (one.activity_type, other.activity_type)
        return max(self.limits.travel, self.limits.buffer) if visit and one.city != other.city else self.limits.buffer


def _too_near(one: Occasion, other: Occasion, between: timedelta) -> bool:
    return any(start < ends + between and starts < end + between for start, end in one.spans for starts, ends in other.spans)


def said(places: Sequence[Place]) -> list[dict[str, Any]]:
    """As a refusal carries them."""
    return [place.clash.model_dump(mode="json") for place in places]

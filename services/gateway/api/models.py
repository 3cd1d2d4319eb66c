"""What the API answers. Names are those of the bus; what people read is in French."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from services.gateway.directory.domain import Agent
from services.gateway.programme.domain import ListedSession
from shared.contracts.booking import Booking
from shared.contracts.catalog import ActivityType, DeliveryMode, Period, VenueSheet
from shared.contracts.details import ActivityDetails
from shared.contracts.feedback import Improvement
from shared.contracts.gateway import Role
from shared.contracts.quorum import Quorum
from shared.contracts.quotas import Quota

A_SESSION = "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"
AN_AGENT = "0192f3c4-0000-7000-8000-000000000001"
A_BOOKING = "0192f3c4-1111-7111-8111-111111111111"

_SESSION: dict[str, Any] = {
    "session_id": A_SESSION,
    "activity_id": "0192f3c4-2222-7222-8222-222222222222",
    "activity_type": "training",
    "title": "Pitcher en 5 minutes",
    "summary": "Une demi-journée pour apprendre à présenter un projet.",
    "description": "",
    "theme": "Prise de parole",
    "delivery_mode": "in_person",
    "venue": {
        "venue_id": "0192f3c4-3333-7333-8333-333333333333",
        "name": "La Halle aux essais",
        "address": "12 rue des Ateliers",
        "city": "Toulouse",
        "department": "31",
        "step_free_access": True,
        "public_transport": "Métro B, station Exemple",
    },
    "starts_at": "2027-03-18T13:00:00Z",
    "ends_at": "2027-03-18T16:00:00Z",
    "periods": [
        {
            "local_start": "2027-03-18T14:00:00",
            "local_end": "2027-03-18T17:00:00",
            "zone": "Europe/Paris",
            "starts_at": "2027-03-18T13:00:00Z",
            "ends_at": "2027-03-18T16:00:00Z",
            "moved_forward": False,
        }
    ],
    "status": "scheduled",
    "cancellation_reason": None,
    "availability": {"capacity": 12, "seats_left": 3, "waiting": 0, "words": "3 places restantes"},
    "audience": "Agents qui portent un projet",
    "details": {
        "activity_type": "training",
        "objectives": ["Trouver son accroche", "Demander une seule chose"],
        "prerequisites": "",
        "duration_hours": 3,
        "methods": ["Deux passages devant le groupe"],
        "assessment": "",
        "to_bring": [],
    },
    "improvements": [{"said": "Trop peu de temps pour répéter", "done": "Chacun passe deux fois devant le groupe", "since": "2026-10-01"}],
    "quorum": {"needed": 6, "decides_at": "2027-03-11T08:00:00Z", "state": "open"},
    "version": 1,
}
_BOOKING: dict[str, Any] = {
    "booking_id": A_BOOKING,
    "session_id": A_SESSION,
    "agent_id": AN_AGENT,
    "state": "waiting",
    "session_sequence": 14,
    "version": 1,
    "booked_at": "2027-03-01T08:12:45Z",
    "rank": 2,
    "waiting": 2,
    "reason": None,
}


class RemoteSeats(BaseModel):
    """Places at a distance, with a queue of their own."""

    capacity: int
    seats_left: int
    waiting: int


class Seats(BaseModel):
    """An estimate for lists, up to a second old: the answer to a booking is the truth."""

    capacity: int
    seats_left: int = Field(description="Seats that a newcomer could still take; 0 while others wait, whoever has just cancelled.")
    waiting: int
    words: str = Field(description="In French, for people.")
    remote: RemoteSeats | None = Field(
        default=None, description="Those at a distance of a hybrid session, which the others do not count; null where there are none."
    )


class SessionItem(BaseModel):
    """A session of the programme."""

    model_config = ConfigDict(json_schema_extra={"examples": [_SESSION]})

    session_id: UUID
    activity_id: UUID
    activity_type: ActivityType
    title: str
    summary: str
    description: str
    theme: str
    delivery_mode: DeliveryMode
    venue: VenueSheet | None
    starts_at: datetime
    ends_at: datetime
    periods: tuple[Period, ...]
    status: str
    cancellation_reason: str | None
    needs_approval: bool = Field(default=False, description="Whether the line manager has to agree; book with `line_manager_email`.")
    availability: Seats
    quorum: Quorum | None = Field(
        default=None,
        description="Seats that must be taken at `decides_at`, or the session is cancelled; null where nothing is decided so.",
    )
    quota: Quota | None = Field(
        default=None,
        description="Until `until`, so many seats of the room may be booked, by newcomers and by agents of these départements; null where "
        "everybody books at once.",
    )
    audience: str = Field(default="", description="For whom it is, in French; for everybody when empty.")
    details: ActivityDetails | None = Field(default=None, description="What only its `activity_type` has.")
    improvements: tuple[Improvement, ...] = Field(default=(), description="What participants said, and what the lab did.")
    version: int

    @classmethod
    def of(cls, listed: ListedSession, now: datetime) -> Self:
        session = listed.session
        there = listed.remote
        seats = Seats(
            capacity=session.capacity,
            seats_left=listed.seats_left,
            waiting=listed.waiting,
            words=listed.seats_in_words(now),
            remote=there and RemoteSeats(capacity=there.capacity, seats_left=listed.remote_seats_left, waiting=there.waiting),
        )
        return cls(
            session_id=session.session_id,
            activity_id=session.activity_id,
            activity_type=session.activity_type,
            title=session.title,
            summary=session.summary,
            description=listed.description,
            theme=session.theme,
            delivery_mode=session.delivery_mode,
            venue=session.venue,
            starts_at=session.starts_at,
            ends_at=session.ends_at,
            periods=session.periods,
            status=session.status,
            cancellation_reason=session.cancellation_reason,
            needs_approval=session.needs_approval,
            availability=seats,
            quorum=listed.quorum,
            quota=session.quota,
            audience=listed.audience,
            details=listed.details,
            improvements=listed.improvements,
            version=session.version,
        )


class FacetCounts(BaseModel):
    """Sessions by value: how many there would be with another choice of this one, the others staying as they are. Most first."""

    activity_types: dict[str, int]
    delivery_modes: dict[str, int]
    departments: dict[str, int]
    themes: dict[str, int]


class SessionPage(BaseModel):
    """Sessions in order of their start. Go on with `next_cursor` until it is null."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "sessions": [_SESSION],
                    "next_cursor": None,
                    "near": False,
                    "facets": {
                        "activity_types": {"training": 1},
                        "delivery_modes": {"in_person": 1},
                        "departments": {"31": 1},
                        "themes": {"Prise de parole": 1},
                    },
                }
            ]
        }
    )

    sessions: tuple[SessionItem, ...]
    next_cursor: str | None
    near: bool = Field(default=False, description="Nothing has all the words of `q`: these come near.")
    facets: FacetCounts | None = Field(default=None, description="Only when asked for with `facets=true`.")


class Me(BaseModel):
    """Who the token or the session stands for."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "agent_id": AN_AGENT,
                    "given_name": "Garonne",
                    "usual_name": "Tilleul",
                    "email": "garonne.tilleul@exemple.invalid",
                    "org_unit": "prefecture-31",
                    "roles": ["agent"],
                }
            ]
        }
    )

    agent_id: UUID
    given_name: str
    usual_name: str
    email: str
    org_unit: str
    roles: tuple[Role, ...]

    @classmethod
    def of(cls, agent: Agent) -> Self:
        return cls(
            agent_id=agent.agent_id,
            given_name=agent.given_name,
            usual_name=agent.usual_name,
            email=agent.email,
            org_unit=agent.org_unit,
            roles=agent.roles,
        )


class BookingItem(Booking):
    """A seat, or a rank in the queue."""

    model_config = ConfigDict(json_schema_extra={"examples": [_BOOKING]})


class Bookings(BaseModel):
    """Newest first, ended ones included."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"bookings": [_BOOKING]}]})

    bookings: tuple[BookingItem, ...]


class BookingWish(BaseModel):
    """What may come with a booking. What is not understood is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{}]})

    line_manager_email: str = Field(default="", max_length=254, description="Who has to agree, where the session has `needs_approval`.")
    agent_email: str = Field(
        default="",
        max_length=254,
        description="For whom, when it is somebody else: for the lab, and for innovation referents.",
    )
    remote: bool = Field(default=False, description="At a distance, in a hybrid session that has places for that (`availability.remote`).")


class ModeWish(BaseModel):
    """How to follow a hybrid session from here on."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{"remote": True}]})

    remote: bool = Field(description="At a distance; in the room when false.")


class NoMembers(BaseModel):
    """An object without members: everything is in the address. What is not understood is refused, not ignored."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [{}]})


class Exchange(BaseModel):
    """The session to have a seat in instead."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"session_id": A_SESSION}]})

    session_id: UUID
    line_manager_email: str = Field(
        default="", max_length=254, description="As in a booking; without it, whoever was asked about the seat that is given back."
    )
    remote: bool = Field(default=False, description="As in a booking, of the seat to have.")


class Acceptance(BaseModel):
    """Nothing, or the seat that is given back for the one that is accepted."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"instead_of": A_BOOKING}]})

    instead_of: UUID | None = None

"""What tests of catalog start from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from services.catalog.activities import handlers
from services.catalog.activities.domain import Activity, Venue
from shared import clock
from shared.bus import Caller
from shared.contracts.catalog import (
    ActivityType,
    AddHost,
    AddVenue,
    DeliveryMode,
    DraftActivity,
    LocalPeriod,
    PublishActivity,
    ScheduleSession,
    SessionState,
    VenueSheet,
)
from shared.database import Database

DEMONSTRATION = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)  # Monday 1 March 2027, 09:00 in Paris
OPERATOR = Caller(actor="operator", roles=frozenset({"operator"}))
LAB_TEAM = Caller(actor=str(uuid4()), roles=frozenset({"agent", "lab_team"}))
AGENT = Caller(actor=str(uuid4()), roles=frozenset({"agent"}))


def local(day: str, start: str, end: str, zone: str = "Europe/Paris") -> LocalPeriod:
    """`local("2027-03-18", "14:00", "17:30")`."""
    return LocalPeriod(local_start=datetime.fromisoformat(f"{day}T{start}"), local_end=datetime.fromisoformat(f"{day}T{end}"), zone=zone)


PITCH = local("2027-03-18", "14:00", "17:30")


def a_draft(**changed: Any) -> DraftActivity:
    given: dict[str, Any] = {
        "activity_id": uuid4(),
        "activity_type": ActivityType.TRAINING,
        "title": "Présenter son projet en 5 minutes",
        "summary": "Une demi-journée pour apprendre à convaincre.",
        "theme": "Facilitation",
        "delivery_mode": DeliveryMode.IN_PERSON,
    }
    return DraftActivity(**given | changed)


def an_activity(**changed: Any) -> Activity:
    return Activity(content=a_draft(**changed), status="published", version=1)


def a_venue(capacity: int = 12, closed: Sequence[int] = (), notice_days: int = 0) -> Venue:
    about: dict[str, Any] = {"name": "Salle des machines", "address": "1 rue du Test", "city": "Foix", "department": "09"}
    sheet = VenueSheet(venue_id=uuid4(), step_free_access=True, notice_days=notice_days, **about)
    return Venue(sheet=sheet, capacity=capacity, closed_weekdays=frozenset(closed))


def an_order(**changed: Any) -> ScheduleSession:
    given: dict[str, Any] = {"session_id": uuid4(), "activity_id": uuid4(), "periods": (PITCH,), "capacity": 12}
    return ScheduleSession(**given | changed)


def a_draft_only(activity: Activity) -> Activity:
    return replace(activity, status="draft", version=0)


async def given_venue(catalog: Database, **changed: Any) -> UUID:
    host = AddHost(host_id=uuid4(), name="Atelier partagé", kind="fablab")
    given: dict[str, Any] = {
        "venue_id": uuid4(),
        "host_id": host.host_id,
        "name": "Grande salle",
        "address": "1 rue du Test",
        "city": "Foix",
        "department": "09",
        "capacity": 45,
        "step_free_access": True,
    }
    venue = AddVenue(**given | changed)
    async with catalog.begin() as tx:
        await handlers.add_host(host, OPERATOR, tx)
        await handlers.add_venue(venue, OPERATOR, tx)
    return venue.venue_id


async def given_activity(catalog: Database, *, published: bool = True, **changed: Any) -> UUID:
    draft = a_draft(**changed)
    async with catalog.begin() as tx:
        await handlers.draft_activity(draft, OPERATOR, tx)
        if published:
            await handlers.publish_activity(PublishActivity(activity_id=draft.activity_id), OPERATOR, tx)
    return draft.activity_id


async def given_session(catalog: Database, activity_id: UUID | None = None, venue_id: UUID | None = None, **changed: Any) -> SessionState:
    """A session of 12 seats on Thursday 18 March 2027, 14:00, unless told otherwise."""
    order = an_order(
        activity_id=activity_id or await given_activity(catalog), venue_id=venue_id or await given_venue(catalog), **changed
    )  # fmt: skip
    async with catalog.begin() as tx:
        return await handlers.schedule_session(order, OPERATOR, tx)


async def told(catalog: Database) -> list[tuple[str, int]]:
    """What the outbox holds, in order: the fact and the version of its aggregate."""
    async with catalog.connect() as connection:
        rows = await connection.execute(text("select split_part(subject, '.', 3), aggregate_version from outbox order by id"))
        return [(fact, version) for fact, version in rows]


async def payloads(catalog: Database) -> list[dict[str, Any]]:
    """The bodies of the outbox, in order."""
    async with catalog.connect() as connection:
        return [json.loads(body) for body in await connection.scalars(text("select payload from outbox order by id"))]


def shift_to(moment: datetime) -> None:
    clock.shift(moment - datetime.now(UTC), "embedded")


def days(number: float) -> timedelta:
    return timedelta(days=number)

"""What the tests of the gateway start from, made through catalog's own requests."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2

from shared import clock
from shared.bus import Bus, Caller
from shared.contracts.catalog import (
    ActivityType,
    AddHost,
    AddVenue,
    DeliveryMode,
    DraftActivity,
    LocalPeriod,
    PublishActivity,
    ScheduleSession,
)


async def schedule(
    bus: Bus,
    operator: Caller,
    *,
    title: str = "Pitcher en 5 minutes",
    summary: str = "Une demi-journée pour apprendre à présenter un projet.",
    description: str = "Exercices en petits groupes.",
    theme: str = "Prise de parole",
    activity_type: ActivityType = ActivityType.TRAINING,
    delivery_mode: DeliveryMode = DeliveryMode.IN_PERSON,
    city: str = "Toulouse",
    department: str = "31",
    capacity: int = 12,
    days: float = 17,
    periods: tuple[LocalPeriod, ...] = (),
    draft: Mapping[str, Any] | None = None,
    **more: Any,
) -> UUID:
    host_id, venue_id, activity_id, session_id = uuid4(), uuid4(), uuid4(), uuid4()
    start = (clock.now().astimezone(clock.PARIS) + timedelta(days=days)).replace(hour=14, minute=0, second=0, microsecond=0, tzinfo=None)
    await bus.ask(AddHost(host_id=host_id, name="Atelier partagé", kind="fablab"), operator)
    await bus.ask(
        AddVenue(
            venue_id=venue_id,
            host_id=host_id,
            name="La Halle aux essais",
            address="12 rue des Ateliers",
            city=city,
            department=department,
            capacity=max(capacity, 45),
            step_free_access=True,
            public_transport="Métro B, station Exemple",
        ),
        operator,
    )
    await bus.ask(
        DraftActivity(
            activity_id=activity_id,
            activity_type=activity_type,
            title=title,
            summary=summary,
            description=description,
            theme=theme,
            delivery_mode=delivery_mode,
            host_id=host_id,
            **draft or {},
        ),
        operator,
    )
    await bus.ask(PublishActivity(activity_id=activity_id), operator)
    await bus.ask(
        ScheduleSession(
            session_id=session_id,
            activity_id=activity_id,
            venue_id=venue_id if delivery_mode is not DeliveryMode.REMOTE else None,
            periods=periods or (LocalPeriod(local_start=start, local_end=start + timedelta(hours=3)),),
            capacity=capacity,
            **more,
        ),
        operator,
    )
    return session_id


def at(day: str, start: str, end: str) -> LocalPeriod:
    return LocalPeriod(local_start=datetime.fromisoformat(f"{day}T{start}"), local_end=datetime.fromisoformat(f"{day}T{end}"))


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code, once the problem has been found well-formed (RFC 9457)."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == answer.status_code
    assert problem["type"] == f"urn:labo:problem:{problem['code']}"
    assert problem["title"][0].isupper()
    assert problem["title"].endswith((".", "!"))
    return answer.status_code, problem["code"]

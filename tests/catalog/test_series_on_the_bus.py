"""Series through NATS: what booking tells reaches a preview, once and in order; keys and wrong payloads (T4, E4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from nats.aio.client import Client
from pydantic_core import from_json, to_json

from services.catalog.changes import handlers as changes
from services.catalog.series import handlers as series
from shared.bus import ACTOR, ROLES, Bus
from shared.consumers import Inlet
from shared.contracts.availability import SessionAvailabilityChanged
from shared.contracts.messages import Envelope, Request
from shared.contracts.series import ChangeSeries, GenerateSeries, PlanSeries, PreviewSeriesChange
from shared.database import Database
from shared.errors import Refused
from shared.listening import Listener
from shared.outbox import uuid7
from shared.requests import Responder
from shared.settings import Settings
from tests.catalog.givens import DEMONSTRATION, LAB_TEAM, shift_to, told
from tests.catalog.series_givens import an_order_of_seven

Eventually = Callable[..., Awaitable[object]]


@pytest.fixture
async def catalog(settings_for: Callable[..., Settings]) -> AsyncIterator[Database]:
    """A catalog that answers about series, and hears booking."""
    shift_to(DEMONSTRATION)
    settings = settings_for("catalog")
    database, bus = Database.of(settings), await Bus.connect(settings)
    responder = Responder(bus, database, [series.requests, changes.requests])
    await responder.start()
    listener = Listener(settings, bus, [Inlet(consumer, database) for consumer in changes.events.all])
    listening = asyncio.create_task(listener.run())
    yield database
    await listener.stop()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await responder.drain()
    await bus.close()
    await database.dispose()


@pytest.fixture
async def operator(settings_for: Callable[..., Settings]) -> AsyncIterator[Bus]:
    bus = await Bus.connect(settings_for("operator", postgres_password=""), user="operator")
    yield bus
    await bus.close()


async def tell(booking: Client, session_id: UUID, *, version: int, held: int, waiting: int) -> None:
    event = SessionAvailabilityChanged(
        version=version, session_id=session_id, session_sequence=version, capacity=40, held=held, waiting=waiting
    )
    envelope = Envelope.of(event, event_id=uuid7(), time=datetime.now(UTC), actor="labo")
    await booking.jetstream().publish(f"{event.subject}.{session_id}", event.model_dump_json().encode(), headers=envelope.headers())


async def test_T4_a_preview_counts_those_whom_booking_told_of_last(
    catalog: Database, operator: Bus, nats_as: Callable[..., Awaitable[Client]], eventually: Eventually
) -> None:
    made = await operator.ask(await an_order_of_seven(catalog), LAB_TEAM)
    first, second = (one.session_id for one in made.dates[:2])
    assert first
    assert second
    booking = await nats_as("booking")
    asked = PreviewSeriesChange(series_id=made.series_id, scope="all", capacity=30, reason="Le lieu est plus petit.")

    await tell(booking, first, version=2, held=12, waiting=3)
    await tell(booking, first, version=1, held=1, waiting=0)  # late: ignored
    await tell(booking, second, version=1, held=5, waiting=0)

    async def heard() -> bool:
        seen = await operator.ask(asked, LAB_TEAM)
        return (seen.bookings, seen.mails) == (17, 20)

    await eventually(heard)


async def test_the_same_key_makes_a_change_once_and_answers_the_same(catalog: Database, operator: Bus) -> None:
    made = await operator.ask(await an_order_of_seven(catalog), LAB_TEAM)
    asked = PreviewSeriesChange(series_id=made.series_id, scope="following", grid_index=2, capacity=30, reason="Le lieu est plus petit.")
    order = ChangeSeries(**asked.model_dump(), fingerprint=(await operator.ask(asked, LAB_TEAM)).fingerprint)
    caller = replace(LAB_TEAM, idempotency_key="following-once")

    first = await operator.ask(order, caller)

    assert await operator.ask(order, caller) == first
    assert [fact for fact, _ in await told(catalog)].count("session_rescheduled") == 4


async def test_an_outdated_preview_is_refused_in_french_with_its_code(catalog: Database, operator: Bus) -> None:
    made = await operator.ask(await an_order_of_seven(catalog), LAB_TEAM)
    order = ChangeSeries(series_id=made.series_id, scope="all", capacity=30, reason="Le lieu est plus petit.", fingerprint="another")

    with pytest.raises(Refused) as refused:
        await operator.ask(order, LAB_TEAM)

    assert (refused.value.code, refused.value.status) == ("preview_outdated", 412)
    assert refused.value.title.startswith("La série a changé")


@pytest.mark.parametrize(
    ("changed", "member"),
    [
        ({"every_weeks": 9}, "every_weeks"),
        ({"times": []}, "times"),
        ({"times": [[]]}, "times.0"),
        ({"times": [[{"start": "12h30", "end": "13:30"}]]}, "times.0.0.start"),
        ({"policy": "forget"}, "policy"),
        ({"anchor": "2027-02-30"}, "anchor"),
        ({"capacity": 0}, "capacity"),
    ],
)
async def test_a_wrong_member_is_named(
    catalog: Database, nats_as: Callable[..., Awaitable[Client]], changed: dict[str, object], member: str
) -> None:
    order = (await an_order_of_seven(catalog)).model_dump(mode="json") | changed
    client = await nats_as("operator")

    for kind in (PlanSeries, GenerateSeries):
        answer = await client.request(kind.subject, to_json(order), timeout=5, headers={ACTOR: "operator", ROLES: "operator"})
        problem = from_json(answer.data)["problem"]
        assert (problem["code"], problem["errors"][0]["where"]) == ("invalid_request", member)


@pytest.mark.parametrize("anchor", [date.min, date.max, date(1999, 12, 31), date(2101, 1, 6)])
async def test_a_date_that_no_calendar_holds_is_refused_rather_than_failing(catalog: Database, operator: Bus, anchor: date) -> None:
    order = (await an_order_of_seven(catalog)).model_copy(update={"anchor": anchor, "until": anchor})

    asked_for: list[Request[Any]] = [PlanSeries(**order.model_dump(exclude={"series_id"})), order]
    for asked in asked_for:
        with pytest.raises(Refused) as refused:
            await operator.ask(asked, LAB_TEAM)
        assert refused.value.code == "periods_invalid"

"""What tests of series start from: seven Thursdays of 2027, and how one asks for a change."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, time
from typing import Any
from uuid import UUID, uuid4

from services.catalog.changes.handlers import preview_series_change
from services.catalog.series.handlers import generate_series, get_series
from shared.contracts.series import ChangeSeries, GenerateSeries, GetSeries, PreviewSeriesChange, SeriesPreview, SeriesState, WallTimes
from shared.database import Database
from tests.catalog.givens import LAB_TEAM, given_activity, given_venue

LUNCH, EVENING = (WallTimes(start=time(12, 30), end=time(13, 30)),), (WallTimes(start=time(17, 30), end=time(18, 30)),)
ORDER: dict[str, Any] = {"anchor": date(2027, 3, 11), "until": date(2027, 6, 3), "times": (LUNCH, EVENING), "capacity": 40}


async def ask(catalog: Database, command: Callable[..., Awaitable[Any]], request: Any, caller: Any = LAB_TEAM) -> Any:
    async with catalog.begin() as tx:
        return await command(request, caller, tx)


async def an_order_of_seven(catalog: Database, **changed: Any) -> GenerateSeries:
    """Thursdays from 11 March to 3 June 2027: seven dates, 6 May among them."""
    given: dict[str, Any] = ORDER | {
        "series_id": uuid4(),
        "activity_id": await given_activity(catalog),
        "venue_id": await given_venue(catalog),
    }
    return GenerateSeries(**given | changed)


async def given_series(catalog: Database, **changed: Any) -> SeriesState:
    return await ask(catalog, generate_series, await an_order_of_seven(catalog, **changed))


async def preview(catalog: Database, series: SeriesState, **change: Any) -> tuple[SeriesPreview, ChangeSeries]:
    """What it would do, and the order that carries it out."""
    given: dict[str, Any] = {"series_id": series.series_id, "reason": "Le lieu a changé ses horaires."}
    asked = PreviewSeriesChange(**given | change)
    seen = await preview_series_change(asked, LAB_TEAM, catalog)
    return seen, ChangeSeries(**asked.model_dump(), fingerprint=seen.fingerprint)


async def read(catalog: Database, series_id: UUID) -> SeriesState:
    return await get_series(GetSeries(series_id=series_id), LAB_TEAM, catalog)


def held(series: SeriesState) -> list[date | None]:
    return [each.held_on for each in series.dates]

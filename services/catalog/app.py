"""Wiring of the catalog service: `python -m services.catalog.app`."""

from __future__ import annotations

from services.catalog.activities import handlers as activities
from services.catalog.agreements import handlers as agreements
from services.catalog.changes import handlers as changes
from services.catalog.life import handlers as life
from services.catalog.quorum import handlers as quorum
from services.catalog.series import handlers as series
from shared.service import Service, run
from shared.settings import Settings


def main() -> None:
    service = Service(
        "catalog",
        requests=[activities.requests, life.requests, series.requests, changes.requests],
        events=[changes.events, agreements.events, quorum.events],
    )
    run(service, Settings(service="catalog"))


if __name__ == "__main__":
    main()

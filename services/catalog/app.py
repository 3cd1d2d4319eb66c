"""Wiring of the catalog service: `python -m services.catalog.app`."""

from __future__ import annotations

from services.catalog.activities import handlers
from shared.service import Service, run
from shared.settings import Settings


def main() -> None:
    run(Service("catalog", requests=[handlers.requests]), Settings(service="catalog"))


if __name__ == "__main__":
    main()

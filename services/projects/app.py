"""Wiring of the projects service: `python -m services.projects.app`."""

from __future__ import annotations

from services.projects.calls import handlers as calls
from services.projects.engagements import handlers as engagements
from shared.service import Service, run
from shared.settings import Settings


def main() -> None:
    run(Service("projects", requests=[calls.requests, engagements.requests]), Settings(service="projects"))


if __name__ == "__main__":
    main()

"""Wiring of the gateway: `python -m services.gateway.app`."""

from __future__ import annotations

from services.gateway.demand import handlers as demand
from services.gateway.directory import handlers as directory
from services.gateway.login import handlers as login
from services.gateway.programme import handlers as programme
from services.gateway.settings import GatewaySettings
from services.gateway.web.application import build
from shared.service import Service, run

SERVICE = Service(
    "gateway",
    requests=[demand.requests, directory.requests, login.requests],
    events=[programme.events],
    background=[login.sweep_logins],
    web=build,
)


def main() -> None:
    run(SERVICE, GatewaySettings())


if __name__ == "__main__":
    main()

"""What every page and endpoint works with."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import HTTPConnection

from services.gateway.demand.domain import Ear
from services.gateway.login.principal import Doorkeeper
from services.gateway.login.provider import Provider
from services.gateway.portal.rendering import Renderer
from services.gateway.settings import GatewaySettings
from shared.bus import Bus
from shared.database import Database


@dataclass(frozen=True)
class Desk:
    settings: GatewaySettings
    database: Database
    bus: Bus
    provider: Provider
    door: Doorkeeper
    renderer: Renderer
    ear: Ear


def desk_of(request: HTTPConnection) -> Desk:
    return request.app.state.desk

"""One visit of a person to the portal: which page they get, and what is said to them on it or on the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from services.gateway.desk import Desk, desk_of
from services.gateway.login import store
from services.gateway.login.principal import Principal
from services.gateway.login.store import Flash
from services.gateway.portal import wording
from shared.errors import Refused


@dataclass(frozen=True)
class Visit:
    """One request of a person: who they are, and what is waiting to be said to them."""

    desk: Desk
    request: Request
    principal: Principal | None

    def page(self, template: str, *, status: int = 200, flashes: Sequence[Flash] = (), **values: Any) -> Response:
        agent = self.principal.agent if self.principal else None
        html = self.desk.renderer.render(template, agent=agent, flashes=flashes, path=self.request.url.path, **values)
        return HTMLResponse(html, status, {"Cache-Control": "no-store" if agent else "private, no-cache", "Vary": "Cookie"})

    async def show(self, template: str, **values: Any) -> Response:
        """A page with the sentences that were waiting."""
        waiting: Sequence[Flash] = ()
        if self.principal and self.principal.session and self.principal.has_flashes:
            waiting = await store.take_flashes(self.desk.database, self.principal.session)
        return self.page(template, flashes=waiting, **values)

    async def say(self, tone: store.Tone, sentence: str) -> None:
        """To be shown on the next page."""
        if self.principal and self.principal.session:
            await store.add_flash(self.desk.database, self.principal.session, Flash(tone, sentence))


async def visit_of(request: Request) -> Visit:
    desk = desk_of(request)
    return Visit(desk, request, await desk.door.principal(request))


def refused(refusal: Refused) -> Flash:
    """A refusal said in place: its French title, and the date that it turns on (B6)."""
    dated = {"opens_at": "Elles ouvrent le", "closes_at": "Elles ont fermé le"}
    dates = [
        f"{words} {wording.instant(datetime.fromisoformat(at))}." for name, words in dated.items() if (at := refusal.members.get(name))
    ]
    return Flash("warning" if refusal.retryable else "error", " ".join([refusal.title, *dates]))


async def static(request: Request) -> Response:
    asset = desk_of(request).renderer.assets.get(request.path_params["name"])
    if asset is None:
        raise HTTPException(404)
    return Response(asset.body, headers={"Cache-Control": "public, max-age=31536000, immutable"}, media_type=asset.media_type)

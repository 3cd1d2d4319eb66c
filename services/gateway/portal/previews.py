"""The page of an activity before it is published, for the lab only; no search engine keeps it."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.portal.bookings import signed_in_visit
from services.gateway.programme.domain import ActivityUnknown
from shared.contracts.activities import GetActivity


async def show_preview(request: Request) -> Response:
    """Catalog refuses whoever is not of the lab."""
    visit, principal = await signed_in_visit(request)
    try:
        activity_id = UUID(request.path_params["activity_id"])
    except ValueError as error:
        raise ActivityUnknown("not an id") from error
    activity = await visit.desk.bus.ask(GetActivity(activity_id=activity_id), principal.caller())
    response = await visit.show("preview.html", activity=activity)
    response.headers["X-Robots-Tag"] = "noindex, nofollow"
    return response


routes = [Route("/apercu/{activity_id}", show_preview)]

"""The public web application: the portal, and the API below `/api/v1`."""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Mount, Route
from starlette.types import ASGIApp

from services.gateway.api import (
    attendance,
    bookings,
    certificates,
    feedback,
    feeds,
    groups,
    names,
    notices,
    openapi,
    programme,
    public_feeds,
    quorum,
    tailored,
)
from services.gateway.demand.domain import Ear
from services.gateway.desk import Desk, desk_of
from services.gateway.login import pages as login
from services.gateway.login.principal import Doorkeeper
from services.gateway.login.provider import Provider
from services.gateway.portal import pages as portal
from services.gateway.portal.rendering import Renderer
from services.gateway.settings import GatewaySettings
from services.gateway.web.problems import problem_response, refusal_of
from services.gateway.web.protection import Protection
from shared import clock
from shared.errors import Refused
from shared.service import Context

API = "/api/v1"


def build(context: Context) -> ASGIApp:
    """Everything that the public port serves."""
    settings = context.settings
    if not isinstance(settings, GatewaySettings):
        raise TypeError("the gateway is run with GatewaySettings")
    desk = Desk(
        settings=settings,
        database=context.database,
        bus=context.bus,
        provider=Provider(settings),
        door=Doorkeeper(settings, context.database),
        renderer=Renderer(settings),
        ear=Ear(lambda: clock.now().astimezone(clock.PARIS).date()),
    )
    application = Starlette(
        routes=[
            Route(f"{API}/sessions/{{session_id}}/bookings", bookings.book, methods=["POST"]),
            Route(f"{API}/sessions/{{session_id}}/bookings", only_post, methods=["GET", "PUT", "PATCH", "DELETE", "OPTIONS"]),
            Mount(API, build_api(desk)),
            *feeds.routes,
            *login.routes,
            *portal.routes,
        ],
        middleware=[Middleware(Protection, settings=settings, refuse=answer_error)],
        exception_handlers={HTTPException: answer_error},
    )
    application.router.redirect_slashes = False
    application.state.desk = desk
    return application


def build_api(desk: Desk) -> FastAPI:
    """The endpoints that are not on the hot path."""
    api = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers=dict.fromkeys((RequestValidationError, Refused, Exception), answer_problem),
    )
    api.add_exception_handler(HTTPException, answer_no_route)
    api.state.desk = desk
    for router in (
        programme.programme, public_feeds.router, bookings.router, groups.router, names.router, attendance.router, certificates.router,
        tailored.router, programme.me, quorum.router, notices.router, feeds.router, feedback.router,
    ):  # fmt: skip
        api.include_router(router)
    described = openapi.document(api, desk.door.cookie)

    async def describe(_: Request) -> Response:
        return JSONResponse(described, headers={"Cache-Control": "public, max-age=300"})

    api.router.routes.append(Route("/openapi.json", describe))
    return api


METHODS = ("DELETE", "GET", "PATCH", "POST", "PUT")


async def only_post(_: Request) -> Response:
    raise HTTPException(405, headers={"Allow": "POST"})


async def answer_problem(_: Request, error: Exception) -> Response:
    response = problem_response(refusal_of(error))
    if isinstance(error, HTTPException) and error.headers:
        response.headers.update(error.headers)  # Allow, at 405
    return response


async def answer_no_route(request: Request, error: Exception) -> Response:
    """At 405 with the methods of every route at this address: the framework names those of the first one only."""
    response = await answer_problem(request, error)
    if response.status_code == 405:
        routes = request.app.router.routes
        taken = (name for name in METHODS if any(each.matches({**request.scope, "method": name})[0] is Match.FULL for each in routes))
        response.headers["Allow"] = ", ".join(taken)
    return response


async def answer_error(request: Request, error: Exception) -> Response:
    """A problem below `/api/`, a page elsewhere."""
    if request.url.path.startswith("/api/"):
        return await answer_problem(request, error)
    return await portal.answer_refusal(desk_of(request), request, refusal_of(error))

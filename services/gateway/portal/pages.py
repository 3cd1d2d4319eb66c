"""All pages of the portal: their addresses, those that the law asks for, and the page of an error."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from services.gateway.desk import Desk
from services.gateway.portal import (
    answers,
    bookings,
    certificates,
    check_in,
    exchanges,
    groups,
    preferences,
    previews,
    programme,
    projects,
    sheets,
    surveys,
)
from services.gateway.portal.visit import Visit, static, visit_of
from services.gateway.web.problems import headers_of
from shared.errors import Refused

TEXTS = {
    "/plan-du-site": "texts/sitemap.html",
    "/accessibilite": "texts/accessibility.html",
    "/mentions-legales": "texts/legal.html",
    "/donnees-personnelles": "texts/privacy.html",
    "/cookies": "texts/cookies.html",
    "/ecoconception": "texts/ecodesign.html",
}

HEADINGS = {
    400: "La demande n’a pas abouti",
    401: "Connexion nécessaire",
    403: "Accès refusé",
    404: "Page introuvable",
    410: "Ce lien a expiré",
    429: "Un instant, s’il vous plaît",
    503: "Service momentanément indisponible",
    504: "Le service tarde à répondre",
}


async def show_text(request: Request) -> Response:
    visit = await visit_of(request)
    return await visit.show(TEXTS[request.url.path])


async def robots(_: Request) -> Response:
    return Response("User-agent: *\nAllow: /\n", media_type="text/plain")


async def answer_refusal(desk: Desk, request: Request, refusal: Refused) -> Response:
    """A page that says what happened and where to go; whoever must sign in first is led there and back."""
    if refusal.code == "not_signed_in":
        return RedirectResponse(f"/connexion?suite={quote(page_before(request))}", 303)
    heading = HEADINGS.get(refusal.status, HEADINGS[400] if refusal.status < 500 else "Une erreur s’est produite")
    principal = None
    if refusal.status == 404:
        with suppress(Exception):  # an error page never fails; a stranger's header is good enough
            principal = await desk.door.principal(request)
    response = Visit(desk, request, principal).page("error.html", status=refusal.status, heading=heading, refusal=refusal)
    response.headers.update(headers_of(refusal))
    return response


def page_before(request: Request) -> str:
    """Where a person was when a form, sent too late, found nobody signed in."""
    path = request.url.path
    if request.method == "GET" or path.endswith("/annuler"):
        return path
    if path.startswith("/mes-inscriptions/"):
        return "/mes-inscriptions"
    return path.removesuffix("/inscription") if path.startswith("/seances/") else "/mon-projet"


routes: list[BaseRoute] = [
    *programme.routes,
    *bookings.routes,
    *answers.routes,
    *certificates.routes,
    *check_in.routes,
    *groups.routes,
    *sheets.routes,
    *exchanges.routes,
    *preferences.routes,
    *previews.routes,
    *surveys.routes,
    *projects.routes,
    *(Route(path, show_text) for path in TEXTS),
    Route("/robots.txt", robots),
    Route("/static/{name}", static),
]

"""Fetching one's certificate, signed in or by the link of a mail; and the page where anybody checks one, without an account (A2)."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from services.gateway.certificates.checking import Checked, certificate_of, check, key_of
from services.gateway.certificates.paper import file_name
from services.gateway.certificates.statement import CertificateNotGenuine, Statement
from services.gateway.desk import desk_of
from services.gateway.portal.answers import LinkExpired, signed_link
from services.gateway.portal.bookings import booking_id_of, signed_in_visit
from services.gateway.portal.visit import refused, visit_of
from services.gateway.web.forms import form_of
from shared import clock
from shared.bus import Caller
from shared.links import Purpose


async def fetch_own(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    return _pdf(*await certificate_of(visit.desk, booking_id_of(request), principal.caller()))


async def fetch_by_link(request: Request) -> Response:
    link = signed_link(request, Purpose.FETCH_CERTIFICATE)
    if link.expires_at <= clock.now():
        raise LinkExpired(f"it was for the certificate of booking {link.booking_id}")
    return _pdf(*await certificate_of(desk_of(request), link.booking_id, Caller(str(link.agent_id), frozenset({"agent"}))))


async def ask_for_text(request: Request) -> Response:
    visit = await visit_of(request)
    return visit.page("verify.html", checked=None)


async def take_text(request: Request) -> Response:
    """The text of a QR, or the whole address that it holds, pasted."""
    text = "".join((await form_of(request)).get("texte", "").split()).rpartition("/")[2]
    return RedirectResponse(f"/verifier/{quote(text) or '-'}", 303)


async def show_check(request: Request) -> Response:
    visit = await visit_of(request)
    checked: Checked | None = None
    try:
        checked = await check(visit.desk, request.path_params["text"])
    except CertificateNotGenuine as refusal:
        response = visit.page("verify.html", status=refusal.status, flashes=[refused(refusal)], checked=checked)
    else:
        response = visit.page("verify.html", checked=checked)
    response.headers["Cache-Control"] = "no-store"
    return response


async def publish_key(request: Request) -> Response:
    return JSONResponse(key_of(desk_of(request)).published, headers={"Cache-Control": "public, max-age=3600"})


def _pdf(statement: Statement, content: bytes) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{file_name(statement.issued_at)}"', "Cache-Control": "no-store"}
    return Response(content, 200, headers, "application/pdf")


routes = [
    Route("/mes-inscriptions/{booking_id}/attestation", fetch_own),
    Route("/attestation/{token}", fetch_by_link),
    Route("/verifier", ask_for_text),
    Route("/verifier", take_text, methods=["POST"]),
    Route("/verifier/{text}", show_check),
    Route("/.well-known/labo-certificates.json", publish_key),
]

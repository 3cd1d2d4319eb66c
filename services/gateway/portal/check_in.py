"""Checking in: the agent's own code, shown at the door and scanned by whoever keeps the sheet, or the code of the room typed in (A1)."""

from __future__ import annotations

from datetime import datetime, timedelta

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.directory import store as directory
from services.gateway.portal.answers import AWAY, LinkExpired, signed_link
from services.gateway.portal.asking import patiently
from services.gateway.portal.bookings import booking_id_of, signed_in_visit
from services.gateway.portal.sheets import keeper, scanner_of
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared import clock
from shared.bus import Caller
from shared.contracts.attendance import CheckedIn, CheckIn, DeclareExcuse
from shared.contracts.booking import Booking, GetBooking
from shared.errors import InvalidRequest, Refused
from shared.links import Link, Purpose

CODE_LASTS = timedelta(days=200)
"""Of the agent's own code: until after the last day of a session that was booked early. It is useless without the seat."""


async def show_own_code(request: Request) -> Response:
    """The QR that the agent shows at the door; printed or saved, it needs no network."""
    visit, principal = await signed_in_visit(request)
    booking = await visit.desk.bus.ask(GetBooking(booking_id=booking_id_of(request)), principal.caller())
    token = Link(Purpose.SHOW_ONESELF, booking.booking_id, booking.agent_id, booking.booked_at + CODE_LASTS).sign(
        visit.desk.settings.link_secret
    )
    code = token and segno.make(visit.desk.settings.page(f"/presence/{token}"), micro=False, error="m")
    picture = Markup(code.svg_inline(scale=5, border=4, dark="#000", light="#fff", omitsize=False)) if code else None  # noqa: S704
    return await _page(visit, booking, "own_code.html", picture=picture, address=token and f"/presence/{token}")


async def ask_to_check_in(request: Request) -> Response:
    visit, link = await visit_of(request), _link_of(request)
    return await _check_in_page(visit, link)


async def check_in(request: Request) -> Response:
    visit, link = await visit_of(request), _link_of(request)
    form = await form_of(request)
    scanner = scanner_of(request, visit)
    if scanner and "code" not in form:
        order, caller = CheckIn(booking_id=link.booking_id), keeper(scanner)
    else:
        order = CheckIn(booking_id=link.booking_id, room_code=form.get("code", "")[:20], scanned_at=_moment(form.get("quand", "")))
        caller = Caller(str(link.agent_id), frozenset({"agent"}))
    try:
        done = await patiently(lambda each: visit.desk.bus.ask(order, each), caller)
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        return await _check_in_page(visit, link, refusal=refusal)
    return await _check_in_page(visit, link, done=done)


async def declare_excuse(request: Request) -> Response:
    """Said once, on a page that asks first; nothing is asked of the reason (N3)."""
    visit, principal = await signed_in_visit(request)
    booking_id = booking_id_of(request)
    refusal: Refused | None = None
    if request.method == "POST":
        try:
            await patiently(lambda each: visit.desk.bus.ask(DeclareExcuse(booking_id=booking_id), each), principal.caller())
        except Refused as answer:
            if answer.code in AWAY:
                raise
            refusal = answer
    booking = await visit.desk.bus.ask(GetBooking(booking_id=booking_id), principal.caller())
    return await _page(visit, booking, "excuse.html", refusal=refusal, done=request.method == "POST" and refusal is None)


def _link_of(request: Request) -> Link:
    link = signed_link(request, Purpose.SHOW_ONESELF)
    if link.expires_at <= clock.now():
        raise LinkExpired(f"it was the code of booking {link.booking_id}")
    return link


def _moment(typed: str) -> datetime | None:
    """What `datetime-local` sends, on the clocks of Paris."""
    if not typed:
        return None
    try:
        return datetime.fromisoformat(typed).replace(tzinfo=clock.PARIS)
    except ValueError as error:
        raise InvalidRequest("not a date and time") from error


async def _check_in_page(visit: Visit, link: Link, *, done: CheckedIn | None = None, refusal: Refused | None = None) -> Response:
    booking = await visit.desk.bus.ask(GetBooking(booking_id=link.booking_id), Caller(str(link.agent_id), frozenset({"agent"})))
    scanner = scanner_of(visit.request, visit)
    name = None
    if scanner is not None and scanner.booking_id == booking.session_id:  # whoever keeps this very sheet looks at the person
        async with visit.desk.database.connect() as connection:
            name = (await directory.names(connection, [booking.agent_id])).get(booking.agent_id, "Agent inconnu de l’annuaire")
    return await _page(visit, booking, "check_in.html", refusal=refusal, done=done, name=name)


async def _page(visit: Visit, booking: Booking, template: str, *, refusal: Refused | None = None, **values: object) -> Response:
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [booking.session_id])).get(booking.session_id)
    flashes = [refused(refusal)] if refusal else []
    response = visit.page(template, status=refusal.status if refusal else 200, flashes=flashes, booking=booking, listed=listed, **values)
    if refusal:
        response.headers.update(headers_of(refusal))
    response.headers["Cache-Control"] = "no-store"
    return response


routes = [
    Route("/mes-inscriptions/{booking_id}/code", show_own_code),
    Route("/mes-inscriptions/{booking_id}/empechement", declare_excuse, methods=["GET", "POST"]),
    Route("/presence/{token}", ask_to_check_in),
    Route("/presence/{token}", check_in, methods=["POST"]),
]

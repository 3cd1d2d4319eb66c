"""« Mes inscriptions », and giving a seat or a rank back."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.login.domain import NotSignedIn
from services.gateway.login.principal import Principal
from services.gateway.portal import wording
from services.gateway.portal.asking import my_bookings, my_mail_comes_back, patiently
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from services.gateway.web.problems import PageUnknown, headers_of
from shared.contracts.booking import ACTIVE_STATES, Booking, BookingState, CancelBooking, GetBooking
from shared.contracts.modes import ChangeMode
from shared.contracts.strikes import ListStrikes, StrikeList
from shared.errors import Refused, Unavailable


async def signed_in_visit(request: Request) -> tuple[Visit, Principal]:
    visit = await visit_of(request)
    if visit.principal is None:
        raise NotSignedIn("this page is a person's own")
    return visit, visit.principal


async def show_bookings(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    bookings, comes_back = await asyncio.gather(my_bookings(visit), my_mail_comes_back(visit, principal.agent_id))
    if bookings is None:
        raise Unavailable("booking cannot be asked")
    async with visit.desk.database.connect() as connection:
        sessions = await queries.read_sessions(connection, [booking.session_id for booking in bookings])

    def start(booking: Booking) -> str:
        listed = sessions.get(booking.session_id)
        return listed.session.starts_at.isoformat() if listed else ""

    active = sorted((booking for booking in bookings if is_active(booking)), key=start)
    ended = [booking for booking in bookings if not is_active(booking)]
    told = {"strikes": await _strikes(visit, principal), "comes_back": comes_back}
    return await visit.show("bookings.html", active=active, ended=ended, sessions=sessions, **told)


async def _strikes(visit: Visit, principal: Principal) -> StrikeList | None:
    """The visitor's own; the page does without when they cannot be had."""
    try:
        return await visit.desk.bus.ask(ListStrikes(agent_id=principal.agent_id), principal.caller(), timeout=2)
    except Refused:
        return None


async def ask_to_cancel(request: Request) -> Response:
    """The page that asks before anything is given back."""
    visit, principal = await signed_in_visit(request)
    booking = await visit.desk.bus.ask(GetBooking(booking_id=booking_id_of(request)), principal.caller())
    return await _cancel_page(visit, booking)


async def cancel_booking(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    form = await form_of(request)
    version = form.get("version", "")
    expected = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else None
    order = CancelBooking(booking_id=booking_id_of(request), expected_version=expected)
    caller = principal.caller((form.get("cle") or str(uuid4()))[:200])
    try:
        booking = await patiently(lambda each: visit.desk.bus.ask(order, each), caller)
    except Refused as refusal:
        if refusal.code in {"booking_unknown", "unavailable"}:
            raise
        now = await visit.desk.bus.ask(GetBooking(booking_id=order.booking_id), principal.caller())
        return await _cancel_page(visit, now, refusal)
    await visit.say("success", cancelled_in_words(booking))
    return RedirectResponse("/mes-inscriptions", 303)


async def change_mode(request: Request) -> Response:
    """To the other mode of a hybrid session, by the button of its page (B9)."""
    visit, principal = await signed_in_visit(request)
    form = await form_of(request)
    order = ChangeMode(booking_id=booking_id_of(request), remote=form.get("mode") == "distance")
    try:
        booking = await patiently(lambda each: visit.desk.bus.ask(order, each), principal.caller((form.get("cle") or str(uuid4()))[:200]))
    except Refused as refusal:
        if refusal.code in {"booking_unknown", "unavailable"}:
            raise
        booking = await visit.desk.bus.ask(GetBooking(booking_id=order.booking_id), principal.caller())
        await visit.say("error", refusal.title)
    else:
        await visit.say("success", f"C’est noté : vous {'suivrez la séance à distance' if booking.remote else 'viendrez dans la salle'}.")
    return RedirectResponse(f"/seances/{booking.session_id}", 303)


def cancelled_in_words(booking: Booking) -> str:
    if booking.state is BookingState.LEFT:
        return "Vous avez quitté la liste d’attente."
    return wording.given_back(booking)


async def _cancel_page(visit: Visit, booking: Booking, refusal: Refused | None = None) -> Response:
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [booking.session_id])).get(booking.session_id)
    values = {"booking": booking, "listed": listed, "active": is_active(booking), "key": uuid4()}
    if refusal is None:
        return await visit.show("cancel.html", **values)
    response = visit.page("cancel.html", status=refusal.status, flashes=[refused(refusal)], **values)
    response.headers.update(headers_of(refusal))
    return response


def is_active(booking: Booking) -> bool:
    """Still to come: what was attended, or missed, is over."""
    return booking.state in ACTIVE_STATES and booking.attendance is None


def booking_id_of(request: Request) -> UUID:
    try:
        return UUID(request.path_params["booking_id"])
    except ValueError as error:
        raise PageUnknown("not an id") from error


routes = [
    Route("/mes-inscriptions", show_bookings),
    Route("/mes-inscriptions/{booking_id}/annuler", ask_to_cancel),
    Route("/mes-inscriptions/{booking_id}/annuler", cancel_booking, methods=["POST"]),
    Route("/mes-inscriptions/{booking_id}/mode", change_mode, methods=["POST"]),
]

"""The programme, one session, and booking it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.demand import handlers as demand
from services.gateway.desk import Desk
from services.gateway.feeds.addresses import addresses
from services.gateway.login.domain import NotSignedIn
from services.gateway.portal import exchanges, wording
from services.gateway.portal.asking import my_bookings, patiently
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.programme.domain import CursorInvalid, ListedSession, SessionUnknown
from services.gateway.programme.queries import ANYBODY, Filters
from services.gateway.programme.seats import Wish, ask_for_seat
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared import clock
from shared.clock import PARIS
from shared.contracts.availability import Availability, GetAvailability
from shared.contracts.booking import ACTIVE_STATES, Booking, BookingState
from shared.contracts.catalog import ActivityType, DeliveryMode
from shared.errors import Refused

SESSIONS_A_PAGE = 30
FIELDS = ("q", "type", "mode", "departement", "theme", "places")


async def show_programme(request: Request) -> Response:
    visit = await visit_of(request)
    asked = {name: request.query_params.get(name, "").strip()[:100] for name in FIELDS}
    filters = filters_of(asked)
    cursor = request.query_params.get("suite")
    async with visit.desk.database.connect() as connection:
        try:
            page = await queries.list_sessions(connection, filters, limit=SESSIONS_A_PAGE, cursor=cursor)
        except CursorInvalid:
            return RedirectResponse("/", 303)
        hidden = await queries.count_hidden(connection, filters) if filters.only_free else 0
        facets = await queries.read_facets(connection, filters)
    noted = not page.sessions and cursor is None and await demand.heard(visit.desk, request, filters)
    kept = {name: value for name, value in asked.items() if value}
    return await visit.show(
        "programme.html",
        months=by_month(page.sessions),
        mine={booking.session_id: booking for booking in await my_bookings(visit) or () if booking.state in ACTIVE_STATES},
        asked=asked,
        filtered=bool(kept.keys() - {"places"}),
        hidden=hidden,
        near=page.near,
        noted=noted,
        facets=facets.with_chosen(filters),
        everything="/?" + urlencode(kept | {"places": "toutes"}),
        next_page="/?" + urlencode(kept | {"suite": page.next_cursor}) if page.next_cursor else None,
        first_page=cursor is None,
        feeds=addresses(filters),
    )


def filters_of(asked: dict[str, str]) -> Filters:
    """What the form says; what it cannot have said counts for nothing. Sessions with seats left are the default, as agents ask."""
    code = asked["departement"]
    return Filters(
        since=queries.start_of(None),
        activity_type=next((each for each in ActivityType if each == asked["type"]), None),
        delivery_mode=next((each for each in DeliveryMode if each == asked["mode"]), None),
        department=code if code in wording.DEPARTMENTS else None,
        words=asked["q"],
        only_free=asked["places"] != "toutes",
        theme=asked["theme"] or None,
    )


def by_month(sessions: Sequence[ListedSession]) -> list[tuple[str, list[ListedSession]]]:
    """Sessions in order, under the French name of their month in Paris."""
    months = groupby(sessions, key=lambda each: wording.month_of(each.session.starts_at.astimezone(PARIS)))
    return [(month, list(those)) for month, those in months]


# --- one session -------------------------------------------------------------------------------------------------------------------------


async def show_session(request: Request) -> Response:
    visit = await visit_of(request)
    return await visit.show("session.html", **await _session_values(visit, session_id_of(request)))


async def book_session(request: Request) -> Response:
    """Book, then show the session again: said once, whatever the browser repeats. A refusal is shown in place."""
    visit = await visit_of(request)
    session_id = session_id_of(request)
    if visit.principal is None:
        raise NotSignedIn("booking needs a session")
    form = await form_of(request)
    key = (form.get("cle") or str(uuid4()))[:200]
    principal, wish = visit.principal, Wish(line_manager_email=form.get("responsable", ""), remote=at_a_distance(form))
    try:
        booking = await patiently(lambda caller: ask_for_seat(visit.desk, session_id, principal, caller, wish), principal.caller(key))
    except Refused as refusal:
        if refusal.code in exchanges.TITLES:
            return await exchanges.ask_whether_to_exchange(visit, refusal, session_id, remote=wish.remote)
        values = await _session_values(visit, session_id)
        response = visit.page("session.html", status=refusal.status, flashes=[refused(refusal)], **values)
        response.headers.update(headers_of(refusal))
        return response
    settled = booking.state is BookingState.CONFIRMED and not wording.is_pending(booking)
    await visit.say("success" if settled else "info", booked_in_words(booking))
    return RedirectResponse(f"/seances/{session_id}", 303)


def at_a_distance(form: Mapping[str, str]) -> bool:
    return form.get("mode") == "distance"


def booked_in_words(booking: Booking) -> str:
    """E7: the mail may lag, the booking does not."""
    if booking.pending is not None:
        return (
            f"La place vous est gardée jusqu’au {wording.instant(booking.pending.deadline)}, le temps que votre responsable réponde. "
            "Courriel à suivre."
        )
    if booking.state is BookingState.CONFIRMED:
        also = " Une autre de vos séances a lieu aux mêmes heures : l’une des deux est à distance, vous gardez les deux places."
        return "Votre place est confirmée. Confirmation enregistrée, courriel à suivre." + (also if booking.overlaps else "")
    return f"Il ne reste pas de place : vous êtes en liste d’attente, au rang {booking.rank}. Courriel à suivre."


def session_id_of(request: Request) -> UUID:
    try:
        return UUID(request.path_params["session_id"])
    except ValueError as error:
        raise SessionUnknown("not an id") from error


async def _session_values(visit: Visit, session_id: UUID) -> dict[str, Any]:
    desk = visit.desk
    async with desk.database.connect() as connection:
        listed = await queries.find_session(connection, session_id, desk.bus)
    (listed, closed), bookings = await asyncio.gather(_counted(desk, listed), my_bookings(visit))
    mine = next((each for each in bookings or () if each.session_id == session_id and each.state in ACTIVE_STATES), None)
    return {"listed": listed, "mine": mine, "bookings_away": bookings is None, "closed": closed, "key": uuid4()}


async def _counted(desk: Desk, listed: ListedSession) -> tuple[ListedSession, str | None]:
    """With the counters of this moment, if booking can be asked; with the last known ones otherwise (E7). Then why it takes nobody (B6)."""
    with suppress(Refused):
        found = await desk.bus.ask(GetAvailability(session_ids=(listed.session_id,)), ANYBODY, timeout=1)
        if found.sessions:
            seats, now = found.sessions[0], clock.now()
            closed = wording.not_open(seats, now) or _reserved_seats_taken(listed, seats, now)
            return replace(listed, held=seats.held, waiting=seats.waiting, remote=seats.remote), closed
    return listed, None


def _reserved_seats_taken(listed: ListedSession, seats: Availability, now: datetime) -> str | None:
    """Why nobody can book now, though everybody will (W1)."""
    quota = listed.session.quota
    if quota is None or now >= quota.until or seats.held < quota.seats:
        return None
    return f"Les places réservées sont prises : les inscriptions ouvrent à tous le {wording.instant(quota.until)}."


routes = [
    Route("/", show_programme),
    Route("/seances/{session_id}", show_session),
    Route("/seances/{session_id}/inscription", book_session, methods=["POST"]),
]

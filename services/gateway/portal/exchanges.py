"""« Échanger, ou garder ? »: where a seat is refused because of others that the agent has, each of them may be given for it (B5, B10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid4

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.portal import wording
from services.gateway.portal.asking import patiently
from services.gateway.portal.bookings import booking_id_of, signed_in_visit
from services.gateway.portal.visit import Visit
from services.gateway.programme import queries
from services.gateway.programme.seats import ask_for_exchange
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared.contracts.agenda import SwapBooking
from shared.errors import InvalidRequest, Refused

TITLES = {
    "overlap": "Vous avez déjà une place à ces heures",
    "fair_use_limit": "Vous avez déjà le nombre de formations et de visites que chacun peut réserver à la fois",
}
"""Refusals that an exchange can answer."""
EXCHANGED = "C’est échangé : l’ancienne place est rendue, la nouvelle est confirmée. Courriels à suivre."
AWAITED = "C’est échangé : l’ancienne place est rendue, la nouvelle vous est gardée le temps que votre responsable réponde."


@dataclass(frozen=True, slots=True)
class Button:
    """What one seat is exchanged by."""

    action: str
    fields: Mapping[str, str]


async def exchange(request: Request) -> Response:
    """One seat for another, by the button of a page that refused."""
    visit, principal = await signed_in_visit(request)
    form = await form_of(request)
    session_id = id_in(form, "seance")
    if session_id is None:
        raise InvalidRequest("the form names no session")
    order = SwapBooking(booking_id=booking_id_of(request), session_id=session_id, remote=form.get("mode") == "distance")
    try:
        booking = await patiently(
            lambda each: ask_for_exchange(visit.desk, order, principal, each, form.get("responsable", "")), principal.caller(key_in(form))
        )
    except Refused as refusal:
        if refusal.code in TITLES:
            return await ask_whether_to_exchange(visit, refusal, session_id, remote=order.remote)
        if refusal.code in {"unavailable", "busy", "deadline_exceeded", "booking_unknown"}:
            raise
        await visit.say("error", refusal.title)
    else:
        await visit.say("success", AWAITED if wording.is_pending(booking) else EXCHANGED)
    return RedirectResponse(f"/seances/{session_id}", 303)


async def ask_whether_to_exchange(
    visit: Visit, refusal: Refused, session_id: UUID, *, accepting: bool = False, remote: bool = False
) -> Response:
    """The seats in the way, each with its button: on the page itself while an offer is accepted, an exchange of its own otherwise."""
    said: list[dict[str, str]] = refusal.members.get("clashes") or refusal.members.get("bookings") or []
    async with visit.desk.database.connect() as connection:
        sessions = await queries.read_sessions(connection, [session_id, *(UUID(each["session_id"]) for each in said)])
    response = visit.page(
        "exchange.html",
        status=refusal.status,
        title=TITLES[refusal.code],
        wanted=sessions.get(session_id),
        seats=[
            (sessions.get(UUID(each["session_id"])), _button(visit, each["booking_id"], session_id, accepting=accepting, remote=remote))
            for each in said
        ],
        one_is_enough=refusal.code == "fair_use_limit" or len(said) == 1,
        key=uuid4(),
    )
    response.headers.update(headers_of(refusal))
    response.headers["Cache-Control"] = "no-store"
    return response


def _button(visit: Visit, seat: str, session_id: UUID, *, accepting: bool, remote: bool) -> Button:
    if accepting:
        return Button(visit.request.url.path, {"a_la_place": seat})
    return Button(f"/mes-inscriptions/{seat}/echanger", {"seance": str(session_id)} | ({"mode": "distance"} if remote else {}))


def id_in(form: Mapping[str, str], name: str) -> UUID | None:
    if not (value := form.get(name)):
        return None
    try:
        return UUID(value)
    except ValueError as error:
        raise InvalidRequest(f"{name} is not an id") from error


def key_in(form: Mapping[str, str]) -> str:
    return (form.get("cle") or str(uuid4()))[:200]


routes = [Route("/mes-inscriptions/{booking_id}/echanger", exchange, methods=["POST"])]

"""Saying yes or no to a seat: by the buttons of « Mes inscriptions », or by the signed link of a mail, which needs no sign-in (K5).

Opening a link changes nothing, since mail scanners open them all; the form on its page does. What became of the booking is booking's to
say, so a link that has served says so and does nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.desk import desk_of
from services.gateway.portal import approvals, exchanges, hosts, wording
from services.gateway.portal.asking import patiently
from services.gateway.portal.bookings import booking_id_of, signed_in_visit
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared import clock
from shared.bus import Caller
from shared.contracts.booking import AcceptOffer, Booking, BookingState, CancelBooking, DeclineOffer, GetBooking
from shared.contracts.moves import ConfirmBooking
from shared.errors import Refused
from shared.links import Link, Purpose, read_link

Answer = AcceptOffer | DeclineOffer | CancelBooking | ConfirmBooking
PATHS: Mapping[str, type[Answer]] = {"accepter": AcceptOffer, "decliner": DeclineOffer, "confirmer": ConfirmBooking}
ORDERS: Mapping[Purpose, type[Answer]] = {
    Purpose.ACCEPT_OFFER: AcceptOffer,
    Purpose.DECLINE_OFFER: DeclineOffer,
    Purpose.GIVE_BACK: CancelBooking,
    Purpose.CONFIRM_BOOKING: ConfirmBooking,
    Purpose.GIVE_UP_SEAT: CancelBooking,
    Purpose.LEAVE_QUEUE: CancelBooking,
}
ONLY_WHILE_ASKED = frozenset({Purpose.GIVE_UP_SEAT, Purpose.LEAVE_QUEUE})
"""Links to cancel by: booking would let them serve again later, when the reader means something else."""

AWAY = frozenset({"unavailable", "busy", "deadline_exceeded", "booking_unknown"})


class LinkInvalid(Refused):
    code, status = "link_invalid", 404
    title = "Ce lien n'est pas valable : vérifiez qu'il est entier, ou connectez-vous pour répondre dans « Mes inscriptions »."


class LinkExpired(Refused):
    code, status = "link_expired", 410
    title = "Ce lien a expiré."


# --- signed in -----------------------------------------------------------------------------------------------------------------------


async def answer_offer(request: Request) -> Response:
    """The two buttons of « Mes inscriptions »; what became of it is said there."""
    visit, principal = await signed_in_visit(request)
    form = await form_of(request)
    order = _order(PATHS[request.url.path.rpartition("/")[2]], booking_id_of(request), form)
    try:
        booking = await patiently(lambda each: visit.desk.bus.ask(order, each), principal.caller())
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        if refusal.code in exchanges.TITLES:
            booking = await visit.desk.bus.ask(GetBooking(booking_id=order.booking_id), principal.caller())
            return await exchanges.ask_whether_to_exchange(visit, refusal, booking.session_id, accepting=True)
        await visit.say("error", _refused_in_words(refusal))
    else:
        await visit.say("success", wording.reconfirmed(booking) if isinstance(order, ConfirmBooking) else wording.answered(booking))
    return RedirectResponse("/mes-inscriptions", 303)


# --- by a link -----------------------------------------------------------------------------------------------------------------------


async def ask_to_answer(request: Request) -> Response:
    visit, link = await visit_of(request), signed_link(request, *ORDERS, *hosts.PURPOSES, *approvals.ORDERS)
    if link.purpose in hosts.PURPOSES:
        return await hosts.ask_to_answer(visit, link)
    if link.purpose in approvals.ORDERS:
        return await approvals.ask_to_decide(visit, link)
    return await _page(visit, link, await _booking(visit, link))


async def answer_by_link(request: Request) -> Response:
    visit, link = await visit_of(request), signed_link(request, *ORDERS, *hosts.PURPOSES, *approvals.ORDERS)
    if link.purpose in hosts.PURPOSES:
        return await hosts.answer(visit, link)
    if link.purpose in approvals.ORDERS:
        return await approvals.decide(request, visit, link)
    if link.purpose is Purpose.GIVE_BACK and link.expires_at <= clock.now():
        raise LinkExpired(f"it was for booking {link.booking_id}")
    order = _order(ORDERS[link.purpose], link.booking_id, await form_of(request))
    if link.purpose in ONLY_WHILE_ASKED:
        booking = await _booking(visit, link)
        if not _awaits(link, booking):
            return await _page(visit, link, booking, status=409)
        order = CancelBooking(booking_id=booking.booking_id, expected_version=booking.version)
    try:
        booking = await patiently(lambda each: visit.desk.bus.ask(order, each), speaker(link))
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        if refusal.code in exchanges.TITLES:
            return await exchanges.ask_whether_to_exchange(visit, refusal, (await _booking(visit, link)).session_id, accepting=True)
        response = await _page(visit, link, await _booking(visit, link), refusal=refusal, status=refusal.status)
        response.headers.update(headers_of(refusal))
        return response
    done = wording.reconfirmed(booking) if link.purpose is Purpose.CONFIRM_BOOKING else wording.answered(booking)
    return await _page(visit, link, booking, done=done)


def _order(kind: type[Answer], booking_id: UUID, form: Mapping[str, str]) -> Answer:
    """Saying yes may name a seat to give back for it (B5)."""
    if kind is AcceptOffer:
        return AcceptOffer(booking_id=booking_id, instead_of=exchanges.id_in(form, "a_la_place"))
    return kind(booking_id=booking_id)


def signed_link(request: Request, *purposes: Purpose) -> Link:
    """What the address says, if we signed it for one of these purposes."""
    token = str(request.path_params["token"])
    link = read_link(token, desk_of(request).settings.link_secret)
    if link is None or link.purpose not in purposes:
        raise LinkInvalid("not signed by us, or for another page")
    return link


def speaker(link: Link) -> Caller:
    """The agent whom the mail was written to: that the link came to them is what the signature stands for."""
    return Caller(str(link.agent_id), frozenset({"agent"}))


async def _booking(visit: Visit, link: Link) -> Booking:
    return await visit.desk.bus.ask(GetBooking(booking_id=link.booking_id), speaker(link))


async def _page(
    visit: Visit, link: Link, booking: Booking, *, done: str | None = None, refusal: Refused | None = None, status: int = 200
) -> Response:
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [booking.session_id])).get(booking.session_id)
    late = link.expires_at <= clock.now()
    values: dict[str, Any] = {
        "booking": booking,
        "listed": listed,
        "purpose": link.purpose.name,
        "open": done is None and refusal is None and not late and _awaits(link, booking),
        "late": late,
        "done": done,
        "flashes": [refused(refusal)] if refusal else [],
        "rank_again": refusal.members.get("rank") if refusal else None,
    }
    if late and done is None and refusal is None:
        status = LinkExpired.status
    response = visit.page("answer.html", status=status, **values)
    response.headers["Cache-Control"] = "no-store"
    return response


def _awaits(link: Link, booking: Booking) -> bool:
    """Whether there is still something to say yes or no to."""
    if link.purpose is Purpose.GIVE_BACK:
        return booking.state is BookingState.CONFIRMED
    if link.purpose is Purpose.LEAVE_QUEUE:
        return booking.state is BookingState.WAITING and not wording.is_offered(booking)
    if link.purpose in (Purpose.CONFIRM_BOOKING, Purpose.GIVE_UP_SEAT):
        return wording.awaits_word(booking)
    return wording.is_offered(booking)


def _refused_in_words(refusal: Refused) -> str:
    rank = refusal.members.get("rank")
    if refusal.code != "offer_expired" or rank is None:
        return refusal.title
    return f"{refusal.title} {wording.rank_again(rank)}"


routes = [
    *(Route(f"/mes-inscriptions/{{booking_id}}/{answer}", answer_offer, methods=["POST"]) for answer in PATHS),
    Route("/reponse/{token}", ask_to_answer),
    Route("/reponse/{token}", answer_by_link, methods=["POST"]),
]

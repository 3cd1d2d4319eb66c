"""The page where a line manager says yes or no, by the signed link of their mail and without an account (B7, K5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.directory import store as directory
from services.gateway.portal import wording
from services.gateway.portal.asking import patiently
from services.gateway.portal.visit import Visit, refused
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared.bus import Caller
from shared.contracts.approval import ApproveBooking, RefuseBooking
from shared.contracts.booking import Booking, GetBooking
from shared.errors import Refused
from shared.links import Link, Purpose

ORDERS: Mapping[Purpose, type[ApproveBooking | RefuseBooking]] = {
    Purpose.APPROVE_BOOKING: ApproveBooking,
    Purpose.REFUSE_BOOKING: RefuseBooking,
}
AWAY = frozenset({"unavailable", "busy", "deadline_exceeded", "booking_unknown"})


async def ask_to_decide(visit: Visit, link: Link) -> Response:
    return await _page(visit, link, await _booking(visit, link))


async def decide(request: Request, visit: Visit, link: Link) -> Response:
    """What the manager read is what they decide about: when it has changed since, they read it again."""
    version = (await form_of(request)).get("version", "")
    expected = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else None
    order = ORDERS[link.purpose](booking_id=link.booking_id, expected_version=expected)
    try:
        booking = await patiently(lambda each: visit.desk.bus.ask(order, each), _speaker(link))
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        response = await _page(visit, link, await _booking(visit, link), refusal)
        response.headers.update(headers_of(refusal))
        return response
    return await _page(visit, link, booking, done=True)


def _speaker(link: Link) -> Caller:
    """The contact whom the mail was written to."""
    return Caller(str(link.agent_id), frozenset({"line_manager"}))


async def _booking(visit: Visit, link: Link) -> Booking:
    return await visit.desk.bus.ask(GetBooking(booking_id=link.booking_id), _speaker(link))


async def _page(visit: Visit, link: Link, booking: Booking, refusal: Refused | None = None, *, done: bool = False) -> Response:
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [booking.session_id])).get(booking.session_id)
        applicant = await directory.read(connection, UUID(str(booking.agent_id)))
    values: dict[str, Any] = {
        "booking": booking,
        "listed": listed,
        "applicant": f"{applicant.given_name} {applicant.usual_name}".strip() if applicant else "Un agent",
        "approving": link.purpose is Purpose.APPROVE_BOOKING,
        "open": not done and wording.awaits_approval(booking) and (refusal is None or refusal.code in {"version_conflict", "no_seat_left"}),
        "done": done,
        "flashes": [refused(refusal)] if refusal else [],
    }
    response = visit.page("approval.html", status=refusal.status if refusal else 200, **values)
    response.headers["Cache-Control"] = "no-store"
    return response

"""A group's page, by the signed links of its contact's mails: where it stands, who comes (`names`), and the answer to a part of its seats
(W6, K5).

Opening it changes nothing, as with the links of `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.portal import names, wording
from services.gateway.portal.answers import signed_link, speaker
from services.gateway.portal.asking import patiently
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.web.problems import headers_of
from shared import clock
from shared.contracts.groups import AcceptGroupOffer, DeclineGroupOffer, GetGroup, GroupBooking
from shared.errors import Refused
from shared.links import Link, Purpose

ORDERS: Mapping[Purpose, type[AcceptGroupOffer | DeclineGroupOffer]] = {
    Purpose.TAKE_PART: AcceptGroupOffer,
    Purpose.LEAVE_PART: DeclineGroupOffer,
}
AWAY = frozenset({"unavailable", "busy", "deadline_exceeded", "group_unknown"})


async def show_group(request: Request) -> Response:
    visit, link = await visit_of(request), signed_link(request, *ORDERS, Purpose.SEE_GROUP)
    if link.purpose is Purpose.SEE_GROUP:
        return await names.show(visit, link)
    return await _page(visit, link, await _group(visit, link))


async def answer_for_group(request: Request) -> Response:
    visit, link = await visit_of(request), signed_link(request, *ORDERS, Purpose.SEE_GROUP)
    if link.purpose is Purpose.SEE_GROUP:
        return await names.say_who_comes(request, visit, link)
    order = ORDERS[link.purpose]
    try:
        group = await patiently(lambda each: visit.desk.bus.ask(order(group_id=link.booking_id), each), speaker(link))
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        response = await _page(visit, link, await _group(visit, link), refusal=refusal)
        response.headers.update(headers_of(refusal))
        return response
    return await _page(visit, link, group, done=wording.answered_for_group(group, taken=link.purpose is Purpose.TAKE_PART))


async def _group(visit: Visit, link: Link) -> GroupBooking:
    return await visit.desk.bus.ask(GetGroup(group_id=link.booking_id), speaker(link))


async def _page(visit: Visit, link: Link, group: GroupBooking, *, done: str | None = None, refusal: Refused | None = None) -> Response:
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [group.session_id])).get(group.session_id)
    awaits = group.offer is not None and clock.now() < group.offer.deadline
    response = visit.page(
        "group.html",
        status=refusal.status if refusal else 200,
        group=group,
        listed=listed,
        purpose=link.purpose.name,
        open=awaits and done is None and refusal is None,
        done=done,
        flashes=[refused(refusal)] if refusal else [],
    )
    response.headers["Cache-Control"] = "no-store"
    return response


routes = [Route("/groupe/{token}", show_group), Route("/groupe/{token}", answer_for_group, methods=["POST"])]

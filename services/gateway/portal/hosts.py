"""The page where a host says yes or no to a proposed date, by the signed link of their mail and without an account (G5, K5)."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from services.gateway.portal.asking import patiently
from services.gateway.portal.visit import Visit, refused
from services.gateway.web.problems import headers_of
from shared import clock
from shared.bus import Caller
from shared.contracts.tailored import AnswerAsHost, GetProposalForHost, HostView
from shared.errors import Refused
from shared.links import Link, Purpose

PURPOSES = frozenset({Purpose.ACCEPT_AS_HOST, Purpose.REFUSE_AS_HOST})
AWAY = frozenset({"unavailable", "busy", "deadline_exceeded", "proposal_unknown"})


async def ask_to_answer(visit: Visit, link: Link) -> Response:
    return await _page(visit, link)


async def answer(visit: Visit, link: Link) -> Response:
    order = AnswerAsHost(proposal_id=link.booking_id, accepts=_accepts(link))
    try:
        await patiently(lambda each: visit.desk.bus.ask(order, each), _speaker(link))
    except Refused as refusal:
        if refusal.code in AWAY:
            raise
        response = await _page(visit, link, refusal=refusal)
        response.headers.update(headers_of(refusal))
        return response
    return await _page(visit, link, done=True)


def _accepts(link: Link) -> bool:
    return link.purpose is Purpose.ACCEPT_AS_HOST


def _speaker(link: Link) -> Caller:
    """The contact whom the mail was written to: that the link came to them is what the signature stands for."""
    return Caller(str(link.agent_id), frozenset({"host"}))


async def _page(visit: Visit, link: Link, *, refusal: Refused | None = None, done: bool = False) -> Response:
    view = await visit.desk.bus.ask(GetProposalForHost(proposal_id=link.booking_id), _speaker(link))
    is_open = not done and refusal is None and _awaits(link, view)
    late = not done and not is_open and link.expires_at <= clock.now()
    values: dict[str, Any] = {
        "view": view,
        "accepting": _accepts(link),
        "open": is_open,
        "done": done,
        "late": late,
        "flashes": [refused(refusal)] if refusal else [],
    }
    response = visit.page("host.html", status=refusal.status if refusal else 410 if late else 200, **values)
    response.headers["Cache-Control"] = "no-store"
    return response


def _awaits(link: Link, view: HostView) -> bool:
    """Whether there is still something to say yes, or no, to."""
    return view.answerable_until is not None if _accepts(link) else view.withdrawable

"""The three questions after a session, by the signed link of a mail and without a sign-in (P5, K5).

Opening the link changes nothing; the form does, once. Neither the page nor the log keeps what was answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.gateway.portal.answers import signed_link, speaker
from services.gateway.portal.visit import Visit, refused, visit_of
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from services.gateway.web.problems import headers_of
from shared import clock
from shared.contracts.feedback import GetInvitation, GiveFeedback, Invitation
from shared.errors import InvalidRequest, Refused
from shared.links import Link, Purpose

QUESTIONS = ("useful", "applied")
FINAL = frozenset({"feedback_given", "feedback_closed"})


async def show_survey(request: Request) -> Response:
    visit, link = await visit_of(request), signed_link(request, Purpose.GIVE_FEEDBACK)
    return await _page(visit, await _invitation(visit, link))


async def answer_survey(request: Request) -> Response:
    """What is missing is asked for again, with what was said already."""
    visit, link = await visit_of(request), signed_link(request, Purpose.GIVE_FEEDBACK)
    said = await form_of(request)
    missing = [question for question in QUESTIONS if said.get(question) not in {"1", "2", "3", "4"}]
    if missing:
        return await _page(visit, await _invitation(visit, link), said=said, missing=missing)
    try:
        grades = {question: int(said[question]) for question in QUESTIONS}
        order = GiveFeedback(invitation_id=link.booking_id, useful=grades["useful"], applied=grades["applied"], words=said.get("words", ""))
    except ValidationError as error:
        raise InvalidRequest("not an answer of this form") from error
    try:
        invitation = await visit.desk.bus.ask(order, speaker(link))
    except Refused as refusal:
        if refusal.code not in FINAL:
            raise
        response = await _page(visit, await _invitation(visit, link), refusal=refusal)
        response.headers.update(headers_of(refusal))
        return response
    return await _page(visit, invitation, done=True)


async def _invitation(visit: Visit, link: Link) -> Invitation:
    return await visit.desk.bus.ask(GetInvitation(invitation_id=link.booking_id), speaker(link))


async def _page(
    visit: Visit,
    invitation: Invitation,
    *,
    said: Mapping[str, str] | None = None,
    missing: list[str] | None = None,
    done: bool = False,
    refusal: Refused | None = None,
) -> Response:
    async with visit.desk.database.connect() as connection:
        listed = (await queries.read_sessions(connection, [invitation.session_id])).get(invitation.session_id)
    late = clock.now() >= invitation.open_until
    values: dict[str, Any] = {
        "listed": listed,
        "survey": invitation.survey.value,
        "open_until": invitation.open_until,
        "state": "done" if done else "given" if invitation.answered else "late" if late else "open",
        "said": said or {},
        "missing": missing or [],
        "flashes": [refused(refusal)] if refusal else [],
    }
    response = visit.page("survey.html", status=422 if missing else refusal.status if refusal else 200, **values)
    response.headers["Cache-Control"] = "no-store"
    return response


routes = [Route("/avis/{token}", show_survey), Route("/avis/{token}", answer_survey, methods=["POST"])]

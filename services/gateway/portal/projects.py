"""« Mon projet »: applying for coaching, following it, writing in its logbook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.login.principal import Principal
from services.gateway.portal.asking import patiently
from services.gateway.portal.bookings import signed_in_visit
from services.gateway.portal.visit import Visit, refused
from services.gateway.web.forms import form_of
from services.gateway.web.problems import PageUnknown, headers_of
from shared.contracts.messages import Message
from shared.contracts.messages import Request as Order
from shared.contracts.projects import AddLogbookEntry, EntryKind, GetPortfolio, SubmitApplication
from shared.errors import InvalidRequest, Refused

TOO_SHORT = "Écrivez au moins quelques mots dans chaque champ, sans dépasser la longueur indiquée."


async def show_projects(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    return await visit.show("project.html", **await _values(visit, principal))


async def apply(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    form = await form_of(request)
    try:
        order = SubmitApplication(
            application_id=id_of(form.get("candidature")),
            project_lead_id=principal.agent_id,
            title=form.get("titre", ""),
            problem=form.get("probleme", ""),
        )
    except ValidationError:
        return await _again(visit, principal, _incomplete(), form)
    return await _carry_out(visit, principal, order, form, "Votre candidature est enregistrée. Le comité vous répondra avec ses raisons.")


async def write_entry(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    form = await form_of(request)
    engagement_id = id_of(request.path_params["engagement_id"])
    kind = next((each for each in EntryKind if each == form.get("nature")), EntryKind.DECISION)
    try:
        order = AddLogbookEntry(engagement_id=engagement_id, entry_id=id_of(form.get("entree")), kind=kind, text=form.get("texte", ""))
    except ValidationError:
        return await _again(visit, principal, _incomplete(), form | {"engagement": str(engagement_id)})
    return await _carry_out(visit, principal, order, form | {"engagement": str(engagement_id)}, "Votre note est dans le journal de bord.")


async def _carry_out(visit: Visit, principal: Principal, order: Order[Any], form: Mapping[str, str], done: str) -> Response:
    """The ids in the form make a second click harmless; the key is theirs."""
    caller = principal.caller(f"{order.operation()}:{form.get('candidature') or form.get('entree')}"[:200])

    async def ask(each: Any) -> Message:
        return await visit.desk.bus.ask(order, each)

    try:
        await patiently(ask, caller)
    except Refused as refusal:
        return await _again(visit, principal, refusal, form)
    await visit.say("success", done)
    return RedirectResponse("/mon-projet", 303)


async def _again(visit: Visit, principal: Principal, refusal: Refused, form: Mapping[str, str]) -> Response:
    """The page again with the refusal and what had been typed: nobody writes a paragraph twice."""
    values = await _values(visit, principal, form)
    response = visit.page("project.html", status=refusal.status, flashes=[refused(refusal)], **values)
    response.headers.update(headers_of(refusal))
    return response


def _incomplete() -> Refused:
    refusal = InvalidRequest("a field is too short or too long")
    refusal.title = TOO_SHORT
    return refusal


async def _values(visit: Visit, principal: Principal, form: Mapping[str, str] | None = None) -> dict[str, Any]:
    portfolio = await visit.desk.bus.ask(GetPortfolio(agent_id=principal.agent_id), principal.caller(), timeout=3)
    return {
        "applications": portfolio.applications,
        "engagements": portfolio.engagements,
        "me": principal.agent_id,
        "form": {"titre": "", "probleme": "", "texte": "", "nature": "decision", "engagement": ""} | dict(form or {}),
        "fresh": uuid4,
    }


def id_of(value: str | None) -> UUID:
    try:
        return UUID(value or "")
    except ValueError as error:
        raise PageUnknown("not an id") from error


routes = [
    Route("/mon-projet", show_projects),
    Route("/mon-projet/candidature", apply, methods=["POST"]),
    Route("/mon-projet/{engagement_id}/journal", write_entry, methods=["POST"]),
]

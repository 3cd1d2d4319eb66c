"""« Mes préférences »: what one is written to about; and the end of it in one click, by the signed link of a mail (RFC 8058).

Opening the link changes nothing, since mail scanners open them all; its form does, and so does the mail program's own button, which posts
without a cookie.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.desk import desk_of
from services.gateway.portal import wording
from services.gateway.portal.answers import LinkInvalid
from services.gateway.portal.asking import patiently
from services.gateway.portal.bookings import signed_in_visit
from services.gateway.portal.visit import Visit, visit_of
from services.gateway.programme import queries
from services.gateway.web.forms import form_of
from shared.bus import Caller
from shared.contracts.preferences import GetPreferences, SetPreferences, Topic
from shared.errors import InvalidRequest
from shared.links import OptOut, read_opt_out

NONE_OF: Mapping[Topic, Mapping[str, str]] = {topic: {topic.value: "none"} for topic in Topic}


async def show_preferences(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    chosen = await visit.desk.bus.ask(GetPreferences(agent_id=principal.agent_id), principal.caller())
    async with visit.desk.database.connect() as connection:
        themes = await queries.themes(connection)
    shown = {"chosen": chosen, "themes": sorted({*themes, *chosen.themes}), "departments": wording.DEPARTMENTS}
    return await visit.show("preferences.html", **shown)


async def set_preferences(request: Request) -> Response:
    visit, principal = await signed_in_visit(request)
    try:
        order = _order_of(await form_of(request), principal.agent_id)
    except ValidationError as error:
        raise InvalidRequest("not a choice of this form") from error
    await patiently(lambda each: visit.desk.bus.ask(order, each), principal.caller())
    await visit.say("success", "Vos préférences sont enregistrées.")
    return RedirectResponse("/mes-preferences", 303)


def _order_of(form: Mapping[str, str], agent_id: Any) -> SetPreferences:
    """Of the boxes only those that are ticked are sent: one name each, since a form has one value per field."""
    chosen = {topic.value: form[topic.value] for topic in Topic if topic.value in form}
    ticked = {name: tuple(key[len(name) + 1 :] for key in form if key.startswith(f"{name}:")) for name in ("themes", "departments")}
    return SetPreferences.model_validate({"agent_id": agent_id, **chosen, **ticked})


async def ask_to_opt_out(request: Request) -> Response:
    return _page(await visit_of(request), _opt_out_of(request), done=False)


async def opt_out(request: Request) -> Response:
    """The body is not read: that it was posted is what the standard asks for, and the address says the rest."""
    visit, asked = await visit_of(request), _opt_out_of(request)
    order = SetPreferences.model_validate({"agent_id": asked.agent_id, **NONE_OF[asked.topic]})
    speaker = Caller(str(asked.agent_id), frozenset({"agent"}))  # that the link came to them is what the signature stands for
    await patiently(lambda each: visit.desk.bus.ask(order, each), speaker)
    return _page(visit, asked, done=True)


def _opt_out_of(request: Request) -> OptOut:
    asked = read_opt_out(str(request.path_params["token"]), desk_of(request).settings.link_secret)
    if asked is None:
        raise LinkInvalid("not signed by us")
    return asked


def _page(visit: Visit, asked: OptOut, *, done: bool) -> Response:
    response = visit.page("opt_out.html", topic=asked.topic.value, done=done)
    response.headers["Cache-Control"] = "no-store"
    return response


routes = [
    Route("/mes-preferences", show_preferences),
    Route("/mes-preferences", set_preferences, methods=["POST"]),
    Route("/desabonnement/{token}", ask_to_opt_out),
    Route("/desabonnement/{token}", opt_out, methods=["POST"]),
]

"""Signing in and out: three addresses, all of whose state is on our side."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from services.gateway.desk import Desk, desk_of
from services.gateway.directory.handlers import welcome
from services.gateway.login import store
from services.gateway.login.domain import SignInExpired, SignInRefused, identity_of, safe_next
from services.gateway.login.provider import Attempt
from services.gateway.login.store import Flash
from shared import telemetry

log = telemetry.log


async def sign_in(request: Request) -> Response:
    """Send the browser to the provider, from the address that it will come back to."""
    desk = desk_of(request)
    next_page = safe_next(request.query_params.get("suite"))
    if urlsplit(desk.settings.public_url).netloc != request.headers.get("host"):
        return RedirectResponse(desk.settings.page(f"/connexion?suite={quote(next_page)}"), 303)
    await desk.door.principal(request)
    attempt, secret = Attempt.new(), store.new_secret()
    url = await desk.provider.authorization_url(attempt)
    async with desk.database.begin() as tx:
        await store.add_attempt(tx, secret, attempt, next_page)
    response = RedirectResponse(url, 303)
    _set_cookie(desk, response, desk.door.attempt_cookie, secret, store.ATTEMPT_LIFE)
    return response


async def signed_in(request: Request) -> Response:
    """The provider sent the browser back: check that this browser asked, learn who it is, open a new session."""
    desk = desk_of(request)
    await desk.door.principal(request)
    secret = request.cookies.get(desk.door.attempt_cookie, "")
    async with desk.database.begin() as tx:
        taken = await store.take_attempt(tx, secret)
    given = request.query_params
    if taken is None or given.get("state") != taken[0].state:
        raise SignInExpired("no attempt of this browser has this state")
    attempt, next_page = taken
    if given.get("iss", desk.settings.oidc_issuer).rstrip("/") != desk.settings.oidc_issuer.rstrip("/"):
        raise SignInRefused("the answer comes from another issuer")
    if "code" not in given:
        raise SignInRefused("the provider gave no code")
    claims, id_token = await desk.provider.claims(given["code"], attempt)
    async with desk.database.begin() as tx:
        agent = await welcome(tx, identity_of(claims))
        if old := request.cookies.get(desk.door.cookie):
            await store.close_session(tx, old)
        life = timedelta(hours=desk.settings.session_hours)
        session = await store.open_session(tx, agent.agent_id, id_token, life)
    log.info("signed_in", agent_id=str(agent.agent_id))
    await store.add_flash(
        desk.database, session, Flash("success", f"Bonjour {agent.given_name or agent.usual_name}, bienvenue sur le portail du Lab-O.")
    )
    response = RedirectResponse(next_page, 303)
    _set_cookie(desk, response, desk.door.cookie, session, life)
    response.delete_cookie(desk.door.attempt_cookie, secure=desk.settings.secure, httponly=True, samesite="lax")
    return response


async def sign_out(request: Request) -> Response:
    """End our session, then the provider's, which only the browser itself can do (S1)."""
    desk = desk_of(request)
    async with desk.database.begin() as tx:
        id_token = await store.close_session(tx, request.cookies.get(desk.door.cookie, ""))
    url = await desk.provider.end_session_url(id_token) if id_token else None
    response = RedirectResponse(url or "/", 303)
    response.delete_cookie(desk.door.cookie, secure=desk.settings.secure, httponly=True, samesite="lax")
    return response


def _set_cookie(desk: Desk, response: Response, name: str, value: str, life: timedelta) -> None:
    response.set_cookie(
        name, value, max_age=int(life.total_seconds()), path="/", secure=desk.settings.secure, httponly=True, samesite="lax"
    )
    response.headers["Cache-Control"] = "no-store"


routes = [
    Route("/connexion", sign_in),
    Route("/connexion/retour", signed_in),
    Route("/deconnexion", sign_out, methods=["POST"]),
]

"""Who is asking: an agent's browser session or bearer token, looked up once per request, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from starlette.requests import HTTPConnection

from services.gateway.directory.domain import Agent
from services.gateway.login import store
from services.gateway.login.domain import NotSignedIn, TokenInvalid
from services.gateway.login.tokens import Tokens
from services.gateway.settings import GatewaySettings
from services.gateway.web.rate import Rate
from shared.bus import Caller
from shared.database import Database


@dataclass(frozen=True, slots=True)
class Principal:
    agent: Agent
    session: str | None = None
    """Secret of the browser's session; None with a bearer token."""
    has_flashes: bool = False

    @property
    def agent_id(self) -> UUID:
        return self.agent.agent_id

    def caller(self, key: str | None = None, correlationid: str | None = None) -> Caller:
        """As whom the gateway asks the owning service, which checks the permission itself."""
        roles: frozenset[str] = frozenset(self.agent.roles)
        if self.agent.innovation_referent:
            roles |= {"innovation_referent"}
        return Caller(str(self.agent.agent_id), roles, idempotency_key=key, correlationid=correlationid)


class Doorkeeper:
    """Finds the principal of a request and limits how often each may ask."""

    def __init__(self, settings: GatewaySettings, database: Database) -> None:
        self._database = database
        self._tokens = Tokens(database)
        self._agents = Rate(settings.requests_per_minute)
        self._addresses = Rate(settings.unknown_requests_per_minute)
        self.cookie = "__Host-labo-session" if settings.secure else "labo-session"
        self.attempt_cookie = "__Host-labo-connexion" if settings.secure else "labo-connexion"

    async def principal(self, request: HTTPConnection) -> Principal | None:
        """The agent behind this request, None when nobody is signed in. A token that does not hold is refused, never ignored."""
        authorization = request.headers.get("authorization")
        if authorization is not None:
            principal = await self._by_token(authorization, request)
        elif secret := request.cookies.get(self.cookie):
            principal = await self._by_session(secret)
        else:
            principal = None
        if principal is None:
            self._addresses.count(address_of(request))
        else:
            self._agents.count(principal.agent_id)
        return principal

    async def signed_in(self, request: HTTPConnection) -> Principal:
        principal = await self.principal(request)
        if principal is None:
            raise NotSignedIn("neither a session nor a token")
        return principal

    async def _by_token(self, authorization: str, request: HTTPConnection) -> Principal:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenInvalid("not a bearer token")
        key = store.hash_of(token.strip())
        agent = self._tokens.known(key)
        if agent is None:
            self._addresses.count(address_of(request))
            agent = await self._tokens.find(key)
        if agent is None:
            raise TokenInvalid("unknown, expired or revoked")
        return Principal(agent)

    async def _by_session(self, secret: str) -> Principal | None:
        found = await store.session_agent(self._database, secret)
        if found is None:
            return None
        agent, has_flashes = found
        return Principal(agent, session=secret, has_flashes=has_flashes)


def address_of(request: HTTPConnection) -> str:
    """Address of the client, or of the proxy's client where uvicorn trusts the proxy."""
    return request.client.host if request.client else ""

"""The identity provider: OpenID Connect, authorisation code with PKCE, state and nonce; the only outside host this service speaks to."""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx2
from authlib.integrations.httpx_client import AsyncOAuth2Client, OAuthError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ValidationError

from services.gateway.login.domain import ProviderAway, SignInRefused
from services.gateway.settings import GatewaySettings
from shared import telemetry

log = telemetry.log

TIMEOUT = httpx2.Timeout(5, connect=2)
METADATA_SECONDS = 600.0
LEEWAY_SECONDS = 60


class Metadata(BaseModel):
    """What we use of the discovery document."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sign-in under way; the browser holds none of it."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        return cls(state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48))


class Provider:
    """The provider that the settings name. Its documents are read when first needed and kept for ten minutes."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._metadata: Metadata | None = None
        self._keys: KeySet | None = None
        self._read_at = 0.0
        self._lock = asyncio.Lock()
        self._certificates = ssl.create_default_context()  # once: reading them takes 50 ms

    @property
    def _redirect_uri(self) -> str:
        return self._settings.page("/connexion/retour")

    async def authorization_url(self, attempt: Attempt) -> str:
        """Where the browser goes to sign in."""
        metadata = await self.metadata()
        extra = {"acr_values": self._settings.oidc_acr_values} if self._settings.oidc_acr_values else {}
        client = self._client(metadata)
        url, _ = client.create_authorization_url(
            metadata.authorization_endpoint, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier, **extra
        )
        return url

    async def claims(self, code: str, attempt: Attempt) -> tuple[dict[str, Any], str]:
        """Who signed in, and the id_token that will end the provider's session at sign-out."""
        metadata = await self.metadata()
        async with self._client(metadata) as client:
            try:
                token: dict[str, Any] = await client.fetch_token(metadata.token_endpoint, code=code, code_verifier=attempt.verifier)
                id_token = str(token["id_token"])
                verified = await self._verify(id_token, nonce={"essential": True, "value": attempt.nonce})
                self._check_level(verified)
                answer = await client.get(metadata.userinfo_endpoint)
                answer.raise_for_status()
            except httpx2.HTTPError as error:
                raise ProviderAway(f"{type(error).__name__} at the provider") from error
            except OAuthError as error:
                raise SignInRefused(f"the provider answered {error.error}") from error
            except KeyError as error:
                raise SignInRefused("the provider gave no id_token") from error
        person = await self._userinfo(answer)
        if person.get("sub") != verified["sub"]:
            raise SignInRefused("userinfo and id_token name different people")
        return verified | person, id_token

    async def end_session_url(self, id_token: str) -> str | None:
        """Where the browser goes to end the provider's own session; None when it has no such page or is away."""
        try:
            endpoint = (await self.metadata()).end_session_endpoint
        except ProviderAway:
            return None
        if endpoint is None:
            return None
        query = {"id_token_hint": id_token, "state": secrets.token_urlsafe(32), "post_logout_redirect_uri": self._settings.page("/")}
        return f"{endpoint}?{urlencode(query)}"

    # --- documents of the provider ------------------------------------------------------------------------------------------------

    async def metadata(self) -> Metadata:
        async with self._lock:
            if self._metadata is None or time.monotonic() - self._read_at > METADATA_SECONDS:
                found = await self._get_json(self._settings.oidc_issuer.rstrip("/") + "/.well-known/openid-configuration")
                try:
                    metadata = Metadata.model_validate(found)
                except ValidationError as error:
                    raise ProviderAway("its discovery document lacks what we need") from error
                if metadata.issuer.rstrip("/") != self._settings.oidc_issuer.rstrip("/"):
                    raise ProviderAway("its discovery document names another issuer")
                self._metadata, self._keys, self._read_at = metadata, None, time.monotonic()
            return self._metadata

    async def _key_set(self, *, fresh: bool = False) -> KeySet:
        if self._keys is None or fresh:
            metadata = await self.metadata()
            try:
                self._keys = KeySet.import_key_set(await self._get_json(metadata.jwks_uri))
            except (JoseError, ValueError, KeyError) as error:
                raise ProviderAway("its keys cannot be read") from error
        return self._keys

    async def _get_json(self, url: str) -> Any:
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT, verify=self._certificates) as client:
                answer = await client.get(url)
                answer.raise_for_status()
                return answer.json()
        except (httpx2.HTTPError, ValueError) as error:
            log.warning("identity_provider_away", error=type(error).__name__)
            raise ProviderAway(f"{type(error).__name__} reading its documents") from error

    def _client(self, metadata: Metadata) -> Any:
        methods = metadata.token_endpoint_auth_methods_supported
        return AsyncOAuth2Client(
            client_id=self._settings.oidc_client_id,
            client_secret=self._settings.oidc_client_secret.get_secret_value(),
            scope=self._settings.oidc_scopes,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_post" if "client_secret_post" in methods else "client_secret_basic",
            timeout=TIMEOUT,
            verify=self._certificates,
        )

    # --- signed answers --------------------------------------------------------------------------------------------------------------

    async def _userinfo(self, answer: httpx2.Response) -> dict[str, Any]:
        """A JSON object, or the same as a signed token, as ProConnect sends it (S1)."""
        body = answer.text.strip()
        if answer.headers.get("content-type", "").startswith("application/jwt") or (body.count(".") == 2 and not body.startswith("{")):
            return await self._verify(body, exp=None)
        try:
            found = json.loads(body)
        except ValueError as error:
            raise SignInRefused("userinfo is neither JSON nor a signed token") from error
        if not isinstance(found, dict):
            raise SignInRefused("userinfo is not an object")
        return found  # pyright: ignore[reportUnknownVariableType] - claims are checked one by one where they are read

    async def _verify(self, value: str, **expected: Any) -> dict[str, Any]:
        """The claims of a token that the provider signed for us; its keys are read again once, since they rotate."""
        algorithms = list(self._settings.oidc_algorithms)
        required: dict[str, Any] = {
            "iss": {"essential": True, "value": (await self.metadata()).issuer},
            "aud": {"essential": True, "value": self._settings.oidc_client_id},
            "exp": {"essential": True},
            "sub": {"essential": True},
        }
        options = {name: option for name, option in (required | expected).items() if option is not None}
        try:
            try:
                token = jwt.decode(value, await self._key_set(), algorithms=algorithms)
            except (JoseError, ValueError):
                token = jwt.decode(value, await self._key_set(fresh=True), algorithms=algorithms)
            jwt.JWTClaimsRegistry(leeway=LEEWAY_SECONDS, **options).validate(token.claims)
        except (JoseError, ValueError) as error:
            raise SignInRefused(f"a token of the provider does not hold: {type(error).__name__}") from error
        return token.claims

    def _check_level(self, claims: dict[str, Any]) -> None:
        """Fail closed when the level of assurance we asked for is not the one we got (S1)."""
        asked = self._settings.oidc_acr_values.split()
        if asked and claims.get("acr") not in asked:
            raise SignInRefused("the provider did not reach the level of assurance asked for")

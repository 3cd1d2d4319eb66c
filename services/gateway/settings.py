"""What the gateway is told beside what every service is told."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import SettingsConfigDict

from shared.settings import Settings


class GatewaySettings(Settings):
    """Settings of the gateway, from `LABO_…` like the others."""

    model_config = SettingsConfigDict(populate_by_name=True)

    service: str = "gateway"

    public_url: str = Field(default="http://127.0.0.1:8080", validation_alias=AliasChoices("LABO_PUBLIC_URL", "LABO_PORTAL_URL"))
    """Address under which people reach the portal; the identity provider sends them back there."""

    oidc_issuer: str = "http://127.0.0.1:9400"
    oidc_client_id: str = "labo-portal"
    oidc_client_secret: SecretStr = SecretStr("labo-portal")
    oidc_scopes: str = "openid profile email"
    """ProConnect wants `openid given_name usual_name email siret` and refuses what it does not know (S1)."""
    oidc_acr_values: str = ""
    """Levels asked for and then checked, `eidas1` at ProConnect; empty asks for none."""
    oidc_algorithms: tuple[str, ...] = ("RS256", "ES256", "PS256")
    """Signatures accepted on an id_token and on a signed userinfo."""

    link_secret: SecretStr = SecretStr("")
    """Checks the links that notify signs; it has the same. Without it, no link is believed."""
    certificate_key: SecretStr = SecretStr("")
    """Signs attendance certificates: 32 random bytes in base64url, kept as long as they shall verify. Without it, none is printed."""
    session_hours: float = Field(default=12, gt=0)
    """As long as at ProConnect (S1)."""
    requests_per_minute: int = Field(default=600, ge=0)
    """For each agent, in a moving window, in each process; 0 counts nothing."""
    unknown_requests_per_minute: int = Field(default=1800, ge=0)
    """For each address, counting who is not signed in and who shows a token or cookie that this process has not seen lately."""

    @property
    def demonstration(self) -> bool:
        return self.environment == "embedded"

    @cached_property
    def secure(self) -> bool:
        return self.public_url.startswith("https://")

    @cached_property
    def public_origin(self) -> str:
        parts = urlsplit(self.public_url)
        return f"{parts.scheme}://{parts.netloc}"

    @cached_property
    def provider_origin(self) -> str:
        parts = urlsplit(self.oidc_issuer)
        return f"{parts.scheme}://{parts.netloc}"

    def page(self, path: str) -> str:
        return self.public_url.rstrip("/") + path

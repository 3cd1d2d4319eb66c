"""What a sign-in must show, and where it may lead. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from services.gateway.directory.domain import Identity
from shared.errors import Refused, Unavailable

_ADDRESS = re.compile(r"[^@\s]{1,64}@[^@\s]{1,189}")
_SIRET = re.compile(r"\d{14}")


class NotSignedIn(Refused):
    code, status, title = "not_signed_in", 401, "Connectez-vous pour continuer."


class TokenInvalid(Refused):
    """Unknown, expired or revoked: which of them is nobody's business."""

    code, status, title = "token_invalid", 401, "Ce jeton d'accès n'est pas ou n'est plus valable."


class SignInExpired(Refused):
    """No attempt of this browser is waiting: it took more than 10 minutes, came back twice, or was forged."""

    code, status, title = "sign_in_expired", 400, "Cette tentative de connexion a expiré : recommencez."


class SignInRefused(Refused):
    code, status, title = "sign_in_refused", 403, "Le fournisseur d'identité n'a pas confirmé votre connexion."


class AddressMissing(Refused):
    code, status, title = "address_missing", 403, "Votre fournisseur d'identité ne nous a pas transmis d'adresse de messagerie valable."


class ProviderAway(Unavailable):
    code, title = "identity_provider_away", "La connexion est momentanément impossible : le fournisseur d'identité ne répond pas."


def identity_of(claims: Mapping[str, Any]) -> Identity:
    """The person behind the claims; ProConnect's names first, the common ones as a second choice (S1)."""
    email = _text(claims, "email").strip()
    if not _ADDRESS.fullmatch(email):
        raise AddressMissing("the claim email is missing or is no address")
    siret = _text(claims, "siret").replace(" ", "")
    return Identity(
        sub=_text(claims, "sub")[:255],
        email=email,
        given_name=_text(claims, "given_name")[:100],
        usual_name=(_text(claims, "usual_name") or _text(claims, "family_name"))[:100],
        siret=siret if _SIRET.fullmatch(siret) else None,
        email_verified=claims.get("email_verified") is not False,
    )


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""


def safe_next(wanted: str | None) -> str:
    """A page of this portal to go to after a sign-in; the home page instead of anything that could lead elsewhere."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or len(wanted) > 500:
        return "/"
    if any(character <= " " or character in "\\\x7f" for character in wanted):
        return "/"
    parts = urlsplit(wanted)
    return "/" if parts.scheme or parts.netloc else wanted

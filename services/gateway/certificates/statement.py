"""What a certificate says, and the signature that lets anybody check it without asking us: a compact JWS with Ed25519.

RFC 7515 and RFC 9864; how others check it stands in `docs/certificates.md`.
"""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from services.gateway.portal import wording
from shared.contracts.certificates import Certificate
from shared.errors import Refused

ALGORITHM, TYPE = "Ed25519", "labo-attestation+jwt"
LONGEST = 4_000


class CertificateNotGenuine(Refused):
    code, status = "certificate_not_genuine", 404
    title = "Ce texte n'est pas celui d'une attestation du Lab-O : il a été modifié, ou il n'est pas entier."


class Statement(BaseModel):
    """What stands on the paper, word for word. The member names of JWT where there is one."""

    model_config = ConfigDict(frozen=True)

    certificate_id: UUID = Field(alias="jti")
    issuer: str = Field(alias="iss")
    issued_at: datetime = Field(alias="iat")
    name: str
    title: str
    place: str
    half_days: tuple[str, ...]
    """In French: « jeudi 18 mars 2027, matin »."""
    of: int

    @property
    def complete(self) -> bool:
        return len(self.half_days) == self.of

    @classmethod
    def of_certificate(cls, certificate: Certificate, name: str, issuer: str) -> Self:
        return cls(
            jti=certificate.certificate_id,
            iss=issuer,
            iat=certificate.issued_at,
            name=name,
            title=certificate.title,
            place=certificate.place,
            half_days=tuple(wording.half_day(each) for each in certificate.half_days),
            of=certificate.of,
        )

    def sign(self, key: SigningKey) -> str:
        said = self.model_dump(mode="json", by_alias=True) | {"iat": int(self.issued_at.timestamp())}
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.kid}
        return jws.serialize_compact(header, json.dumps(said, ensure_ascii=False, separators=(",", ":")), key.jwk, algorithms=[ALGORITHM])


class SigningKey:
    """The lab's own, 32 random bytes in base64url. With another, the certificates that are out verify no more."""

    def __init__(self, secret: SecretStr) -> None:
        seed = secret.get_secret_value()
        self.jwk = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "d": seed, "x": _public(seed)})
        self.kid = hashlib.sha256(_public(seed).encode()).hexdigest()[:8]

    @property
    def published(self) -> dict[str, Any]:
        """A JWK set (RFC 7517), for everybody."""
        public = self.jwk.as_dict(private=False)
        return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": public["x"], "kid": self.kid, "alg": ALGORITHM, "use": "sig"}]}

    def read(self, text: str) -> Statement:
        """What was signed with this key; `CertificateNotGenuine` for anything else."""
        try:
            if len(text) > LONGEST:
                raise CertificateNotGenuine("too long")
            found = jws.deserialize_compact(text, self.jwk, algorithms=[ALGORITHM])
            if found.headers().get("typ") != TYPE:
                raise CertificateNotGenuine("signed for something else")
            return Statement.model_validate_json(found.payload)
        except (JoseError, ValidationError, ValueError) as error:
            raise CertificateNotGenuine(type(error).__name__) from error


def _public(seed: str) -> str:
    try:
        content = urlsafe_b64decode(seed + "=" * (-len(seed) % 4))
    except Error as error:
        raise ValueError("LABO_CERTIFICATE_KEY is 32 bytes in base64url") from error
    public = Ed25519PrivateKey.from_private_bytes(content).public_key().public_bytes_raw()
    return urlsafe_b64encode(public).decode().rstrip("=")

"""Printing and checking certificates: booking says what is so, the directory says the name, the lab's key signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from services.gateway.certificates.paper import print_certificate
from services.gateway.certificates.statement import SigningKey, Statement
from services.gateway.desk import Desk
from services.gateway.directory import store as directory
from services.gateway.directory.domain import AgentUnknown
from shared.bus import Caller
from shared.contracts.certificates import CertificateStatus, CheckCertificate, GetCertificate
from shared.errors import Refused, Unavailable

ANYBODY = Caller("gateway")


@dataclass(frozen=True, slots=True)
class Checked:
    """A genuine text, and what booking says of it now; None when booking cannot be asked."""

    statement: Statement
    status: CertificateStatus | None

    @property
    def state(self) -> Literal["valid", "revoked", "reissued", "unconfirmed"]:
        return self.status.state.value if self.status else "unconfirmed"


def key_of(desk: Desk) -> SigningKey:
    if not desk.settings.certificate_key.get_secret_value():
        raise Unavailable("LABO_CERTIFICATE_KEY is not set")
    return SigningKey(desk.settings.certificate_key)


async def certificate_of(desk: Desk, booking_id: UUID, caller: Caller) -> tuple[Statement, bytes]:
    """The valid certificate of a booking, printed now: what was revoked a moment ago is not to be had any more (A2)."""
    key = key_of(desk)
    certificate = await desk.bus.ask(GetCertificate(booking_id=booking_id), caller)
    async with desk.database.connect() as connection:
        agent = await directory.read(connection, certificate.agent_id)
    if agent is None:
        raise AgentUnknown(f"agent {certificate.agent_id}")
    name = " ".join(f"{agent.given_name} {agent.usual_name}".split())
    statement = Statement.of_certificate(certificate, name, desk.settings.page(""))
    return statement, await print_certificate(statement, desk.settings.page(f"/verifier/{statement.sign(key)}"))


async def check(desk: Desk, text: str) -> Checked:
    """Raises `CertificateNotGenuine`. Without booking the signature still says who wrote it."""
    statement = key_of(desk).read(text)
    try:
        status = await desk.bus.ask(CheckCertificate(certificate_id=statement.certificate_id), ANYBODY, timeout=2)
    except Refused as refusal:
        if not refusal.retryable:
            raise
        status = None
    return Checked(statement, status)

"""What booking answers and says of attendance certificates. Their names and signatures are the gateway's, which alone knows people."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.attendance import HalfDay
from shared.contracts.messages import Event, Message, Request


class CertificateState(StrEnum):
    VALID = "valid"
    REVOKED = "revoked"
    """The attendance was corrected, and there is nothing left to certify."""
    REISSUED = "reissued"
    """The attendance was corrected, and another certificate says what is so (A2)."""


class CertificateStatus(Message):
    """What anybody may know of a certificate whose id they have."""

    certificate_id: UUID
    state: CertificateState
    issued_at: AwareDatetime
    ended_at: AwareDatetime | None = None
    """When it was revoked or replaced."""


class Certificate(CertificateStatus):
    """An agent attended a session, or these half-days of it. What it says never changes; a correction ends it and issues another (A2)."""

    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    title: str
    """The session's, as it was when the certificate was issued."""
    place: str
    half_days: tuple[HalfDay, ...]
    """Those attended."""
    of: int
    """How many half-days the session had."""
    replaced_by: UUID | None = None
    version: int

    @property
    def complete(self) -> bool:
        """« Suivi complet » (A1)."""
        return len(self.half_days) == self.of


class CertificateList(Message):
    certificates: tuple[Certificate, ...]


# --- events --------------------------------------------------------------------------------------------------------------------------


class CertificateEvent(Event):
    aggregate: ClassVar[str] = "certificate"
    certificate_id: UUID
    booking_id: UUID
    session_id: UUID
    agent_id: UUID


class CertificateIssued(CertificateEvent):
    """The sheet is closed and the agent is on it (A3), or a correction says so."""

    subject: ClassVar[str] = "evt.booking.certificate_issued.v1"
    issued_at: AwareDatetime
    """Domain time, as it stands on the certificate."""
    replaces: UUID | None = None
    """The certificate that a correction ended, if any."""


class CertificateRevoked(CertificateEvent):
    """A correction ended a certificate (A2)."""

    subject: ClassVar[str] = "evt.booking.certificate_revoked.v1"
    revoked_at: AwareDatetime
    """Domain time."""
    replaced_by: UUID | None = None
    """The certificate that says what is so now, if there is still something to certify."""


# --- requests ------------------------------------------------------------------------------------------------------------------------


class GetCertificate(Request[Certificate]):
    """The valid certificate of a booking, for its agent and the lab.

    Refuses `booking_unknown` (also when it is another agent's), `certificate_unknown` (none yet, or it was revoked).
    """

    subject: ClassVar[str] = "rpc.booking.get_certificate.v1"
    booking_id: UUID


class ListCertificates(Request[CertificateList]):
    """The certificates of one agent, newest first, those that ended included. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.list_certificates.v1"
    agent_id: UUID
    limit: Annotated[int, Field(ge=1, le=200)] = 100


class CheckCertificate(Request[CertificateStatus]):
    """Whether a certificate still holds; for anybody who has its id. Refuses `certificate_unknown`."""

    subject: ClassVar[str] = "rpc.booking.check_certificate.v1"
    certificate_id: UUID

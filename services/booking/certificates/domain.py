"""What a change of attendance does to the certificate. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.contracts.attendance import AttendanceCorrected, AttendanceRecorded, HalfDay
from shared.contracts.booking import AttendanceOutcome
from shared.contracts.certificates import Certificate, CertificateIssued, CertificateRevoked, CertificateState
from shared.errors import Refused


class CertificateUnknown(Refused):
    code, status = "certificate_unknown", 404
    title = "Il n'y a pas d'attestation en cours de validité."


def issued(
    certificate_id: UUID,
    fact: AttendanceRecorded | AttendanceCorrected,
    half_days: Sequence[HalfDay],
    title: str,
    place: str,
    now: datetime,
) -> Certificate | None:
    """The certificate that this attendance deserves: none unless somebody was there, and it lists what they attended (A1)."""
    if fact.outcome is not AttendanceOutcome.ATTENDED:
        return None
    return Certificate(
        certificate_id=certificate_id,
        booking_id=fact.booking_id,
        session_id=fact.session_id,
        agent_id=fact.agent_id,
        state=CertificateState.VALID,
        title=title,
        place=place,
        half_days=tuple(each for each in half_days if each.number in fact.half_days),
        of=fact.of,
        issued_at=now,
        version=1,
    )


def ended(former: Certificate, successor: Certificate | None, now: datetime) -> Certificate:
    """Both public states are kept: the former one says what became of it (A2)."""
    state = CertificateState.REISSUED if successor else CertificateState.REVOKED
    after = {"state": state, "ended_at": now, "replaced_by": successor and successor.certificate_id, "version": former.version + 1}
    return former.model_copy(update=after)


def revocation(former: Certificate) -> CertificateRevoked:
    if former.ended_at is None:
        raise ValueError(f"certificate {former.certificate_id} has not ended")
    return CertificateRevoked(**_about(former), revoked_at=former.ended_at, replaced_by=former.replaced_by)


def issue(certificate: Certificate, replaces: Certificate | None) -> CertificateIssued:
    about = _about(certificate)
    return CertificateIssued(**about, issued_at=certificate.issued_at, replaces=replaces and replaces.certificate_id)


def _about(certificate: Certificate) -> dict[str, Any]:
    return certificate.model_dump(include={"certificate_id", "booking_id", "session_id", "agent_id", "version"})

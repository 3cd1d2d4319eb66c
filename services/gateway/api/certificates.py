"""Certificates through the API: one's own, and checking anybody's."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.api.openapi import refusals
from services.gateway.certificates.checking import Checked, check
from services.gateway.certificates.statement import LONGEST
from services.gateway.desk import desk_of
from services.gateway.web.etags import tagged
from shared.contracts.certificates import Certificate, ListCertificates

router = APIRouter(tags=["attestations"])


class CertificateItem(Certificate):
    pdf_url: str | None
    """Where its agent fetches it, while it is valid."""


class Certificates(BaseModel):
    """Newest first, those that were revoked or replaced included."""

    certificates: tuple[CertificateItem, ...]


class CheckedCertificate(BaseModel):
    """What a certificate says, and whether it still holds."""

    state: Literal["valid", "revoked", "reissued", "unconfirmed"]
    """`unconfirmed`: the signature is genuine, and nobody can say at the moment whether it was revoked."""
    ended_at: AwareDatetime | None
    certificate_id: UUID
    issued_at: AwareDatetime
    name: str
    title: str
    place: str
    half_days: tuple[str, ...]
    complete: bool

    @classmethod
    def of(cls, checked: Checked) -> Self:
        said = checked.statement.model_dump(include={"certificate_id", "issued_at", "name", "title", "place", "half_days"})
        ended_at = checked.status.ended_at if checked.status else None
        return cls(**said, state=checked.state, ended_at=ended_at, complete=checked.statement.complete)


@router.get("/me/certificates", response_model=Certificates, responses=refusals("not_signed_in", "token_invalid"))
async def list_certificates(request: Request) -> Response:
    """The signed-in agent's attendance certificates. Has an ETag."""
    desk = desk_of(request)
    principal = await desk.door.signed_in(request)
    found = await desk.bus.ask(ListCertificates(agent_id=principal.agent_id), principal.caller())

    def url(certificate: Certificate) -> str | None:
        return desk.settings.page(f"/mes-inscriptions/{certificate.booking_id}/attestation") if certificate.state == "valid" else None

    items = tuple(CertificateItem(**dict(each), pdf_url=url(each)) for each in found.certificates)
    return tagged(request, Certificates(certificates=items))


@router.get("/certificates/{text}", response_model=CheckedCertificate, responses=refusals("certificate_not_genuine", "token_invalid"))
async def check_certificate(
    request: Request, text: Annotated[str, Path(max_length=LONGEST, description="What the QR holds after `/verifier/`.")]
) -> Response:
    """Whether a certificate is genuine and still holds. For anybody."""
    desk = desk_of(request)
    await desk.door.principal(request)
    return tagged(request, CheckedCertificate.of(await check(desk, text)))

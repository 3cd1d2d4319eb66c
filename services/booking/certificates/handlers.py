"""Certificates follow attendance, in its transaction; whoever has one asks what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.attendance.domain import Sheet
from services.booking.certificates import domain, store
from services.booking.certificates.domain import CertificateUnknown
from services.booking.seats.queries import booking
from services.booking.seats.refusals import BookingUnknown
from shared import outbox
from shared.bus import Caller
from shared.contracts.attendance import AttendanceCorrected, AttendanceRecorded, HalfDay
from shared.contracts.certificates import (
    Certificate,
    CertificateIssued,
    CertificateList,
    CertificateRevoked,
    CertificateStatus,
    CheckCertificate,
    GetCertificate,
    ListCertificates,
)
from shared.database import Database
from shared.errors import NotAllowed
from shared.outbox import Causing, uuid7
from shared.requests import Requests

requests = Requests()


async def follow(
    tx: AsyncConnection, sheet: Sheet, facts: Sequence[AttendanceRecorded | AttendanceCorrected], cause: Causing, now: datetime
) -> None:
    """End what is no longer so, issue what is: in one transaction, so that nobody sees neither or both (A2)."""
    former = await store.valid(tx, [fact.booking_id for fact in facts])
    half_days = [HalfDay.model_validate(each.model_dump()) for each in sheet.half_days]
    ended: list[Certificate] = []
    issued: list[Certificate] = []
    said: list[CertificateRevoked | CertificateIssued] = []
    for fact in facts:
        before, after = former.get(fact.booking_id), domain.issued(uuid7(), fact, half_days, sheet.title, sheet.place, now)
        if before is not None:
            ended.append(domain.ended(before, after, now))
            said.append(domain.revocation(ended[-1]))
        if after is not None:
            issued.append(after)
            said.append(domain.issue(after, before))
    await store.end(tx, ended)
    await store.add(tx, issued)
    await outbox.record(tx, *said, cause=cause)


@requests.query(GetCertificate)
async def get_certificate(request: GetCertificate, caller: Caller, database: Database) -> Certificate:
    async with database.connect() as connection:
        of = await booking(connection, request.booking_id)
        if of is None or not (caller.is_agent(of.agent_id) or caller.has("operator", "lab_team")):
            raise BookingUnknown(f"booking {request.booking_id}")
        found = await store.valid(connection, [request.booking_id])
    if request.booking_id not in found:
        raise CertificateUnknown(f"booking {request.booking_id}")
    return found[request.booking_id]


@requests.query(ListCertificates)
async def list_certificates(request: ListCertificates, caller: Caller, database: Database) -> CertificateList:
    if not (caller.is_agent(request.agent_id) or caller.has("operator", "lab_team")):
        raise NotAllowed(f"{caller.actor} lists the certificates of {request.agent_id}")
    async with database.connect() as connection:
        return CertificateList(certificates=await store.of_agent(connection, request.agent_id, request.limit))


@requests.query(CheckCertificate)
async def check_certificate(request: CheckCertificate, _: Caller, database: Database) -> CertificateStatus:
    async with database.connect() as connection:
        found = await store.read(connection, request.certificate_id)
    if found is None:
        raise CertificateUnknown(f"certificate {request.certificate_id}")
    return CertificateStatus.model_validate(found.model_dump())

"""The certificate as an accessible PDF (tagged, PDF/UA-1): the same words as its signature, which the QR carries."""

from __future__ import annotations

import asyncio
import io
import json
from datetime import datetime
from pathlib import Path

import segno
import typst

from services.gateway.certificates.statement import Statement
from services.gateway.portal import wording

TEMPLATE = (Path(__file__).parent / "certificate.typ").read_bytes()


async def print_certificate(statement: Statement, address: str) -> bytes:
    """About 50 ms of another thread; data travels as JSON, never as text of the template."""
    return await asyncio.to_thread(_print, statement, address)


def _print(statement: Statement, address: str) -> bytes:
    picture = io.BytesIO()
    segno.make(address, micro=False, error="l").save(picture, kind="svg", border=4)
    said = {
        "name": statement.name,
        "title": statement.title,
        "place": statement.place,
        "half_days": list(statement.half_days),
        "complete": statement.complete,
        "of": statement.of,
        "issued_at": wording.long_day(statement.issued_at.astimezone(wording.PARIS).date()),
        "certificate_id": str(statement.certificate_id),
        "address": address,
        "page": f"{statement.issuer}/verifier",
        "qr": picture.getvalue().decode(),
    }
    return typst.compile(
        TEMPLATE,
        sys_inputs={"said": json.dumps(said)},
        pdf_standards=["ua-1"],
        ignore_system_fonts=True,
        timestamp=int(statement.issued_at.timestamp()),
    )


def file_name(moment: datetime) -> str:
    return f"attestation-{moment.astimezone(wording.PARIS):%Y-%m-%d}.pdf"

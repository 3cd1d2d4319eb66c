"""Answers that a client may keep and ask about again: ETag, If-None-Match, If-Match."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from shared.contracts.booking import Booking
from shared.contracts.groups import GroupBooking
from shared.errors import VersionConflict

SETTLED = timedelta(minutes=1)
"""HTTP dates count in seconds: a document that has just changed may change again within its date (RFC 9110, 8.8.2.2)."""
_VERSION = re.compile(r'"(\d{1,9})(\.\d+\.\d+)?"', re.ASCII)


def tagged(request: Request, reply: BaseModel, *, etag: str | None = None, shared: bool = False) -> Response:
    """The reply with its ETag, or 304 when the client has it already. `shared` answers are the same for everybody."""
    body = reply.model_dump_json().encode()
    tag = etag or f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "public, no-cache" if shared else "private, no-cache", "Vary": "Authorization, Cookie"}
    if any(each in {"*", tag} for each in tags_of(request.headers.get("if-none-match"))):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def kept_since(request: Request, body: bytes, media_type: str, changed_at: datetime) -> Response:
    """A document that is the same for everybody, or 304 when the client has it already, by its ETag or else by its date."""
    tag, changed_at = f'"{hashlib.sha256(body).hexdigest()[:24]}"', changed_at.replace(microsecond=0)
    headers = {"ETag": tag, "Cache-Control": "public, no-cache"}
    if settled := datetime.now(UTC) - changed_at > SETTLED:
        headers["Last-Modified"] = format_datetime(changed_at.astimezone(UTC), usegmt=True)
    if (tags := tags_of(request.headers.get("if-none-match"))) or not settled:
        known = any(each in {"*", tag} for each in tags)
    else:
        known = _date_of(request.headers.get("if-modified-since")) >= changed_at
    if known:
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def _date_of(header: str | None) -> datetime:
    """Of an HTTP date; long ago for anything else, which RFC 9110 says to ignore."""
    try:
        return parsedate_to_datetime(header or "").astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def version_tag(place: Booking | GroupBooking) -> str:
    """Its version, and what moves without it while it waits: the queue around it."""
    queue = f".{place.rank}.{place.waiting}" if place.rank else ""
    return f'"{place.version}{queue}"'


def expected_version(request: Request) -> int | None:
    """The version that `If-Match` insists on; None without one. A tag that is none of ours cannot match."""
    tags = tags_of(request.headers.get("if-match"), weak=False)
    if not tags or "*" in tags:
        return None
    ours = [found for tag in tags if (found := _VERSION.fullmatch(tag))]
    if len(ours) != 1:
        raise VersionConflict("If-Match names no version")
    return int(ours[0][1])


def tags_of(header: str | None, *, weak: bool = True) -> list[str]:
    tags = [tag.strip() for tag in (header or "").split(",") if tag.strip()]
    return [tag.removeprefix("W/") for tag in tags] if weak else tags

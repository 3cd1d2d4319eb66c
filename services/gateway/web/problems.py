"""Every refusal over HTTP, RFC 9457 for programs; what goes wrong becomes a refusal first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared import telemetry
from shared.database import is_infrastructure
from shared.errors import InternalError, InvalidRequest, Problem, Refused, Unavailable

log = telemetry.log

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:labo:problem:"


class PageUnknown(Refused):
    code, status, title = "not_found", 404, "Cette adresse ne mène nulle part."


class MethodNotAllowed(Refused):
    code, status, title = "method_not_allowed", 405, "Cette adresse n'accepte pas cette méthode."


class BodyTooLarge(Refused):
    code, status, title = "body_too_large", 413, "Ce que vous envoyez est trop long."


class BodyNotSupported(Refused):
    code, status, title = "unsupported_media_type", 415, "Ce format d'envoi n'est pas accepté ici."


_BY_STATUS: Mapping[int, type[Refused]] = {404: PageUnknown, 405: MethodNotAllowed, 413: BodyTooLarge, 415: BodyNotSupported}


def refusal_of(error: Exception) -> Refused:
    """The refusal that an error amounts to. What nobody foresaw is logged here, once, and answered without its text."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, RequestValidationError):
        return invalid(error.errors())
    if isinstance(error, HTTPException):
        return _BY_STATUS.get(error.status_code, InvalidRequest if error.status_code < 500 else Unavailable)(error.detail)
    if is_infrastructure(error):
        log.warning("http_without_database", error=type(error).__name__)
        return Unavailable("the database is away")
    log.error("http_failed", error=type(error).__name__, exc_info=error)
    return InternalError()


def invalid(errors: Any) -> InvalidRequest:
    """Which members are wrong and why, without what stood there."""
    faults = [{"where": ".".join(map(str, each["loc"])), "what": each["msg"]} for each in errors]
    return InvalidRequest(f"{len(faults)} members are wrong", errors=faults)


def document_of(problem: Problem) -> dict[str, Any]:
    return {"type": TYPE_PREFIX + problem.code, **problem.model_dump(mode="json", exclude_none=True)}


def headers_of(refusal: Refused) -> dict[str, str]:
    headers: dict[str, str] = {"Cache-Control": "no-store"}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="labo"' + (', error="invalid_token"' if refusal.code == "token_invalid" else "")
    return headers


def problem_response(refusal: Refused) -> Response:
    body = Problem.model_validate(document_of(refusal.problem)).model_dump_json(exclude_none=True)
    return Response(body, refusal.status, headers_of(refusal), MEDIA_TYPE)

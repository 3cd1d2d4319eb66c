"""HTML forms without JavaScript: URL-encoded, one value per field."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from services.gateway.web.problems import BodyNotSupported
from shared.errors import InvalidRequest

FIELDS_AT_MOST = 100


async def form_of(request: Request, *, fields_at_most: int = FIELDS_AT_MOST) -> dict[str, str]:
    """The fields of a form, surrounding blanks removed."""
    body = await request.body()
    if body and not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BodyNotSupported("a form is expected")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=fields_at_most)
    except ValueError as error:
        raise InvalidRequest("not a form") from error
    return {name: value.strip().replace("\r\n", "\n").replace("\0", "") for name, value in fields}

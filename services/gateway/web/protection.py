"""What every HTTP exchange passes through: size, origin, security headers, a trace, a metric. Plain ASGI: it stands on the hot path."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.settings import GatewaySettings
from services.gateway.web.problems import BodyTooLarge
from shared import telemetry
from shared.errors import Refused

LARGEST_BODY = 64 * 1024
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
ONE_CLICK = "/desabonnement/"
"""Mail programs post here from wherever they run (RFC 8058): the address itself is signed, and no cookie is looked at."""
METHODS = SAFE_METHODS | {"POST", "PUT", "PATCH", "DELETE"}

HTTP_REQUESTS = Counter("labo_http_requests", "HTTP exchanges answered, by route and status", ["method", "route", "status"])
HTTP_SECONDS = Histogram(
    "labo_http_seconds",
    "From arrival of an HTTP request to the end of its answer",
    ["method", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)


class CrossSite(Refused):
    code, status, title = "cross_site_refused", 403, "Cette demande vient d'un autre site : elle a été refusée par sécurité."


def content_security_policy(settings: GatewaySettings) -> str:
    """No script at all, nothing from anywhere else; forms may lead to the provider, whose page ends its own session."""
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; font-src 'self'; manifest-src 'self'; "
        f"form-action 'self' {settings.provider_origin}; base-uri 'none'; frame-ancestors 'none'"
    )


def security_headers(settings: GatewaySettings) -> dict[str, str]:
    headers = {
        "content-security-policy": content_security_policy(settings),
        "x-content-type-options": "nosniff",
        "referrer-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    if settings.secure:
        headers["strict-transport-security"] = "max-age=31536000"
    return headers


def from_another_site(method: str, headers: Headers, origins: frozenset[str]) -> bool:
    """True for a change asked by a page of another site with the cookies of ours. Bearer tokens are not sent by accident."""
    if method in SAFE_METHODS or "authorization" in headers:
        return False
    if site := headers.get("sec-fetch-site"):
        return site not in {"same-origin", "none"}
    origin = headers.get("origin")
    if origin is None:
        return False  # no browser of this decade: programs carry no cookie by accident
    return origin not in origins and urlsplit(origin).netloc != headers.get("host")


class Protection:
    """The outermost layer. `refuse` answers what it does not let in, in the form that suits the address."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, refuse: Callable[[Request, Exception], Awaitable[Response]]) -> None:
        self._app, self._refuse = app, refuse
        self._origins = frozenset({settings.public_origin})
        self._headers = [(name.encode(), value.encode()) for name, value in security_headers(settings).items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"]
        status = 500

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        headers = Headers(scope=scope)
        context = telemetry.context_from(headers.get("traceparent"))
        try:
            with telemetry.tracer.start_as_current_span(f"HTTP {method}", context=context, kind=SpanKind.SERVER):
                await self._let_in(scope, receive, answer, headers)
        finally:
            route, counted = getattr(scope.get("route"), "path", "none"), method if method in METHODS else "other"
            HTTP_REQUESTS.labels(counted, route, status).inc()
            HTTP_SECONDS.labels(counted, route).observe(time.perf_counter() - started)

    async def _let_in(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Hand over, and answer whatever was not answered. An answer that had begun is cut off: the client sees that it is broken."""
        begun = finished = False

        async def watched(message: Message) -> None:
            nonlocal begun, finished
            begun = True
            finished = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            if from_another_site(scope["method"], headers, self._origins) and not scope["path"].startswith(ONE_CLICK):
                raise CrossSite(f"{scope['method']} {scope['path']}")
            length = headers.get("content-length", "0")
            if not length.isascii() or not length.isdigit() or int(length) > LARGEST_BODY:
                raise BodyTooLarge(f"more than {LARGEST_BODY} bytes")
            await self._app(scope, limited(receive), watched)
        except Exception as error:
            if finished:
                return  # answered and logged further in
            if begun:
                raise
            response = await self._refuse(Request(scope), error)
            await response(scope, receive, send)


def limited(receive: Receive) -> Receive:
    """The body as it comes, up to the limit, whatever its headers announced."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > LARGEST_BODY:
            raise BodyTooLarge(f"more than {LARGEST_BODY} bytes")
        return message

    return counted

"""One attempt at one delivery: look the name up, refuse what is not public, connect to that very address, sign, post, read a little."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from ipaddress import IPv6Address
from urllib.parse import SplitResult

import httpx2
from standardwebhooks import Webhook as Signature

from services.notify.webhooks.claims import Parcel
from services.notify.webhooks.domain import Address, AddressRefused, Answer, choose_address, read_url
from shared import telemetry

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
EXCERPT = 200  # characters of an answer that are kept: enough to see whose error page it is
LOOKUPS_AT_ONCE = 32

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""All addresses of a name, as text."""

# Not the loop's own resolver, whose few threads the mail server's name needs too: a name server that does not answer holds them for long.
_threads = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="webhook-lookup")


async def look_up(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().run_in_executor(_threads, partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM))
    return [str(each[4][0]) for each in found]


class Courier:
    """Goes to addresses that other people chose. Follows no redirect, knows no proxy, keeps no connection."""

    def __init__(self, *, timeout: float, loopback: bool, lookup: Lookup = look_up, trust: ssl.SSLContext | None = None) -> None:
        self._timeout, self._loopback, self._lookup = timeout, loopback, lookup
        # A connection that is kept would be found again by its address alone, and serve another name that has the same one.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx2.AsyncClient(
            verify=trust or ssl.create_default_context(), limits=limits, trust_env=False, follow_redirects=False, timeout=timeout
        )

    async def check(self, url: str) -> None:
        """Whether it may be asked, as its name answers now; looked at again each time."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._destination(url)
        except (OSError, UnicodeError) as error:  # a time-out is an OSError
            raise AddressRefused(f"the name cannot be looked up: {type(error).__name__}") from error

    async def deliver(self, parcel: Parcel) -> Answer:
        """Raises nothing but cancellation and our own mistakes."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(parcel)
        except AddressRefused as refused:
            return Answer(None, f"address refused: {refused.detail}")
        except TimeoutError:
            return Answer(None, f"no answer within {self._timeout:g} s")
        except (httpx2.HTTPError, OSError, UnicodeError) as error:
            return Answer(None, _clean(f"{type(error).__name__}: {error}"))

    async def _post(self, parcel: Parcel) -> Answer:
        parts, address = await self._destination(parcel.url)
        request = self._client.build_request(
            "POST",
            _to(parts, address),
            content=parcel.document.encode(),
            headers={
                "Host": parts.netloc,
                "Content-Type": CONTENT_TYPE,
                "Accept-Encoding": "identity",
                "User-Agent": "Lab-O",
                **_signed(parcel),
            },
            extensions={"sni_hostname": parts.hostname},  # the name that the certificate must bear
        )
        response = await self._client.send(request, stream=True)
        try:
            return Answer(response.status_code, _clean(await _excerpt(response)))
        finally:
            await response.aclose()

    async def _destination(self, url: str) -> tuple[SplitResult, Address]:
        parts = read_url(url, loopback=self._loopback)
        found = await self._lookup(str(parts.hostname), _port(parts))
        return parts, choose_address(found, loopback=self._loopback)

    async def close(self) -> None:
        await self._client.aclose()


def _port(parts: SplitResult) -> int:
    return parts.port or (443 if parts.scheme == "https" else 80)


def _to(parts: SplitResult, address: Address) -> str:
    """The same address with the number in the place of the name: between the look-up and the connection nothing can change."""
    host = f"[{address}]" if isinstance(address, IPv6Address) else str(address)
    return parts._replace(netloc=f"{host}:{_port(parts)}").geturl()


def _signed(parcel: Parcel) -> dict[str, str]:
    """The headers of Standard Webhooks; two signatures on the day after a rotation."""
    event_id, now = str(parcel.event_id), datetime.now(UTC)
    signatures = [Signature(secret).sign(event_id, now, parcel.document) for secret in parcel.secrets]
    return {"webhook-id": event_id, "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": " ".join(signatures)}


async def _excerpt(response: httpx2.Response) -> str:
    """The first words, whatever follows: a body without end is not read to its end."""
    if 200 <= response.status_code < 300:
        return ""
    read = b""
    with suppress(httpx2.HTTPError):
        async for chunk in response.aiter_raw(EXCERPT):
            read += chunk
            if len(read) >= EXCERPT:
                break
    return read.decode(errors="replace")


def _clean(text: str) -> str:
    """On one line, without what others quote."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in telemetry.hide_private(text)).split())[:EXCERPT]

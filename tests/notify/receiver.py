"""A receiver of webhooks: real HTTP on the loopback, answers as it is told, remembers what came."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from standardwebhooks import Webhook as Signature

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


def answer(status: int, body: str = "", **headers: str) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{more}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@dataclass(frozen=True)
class Post:
    headers: dict[str, str]
    body: bytes
    asked: str = ""
    """Method and path."""

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        return Signature(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    answers: list[bytes] = field(default_factory=list[bytes])
    """What it says to the next ones, in order; 204 after that."""
    posts: list[Post] = field(default_factory=list[Post])
    open: int = 0
    most_open: int = 0
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is not set, connections are taken and nothing is said."""
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def ids(self) -> list[str]:
        return [post.id for post in self.posts]

    @asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncGenerator[Receiver]:
        self.answering.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port, self.scheme = server.sockets[0].getsockname()[1], "https" if tls else "http"
        try:
            yield self
        finally:
            self.answering.set()
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            first, *head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.posts.append(Post(headers, body, first.removesuffix(" HTTP/1.1")))
            said = self.answers.pop(0) if self.answers else OK
            await self.answering.wait()
            writer.write(said)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open -= 1
            writer.close()


def certified(name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server of that name shows, and what trusts it."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject).issuer_name(subject).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    return _server_context(certificate, key), ssl.create_default_context(cadata=certificate.public_bytes(serialization.Encoding.DER))


def _server_context(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> ssl.SSLContext:
    import tempfile

    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    with tempfile.NamedTemporaryFile() as file:
        file.write(key.private_bytes(encoding, form, serialization.NoEncryption()) + certificate.public_bytes(encoding))
        file.flush()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file.name)
    return context

"""A mail server that keeps every message and sends none on; its web page shows them, and `/api/messages` gives them to tests.

python -m deploy.mailcatcher --folder .labo/mail --smtp-port 1025 --web-port 8025
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

import uvicorn
from aiosmtpd.smtp import SMTP, Envelope, Session
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.templating import Jinja2Templates

from deploy.mailbox import Entry, Mail, Mailbox, in_french, in_short, summary

HOST = "127.0.0.1"
PAGES = Path(__file__).with_name("pages")
PER_PAGE = 100
LARGEST = 10 * 2**20
BOUNCED = "bounced@exemple.invalid"
STRICT = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; img-src data:; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
# What a mail says in HTML is shown without scripts, forms or anything from elsewhere; its links open beside.
FRAMED = {
    "Content-Security-Policy": "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
    "img-src data:; frame-ancestors 'self'"
}


class Reception:
    """What aiosmtpd asks at each step of a conversation."""

    def __init__(self, mailbox: Mailbox, bounced: Collection[str]) -> None:
        self._mailbox, self._bounced = mailbox, {address.lower() for address in bounced}

    async def handle_RCPT(self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: Sequence[str]) -> str:  # noqa: N802
        if address.lower() in self._bounced:
            return "550 5.1.1 this mailbox does not exist (a case of the demonstration)"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content if isinstance(envelope.content, bytes) else (envelope.content or "").encode()
        entry = self._mailbox.add(uuid4(), datetime.now(UTC), envelope.mail_from or "", envelope.rcpt_tos, content)
        return f"250 2.0.0 kept as {entry.id}"


class Pages:
    """French pages for people, JSON for tests."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        shown = {"style": (PAGES / "style.css").read_text(), "in_french": in_french, "in_short": in_short}
        self._templates = Jinja2Templates(PAGES / "mail", context_processors=[lambda _: shown])
        routes = [
            Route("/", self.list),
            Route("/message/{id}", self.message),
            Route("/message/{id}/html", self.html),
            Route("/message/{id}/source", self.source),
            Route("/message/{id}/invitation.ics", self.invitation),
            Route("/api/messages", self.all_as_json, methods=["GET"]),
            Route("/api/messages", self.clear, methods=["DELETE"]),
            Route("/api/messages/{id}", self.as_json),
        ]
        self.application = Starlette(routes=routes, exception_handlers={404: self.missing})

    def _page(self, request: Request, name: str, shown: dict[str, Any], status: int = 200) -> Response:
        return self._templates.TemplateResponse(request, name, shown, headers=STRICT, status_code=status)

    def _entry(self, request: Request) -> Entry:
        entry = self._mailbox.entries.get(request.path_params["id"])
        if entry is None:
            raise HTTPException(404)
        return entry

    def _mail(self, request: Request) -> Mail:
        return self._mailbox.read(self._entry(request))

    async def list(self, request: Request) -> Response:
        recipient, subject, asked = (request.query_params.get(name, "") for name in ("to", "subject", "page"))
        number = max(int(asked), 1) if asked.isdecimal() and len(asked) < 9 else 1
        found = list(islice(self._mailbox.newest_first(recipient, subject), (number - 1) * PER_PAGE, number * PER_PAGE + 1))
        shown = {"recipient": recipient, "subject": subject, "number": number, "more": len(found) > PER_PAGE}
        return self._page(request, "list.html", {"entries": found[:PER_PAGE], "total": len(self._mailbox.entries), **shown})

    async def message(self, request: Request) -> Response:
        mail = self._mail(request)
        shown = {"text": mail.text, "html": mail.html, "invitation": mail.invitation}
        return self._page(request, "message.html", {"entry": mail.entry, "mail": mail, **shown})

    async def html(self, request: Request) -> Response:
        return HTMLResponse('<base target="_blank">' + self._mail(request).html, headers=FRAMED)

    async def source(self, request: Request) -> Response:
        source = self._mailbox.source(self._entry(request))
        return PlainTextResponse(source.decode("utf-8", errors="replace"), headers=STRICT)

    async def invitation(self, request: Request) -> Response:
        found = self._mail(request).invitation
        if found is None:
            raise HTTPException(404)
        headers = {"Content-Disposition": f'attachment; filename="{self._entry(request).id}.ics"'}
        return Response("\r\n".join([*found.source.splitlines(), ""]), media_type="text/calendar", headers=headers)

    async def all_as_json(self, request: Request) -> Response:
        found = self._mailbox.newest_first(request.query_params.get("to", ""), request.query_params.get("subject", ""))
        return JSONResponse([summary(entry) for entry in found])

    async def as_json(self, request: Request) -> Response:
        return JSONResponse(self._mail(request).as_json())

    async def clear(self, _request: Request) -> Response:
        self._mailbox.clear()
        return Response(status_code=204)

    async def missing(self, request: Request, _error: Exception) -> Response:
        return self._page(request, "missing.html", {}, status=404)


async def serve(folder: Path, smtp_port: int, web_port: int, bounced: Collection[str] = (BOUNCED,), *, host: str = HOST) -> None:
    """Until SIGTERM or SIGINT: a conversation under way may end first."""
    mailbox = Mailbox(folder)
    reception = Reception(mailbox, bounced)
    loop = asyncio.get_running_loop()
    smtp = await loop.create_server(
        lambda: SMTP(reception, hostname="labo.localhost", data_size_limit=LARGEST, enable_SMTPUTF8=True, loop=loop), host, smtp_port
    )
    config = uvicorn.Config(
        Pages(mailbox).application,
        host=host,
        port=web_port,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    web = uvicorn.Server(config)
    async with smtp:
        await web.serve()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="mailcatcher", description="Keeps every mail, sends none on, shows them on a page")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--smtp-port", type=int, required=True)
    parser.add_argument("--web-port", type=int, required=True)
    parser.add_argument("--host", default=HOST)
    parser.add_argument("--bounce", action="append", help=f"an address that does not exist (default: {BOUNCED}); may be repeated")
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    asyncio.run(serve(asked.folder, asked.smtp_port, asked.web_port, asked.bounce or (BOUNCED,), host=asked.host))


if __name__ == "__main__":
    main()

"""One kept conversation with the mail server, and what its answers mean for a mail."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from email.message import EmailMessage

from aiosmtplib import SMTP, SMTPException, SMTPResponseException
from aiosmtplib.response import SMTPResponse

from services.notify.settings import NotifySettings

IDLE = 20.0  # seconds after which a kept conversation is begun anew rather than trusted
CONNECT, CLOSING = 10.0, 2.0


class Trouble(Exception):
    """A mail did not, or may not, get through. The text names codes and classes; it may quote the address, so it is cleaned when stored."""


class NoServer(Trouble):
    """No conversation could be begun: nothing was said about any mail."""


class TryLater(Trouble):
    """The server does not want this mail now, or left before it could have taken it."""


class Broken(TryLater):
    """The conversation ended under us, before the message; a new one may do."""


class RecipientRefused(Trouble):
    """The server knows for good that it will not deliver to this recipient."""


class MailRefused(Trouble):
    """The server will never take this mail, for another reason than its recipient."""


class Uncertain(Trouble):
    """The message was handed over and no answer came: it may have been delivered."""


@dataclass(frozen=True, slots=True)
class Envelope:
    sender: str
    recipient: str


class Line:
    """Not for two mails at once."""

    def __init__(self, settings: NotifySettings) -> None:
        self._settings = settings
        self._smtp: SMTP | None = None
        self._last_used = 0.0

    async def open(self) -> None:
        """Be ready to send; `NoServer` when that cannot be had."""
        if self._smtp is not None and self._smtp.is_connected and time.monotonic() - self._last_used < IDLE:
            return
        await self.close()
        settings = self._settings
        smtp = SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() or None,
            timeout=settings.smtp_timeout,
            use_tls=settings.smtp_tls == "tls",
            start_tls={"auto": None, "starttls": True, "tls": False}[settings.smtp_tls],
            local_hostname=settings.instance,
        )
        try:
            await smtp.connect(timeout=min(settings.smtp_timeout, CONNECT))
            await smtp.ehlo()
        except (SMTPException, OSError, ValueError) as error:
            smtp.close()
            raise NoServer(_words(error)) from error
        self._smtp, self._last_used = smtp, time.monotonic()

    async def send(self, message: EmailMessage, envelope: Envelope) -> None:
        """Returns when the server has taken the mail; otherwise raises the `Trouble` that says what became of it."""
        content = re.sub(rb"(?m)^\.", b"..", message.as_bytes())
        try:
            smtp = await self._announce(envelope)
        except Broken:  # servers end kept conversations when they please; nothing was said of the message yet
            self._drop()
            smtp = await self._announce(envelope)
        await self._hand_over(smtp, content)
        self._last_used = time.monotonic()

    async def _announce(self, envelope: Envelope) -> SMTP:
        """Up to here the server cannot have the mail: whatever goes wrong, it may be sent again."""
        await self.open()
        smtp = self._smtp
        if smtp is None:
            raise Broken("the conversation is over")
        try:
            await _step(smtp.mail(envelope.sender, encoding="ascii"), 250, MailRefused)
            await _step(smtp.rcpt(envelope.recipient, encoding="ascii"), 250, RecipientRefused)
            await _step(smtp.execute_command(b"DATA"), 354, MailRefused)
        except (TryLater, MailRefused, RecipientRefused):
            await self._start_over(smtp)
            raise
        return smtp

    async def _hand_over(self, smtp: SMTP, content: bytes) -> None:
        """From the first byte on, only an answer tells whether the server has the mail.

        aiosmtplib's `data()` takes the command and the message in one step, and a loss before 354 would look like one after it.
        """
        protocol = smtp.protocol
        if protocol is None or not protocol.is_connected:
            self._drop()
            raise TryLater("the conversation broke off before the message")
        try:
            protocol.write(content + b".\r\n")
            response = await protocol.read_response(timeout=self._settings.smtp_timeout)
        except (SMTPException, OSError) as error:
            self._drop()
            raise Uncertain(f"no answer after the message: {_words(error)}") from error
        except asyncio.CancelledError:
            self._drop()
            raise
        if response.code != 250:
            await self._start_over(smtp)
            raise _refusal(response, MailRefused)

    async def _start_over(self, smtp: SMTP) -> None:
        """Forget the present mail, keep the conversation if it can be kept."""
        try:
            await smtp.rset()
        except (SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        if self._smtp is not None:
            self._smtp.close()
            self._smtp = None

    async def close(self) -> None:
        smtp, self._smtp = self._smtp, None
        if smtp is None:
            return
        try:
            await smtp.quit(timeout=CLOSING)
        except (SMTPException, OSError):
            smtp.close()


async def _step(answer: Awaitable[SMTPResponse], expected: int, refused_for_good: type[Trouble]) -> None:
    try:
        response = await answer
    except SMTPResponseException as refusal:
        response = SMTPResponse(refusal.code, refusal.message)
    except (SMTPException, OSError) as error:
        raise Broken(_words(error)) from error
    if response.code != expected:
        raise _refusal(response, refused_for_good)


def _refusal(response: SMTPResponse, for_good: type[Trouble]) -> Trouble:
    words = f"{response.code} {response.message}"
    if response.code == 421:  # the server closes the channel: about itself, not about the mail
        return Broken(words)
    return for_good(words) if 500 <= response.code < 600 else TryLater(words)


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"

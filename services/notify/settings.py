from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator

from services.notify.reminders.domain import RULES, Rules
from shared.settings import Settings


@dataclass(frozen=True, slots=True)
class TchapRoom:
    """Where the bot speaks, and as whom."""

    homeserver: str
    token: SecretStr
    room: str


class NotifySettings(Settings):
    """Settings of notify, from `LABO_…` like the others. Durations are in seconds of real time."""

    service: str = "notify"
    instance: str = Field(default_factory=socket.gethostname)
    """Name of this process among its replicas; one that comes back under the same name finds what it left half done."""

    smtp_host: str = "127.0.0.1"
    smtp_port: int = 25
    smtp_tls: Literal["auto", "starttls", "tls"] = "auto"
    """`auto` encrypts when the server offers it, `starttls` insists, `tls` encrypts from the first byte."""
    smtp_username: str | None = None
    smtp_password: SecretStr = SecretStr("")
    smtp_timeout: float = Field(default=30, gt=0)
    """For each answer of the mail server."""
    smtp_connections: int = Field(default=4, ge=1, le=32)

    mail_sender: str = "lab-o@exemple.invalid"
    """Sender of every mail and ORGANIZER of every calendar entry: change it and Zimbra refuses the updates of what was sent before (K2)."""
    mail_reply_to: str = "equipe-lab-o@exemple.invalid"
    """A mailbox that somebody reads (S7)."""
    lab_address: str = "equipe-lab-o@exemple.invalid"
    """Functional mailbox of the lab, for what it has to answer itself."""
    portal_url: str = "http://127.0.0.1:8000"
    link_secret: SecretStr = SecretStr("")
    """Signs the links that answer an offer; the gateway has the same. Without it, mails carry none."""

    confirmation_delay: float = Field(default=60, ge=0)
    """How long a confirmation waits for second thoughts (E3)."""
    move_delay: float = Field(default=600, ge=0)
    """How long the mail of a first move waits for a second one (E3)."""
    mails_per_hour: int = Field(default=12, ge=1)
    """To one agent; beyond it, what can wait is told in one mail at the next full hour. Nothing urgent and no cancellation ever waits."""
    reminders: Rules = RULES
    """Who is reminded when, by activity type, as JSON: `{"training": [{"kind": "reminder", "days": 2, "at": "09:00"}]}` (T5). Types that
    are left out are reminded of nothing."""

    deferral_base: float = Field(default=60, gt=0)
    """First pause after a temporary failure; doubles each time, up to an hour (S7: greylisting)."""
    give_up_after: float = Field(default=72 * 3600, gt=0)

    webhook_timeout: float = Field(default=10, gt=0, le=30)
    """For one attempt whole: name, connection, answer. Below the lease of a delivery (60 s)."""
    webhook_retry_base: float = Field(default=10, gt=0)
    """First pause after an attempt that failed; doubles each time, up to six hours."""
    webhook_give_up_after: float = Field(default=72 * 3600, gt=0)
    webhooks_to_loopback: bool = False
    """Webhooks may go to this machine, over plain http too: for trying a receiver on the embedded stack, refused in production."""

    tchap_homeserver: str = ""
    """Such as `https://matrix.agent.exemple.tchap.gouv.fr`. With the token and the room, a bot tells this room of the public programme;
    without the three there is none."""
    tchap_token: SecretStr = SecretStr("")
    """Access token of the bot's account."""
    tchap_room: str = ""
    """Internal id of the room, such as `!abc:exemple.fr`, which the bot's account has joined; not encrypted."""
    tchap_gather: float = Field(default=300, ge=0, le=3600)
    """How long news wait for more, to be told in one message."""

    @property
    def tchap(self) -> TchapRoom | None:
        """None without a bot."""
        return TchapRoom(self.tchap_homeserver.rstrip("/"), self.tchap_token, self.tchap_room) if self.tchap_homeserver else None

    @model_validator(mode="after")
    def _a_bot_has_all_it_needs(self) -> Self:
        given = [bool(each) for each in (self.tchap_homeserver, self.tchap_token.get_secret_value(), self.tchap_room)]
        if any(given) and not all(given):
            raise ValueError("LABO_TCHAP_HOMESERVER, LABO_TCHAP_TOKEN and LABO_TCHAP_ROOM go together: all three or none")
        if self.tchap_homeserver and not _is_safe(self.tchap_homeserver):
            raise ValueError("LABO_TCHAP_HOMESERVER: only https, since the token goes there")
        if self.tchap_room and not self.tchap_room.startswith("!"):
            raise ValueError("LABO_TCHAP_ROOM: the internal id of the room, which begins with !")
        return self

    @model_validator(mode="after")
    def _loopback_is_for_trying(self) -> Self:
        if self.webhooks_to_loopback and self.environment != "embedded":
            raise ValueError("LABO_WEBHOOKS_TO_LOOPBACK is for the embedded stack only")
        return self


def _is_safe(url: str) -> bool:
    """https, or the loopback for tests."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return bool(host) and "@" not in parts.netloc
    try:
        return parts.scheme == "http" and ip_address(host).is_loopback
    except ValueError:
        return False

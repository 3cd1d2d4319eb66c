from __future__ import annotations

import socket
from typing import Literal

from pydantic import Field, SecretStr

from services.notify.reminders.domain import RULES, Rules
from shared.settings import Settings


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

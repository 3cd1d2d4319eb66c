from __future__ import annotations

import socket
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

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

    webhook_timeout: float = Field(default=10, gt=0, le=30)
    """For one attempt whole: name, connection, answer. Below the lease of a delivery (60 s)."""
    webhook_retry_base: float = Field(default=10, gt=0)
    """First pause after an attempt that failed; doubles each time, up to six hours."""
    webhook_give_up_after: float = Field(default=72 * 3600, gt=0)
    webhooks_to_loopback: bool = False
    """Webhooks may go to this machine, over plain http too: for trying a receiver on the embedded stack, refused in production."""

    @model_validator(mode="after")
    def _loopback_is_for_trying(self) -> Self:
        if self.webhooks_to_loopback and self.environment != "embedded":
            raise ValueError("LABO_WEBHOOKS_TO_LOOPBACK is for the embedded stack only")
        return self

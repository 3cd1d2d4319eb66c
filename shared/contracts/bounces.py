"""Mails that came back, as whoever reads the reply address reports them, and whether an agent can be written to."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Message, Request


class BounceNoted(Message):
    verdict: Literal["bounced", "delayed", "delivered", "not_a_report", "mail_unknown"]
    """`not_a_report`: an absence, a calendar's answer, a person's words. `mail_unknown`: not sent by us, or forgotten since."""
    mail_id: UUID | None = None


class ReportBounce(Request[BounceNoted]):
    """A mail as it came in at the reply address: a delivery status notification (RFC 3464) marks the mail that it is about, and anything
    else changes nothing. Needs the role `operator`. Refuses `not_allowed`.
    """

    subject: ClassVar[str] = "rpc.notify.report_bounce.v1"
    report: Annotated[str, Field(min_length=1, max_length=200_000)]
    """The whole mail, headers and parts."""


class Reachability(Message):
    agent_id: UUID
    undeliverable_since: AwareDatetime | None = None
    """When a server refused the agent's address for good; None while it is believed to work."""


class GetReachability(Request[Reachability]):
    """Whether mails reach an agent. Refuses `not_allowed` (another agent's)."""

    subject: ClassVar[str] = "rpc.notify.get_reachability.v1"
    agent_id: UUID

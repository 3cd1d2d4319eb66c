"""What a mail that came back says: delivery status notifications (RFC 3464). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from email.policy import compat32
from typing import Literal

_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_OURS = re.compile(r"<([0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})@[^<>\s]+>", re.IGNORECASE)

Verdict = Literal["bounced", "delayed", "delivered"]
WORST_FIRST: tuple[Verdict, ...] = ("bounced", "delayed", "delivered")


@dataclass(frozen=True, slots=True)
class Report:
    """Of one of our mails, by the id that stands in its Message-ID."""

    mail_id: str
    verdict: Verdict
    status: str
    """Such as `5.1.1`; no other word of the server, which quotes addresses (P4)."""


def read_report(text: str) -> Report | None:
    """None for what is no report about a mail of ours: an absence, a calendar's answer (K5), a person's words."""
    message = message_from_string(text, policy=compat32)
    if message.get_content_type() != "multipart/report" or message.get_param("report-type") != "delivery-status":
        return None
    mail_id = next(_mail_ids(message), None)
    found: list[tuple[Verdict, str]] = [
        (verdict, _status(fields, verdict)) for fields in _recipients(message) if (verdict := _verdict(fields))
    ]
    if mail_id is None or not found:
        return None
    verdict, status = min(found, key=lambda each: WORST_FIRST.index(each[0]))
    return Report(mail_id, verdict, status)


def _recipients(message: Message) -> Iterator[Message]:
    """The groups of fields about a recipient each; the first group of a report is about the message."""
    for part in message.walk():
        if part.get_content_type() == "message/delivery-status" and part.is_multipart():
            yield from (fields for fields in part.get_payload() if isinstance(fields, Message) and "action" in fields)


def _verdict(fields: Message) -> Verdict | None:
    match str(fields["action"]).strip().lower():
        case "failed":
            return "bounced" if not str(fields.get("status", "5")).strip().startswith("4") else "delayed"
        case "delayed":
            return "delayed"
        case "delivered" | "relayed" | "expanded":
            return "delivered"
        case _:
            return None


def _status(fields: Message, verdict: Verdict) -> str:
    found = _CODE.search(str(fields.get("status", "")))
    return found[0] if found else {"bounced": "5.0.0", "delayed": "4.0.0", "delivered": "2.0.0"}[verdict]


def _mail_ids(message: Message) -> Iterator[str]:
    """From the mail that came back, or its headers; servers that send neither refer to it."""
    for part in message.walk():
        if part.get_content_type() == "message/rfc822-headers" or part.get_content_type() == "text/rfc822-headers":
            yield from _OURS.findall(str(message_from_string(str(part.get_payload()))["message-id"]))
        elif part is not message and part.get_content_maintype() != "multipart":
            yield from _OURS.findall(str(part.get("message-id", "")))
    for header in ("in-reply-to", "references"):
        yield from _OURS.findall(str(message.get(header, "")))

"""What the mail catcher keeps: one `.eml` file per message, and what a person or a test wants to know of it."""

from __future__ import annotations

import email.policy
import email.utils
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser, BytesParser
from pathlib import Path
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event

PARIS = ZoneInfo("Europe/Paris")
DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list."""

    id: str
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    subject: str
    message_id: str


class Mailbox:
    """A folder of messages, oldest first by name; the list of them is kept in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.entries = {file.stem: self._entry(file) for file in sorted(folder.glob("*.eml"))}

    def add(self, message_id: UUID, received_at: datetime, sender: str, recipients: Sequence[str], content: bytes) -> Entry:
        """Whole on disk before this returns, so that what was accepted survives a crash of the catcher."""
        stamp = received_at.astimezone(UTC)
        name = f"{stamp:%Y%m%dT%H%M%S%f}-{message_id.hex[:8]}"
        trace = [f"Return-Path: <{sender}>", *(f"Delivered-To: {recipient}" for recipient in recipients)]
        trace.append(f"Received: by labo-mailcatcher; {email.utils.format_datetime(stamp)}")
        partial, file = self.folder / f"{name}.partial", self.folder / f"{name}.eml"
        partial.write_bytes("".join(f"{_one_line(line)}\r\n" for line in trace).encode() + content)
        partial.rename(file)
        entry = self.entries[name] = self._entry(file)
        return entry

    def newest_first(self, recipient: str = "", subject: str = "") -> Iterator[Entry]:
        for entry in reversed(self.entries.values()):
            addressed = not recipient or any(recipient.lower() in each.lower() for each in entry.recipients)
            if addressed and subject.lower() in entry.subject.lower():
                yield entry

    def source(self, entry: Entry) -> bytes:
        return (self.folder / f"{entry.id}.eml").read_bytes()

    def read(self, entry: Entry) -> Mail:
        return Mail(entry, BytesParser(policy=email.policy.default).parsebytes(self.source(entry)))

    def clear(self) -> None:
        for name in list(self.entries):
            (self.folder / f"{name}.eml").unlink(missing_ok=True)
            del self.entries[name]

    @staticmethod
    def _entry(file: Path) -> Entry:
        with file.open("rb") as opened:
            headers = BytesHeaderParser(policy=email.policy.default).parse(opened)
        stamp = datetime.strptime(file.stem.partition("-")[0], "%Y%m%dT%H%M%S%f").replace(tzinfo=UTC)
        recipients = tuple(str(value) for value in headers.get_all("Delivered-To", ()))
        sender, subject, message_id = (str(headers.get(name) or "") for name in ("From", "Subject", "Message-ID"))
        return Entry(file.stem, stamp, sender, recipients, subject, message_id)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message taken apart."""

    entry: Entry
    message: EmailMessage

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    @property
    def invitation(self) -> Invitation | None:
        """The calendar part, the one inside the alternatives first."""
        for part in self.message.walk():
            if part.get_content_type() == "text/calendar":
                return Invitation(_text(part), str(part.get_param("method") or ""))
        return None

    def _body(self, kind: str) -> str:
        part = self.message.get_body((kind,))
        return _text(part) if part is not None else ""

    def as_json(self) -> dict[str, Any]:
        invitation = self.invitation
        return {
            **summary(self.entry),
            "headers": [[name, str(value)] for name, value in self.message.items()],
            "text": self.text,
            "html": self.html,
            "calendar": invitation and {"method": invitation.method, "source": invitation.source, "entries": invitation.entries},
        }


@dataclass(frozen=True, slots=True)
class Invitation:
    """A calendar part as it came, and what a person reads in it."""

    source: str
    method: str

    @property
    def entries(self) -> list[dict[str, Any]]:
        """One per VEVENT; empty when the part cannot be read."""
        try:
            return [_readable(each) for each in Calendar.from_ical(self.source).walk("VEVENT") if isinstance(each, Event)]
        except ValueError:
            return []


def _readable(event: Event) -> dict[str, Any]:
    begin, finish = (event.decoded(name, None) for name in ("DTSTART", "DTEND"))
    said = {name.lower(): str(event.get(name) or "") for name in ("SUMMARY", "LOCATION", "STATUS", "UID", "DESCRIPTION")}
    return said | {
        "sequence": int(event.get("SEQUENCE", 0)),
        "start": begin.isoformat() if begin else None,
        "end": finish.isoformat() if finish else None,
        "when": _when(begin, finish),
    }


def _when(begin: date | datetime | None, finish: date | datetime | None) -> str:
    if not isinstance(begin, datetime):
        return in_french(begin) if begin else ""
    if not isinstance(finish, datetime):
        return in_french(begin)
    if begin.astimezone(PARIS).date() == finish.astimezone(PARIS).date():
        return f"{in_french(begin)} – {_hour(finish)}"
    return f"{in_french(begin)} – {in_french(finish)}"


def in_french(moment: date | datetime) -> str:
    """`jeudi 14 janvier 2027 à 12 h 30`, in Paris."""
    local = moment.astimezone(PARIS) if isinstance(moment, datetime) else moment
    day = "1er" if local.day == 1 else str(local.day)
    told = f"{DAYS[local.weekday()]} {day} {MONTHS[local.month - 1]} {local.year}"
    return f"{told} à {_hour(local)}" if isinstance(local, datetime) else told


def in_short(moment: datetime) -> str:
    """`23 novembre, 1 h 32`, in Paris."""
    local = moment.astimezone(PARIS)
    return f"{local.day} {MONTHS[local.month - 1]}, {_hour(local)}"


def _hour(moment: datetime) -> str:
    local = moment.astimezone(PARIS)
    return f"{local.hour} h {local.minute:02d}" if local.minute else f"{local.hour} h"


def summary(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "received_at": entry.received_at.isoformat(),
        "sender": entry.sender,
        "recipients": list(entry.recipients),
        "subject": entry.subject,
        "message_id": entry.message_id,
    }


def _text(part: Message) -> str:
    """The text of a part; something readable of one whose charset or encoding is wrong."""
    raw = part.get_payload(decode=True)
    content = raw if isinstance(raw, bytes) else str(raw or "").encode(errors="replace")
    try:
        return content.decode(part.get_content_charset("utf-8"), errors="replace").replace("\r\n", "\n")
    except LookupError:
        return content.decode("utf-8", errors="replace")


def _one_line(text: str) -> str:
    return " ".join(text.split())

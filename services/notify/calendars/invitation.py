"""Calendar objects for a mail (iTIP, RFC 5546), one per entry.

Within an object "all components MUST have the same UID", and Outlook reads only the first VEVENT of a mail's calendar part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vUri

from services.notify.calendars.entries import Entry
from shared.calendars import PRODUCT
from shared.zones import timezone

Method = Literal["REQUEST", "CANCEL"]


@dataclass(frozen=True, slots=True)
class Matter:
    """What the entries of a mail have in common."""

    title: str
    description: str
    url: str
    organizer: str
    attendee: str
    attendee_name: str
    zones: Sequence[str]
    """Zone of each period, in order."""

    def zone(self, entry: Entry) -> str:
        return self.zones[min(entry.period_index, len(self.zones) - 1)]  # a period that is gone: that of the last one left


@dataclass(frozen=True, slots=True)
class Invitation:
    method: Method
    content: bytes
    entry: Entry


def invitations(entries: Sequence[Entry], matter: Matter, now: datetime) -> list[Invitation]:
    """One calendar object per entry, those that changed first: many clients act on the first one only."""
    ordered = sorted(entries, key=lambda entry: (not entry.changed, entry.status == "cancelled", entry.period_index))
    return [Invitation(_method(entry), calendar([entry], matter, now), entry) for entry in ordered]


def _method(entry: Entry) -> Method:
    return "REQUEST" if entry.status == "confirmed" else "CANCEL"


def calendar(entries: Sequence[Entry], matter: Matter, now: datetime) -> bytes:
    """Entries of one status as a calendar file: all in one for a person to open, one alone for a mail client to act on."""
    file = Calendar()
    file.add("prodid", PRODUCT)
    file.add("version", "2.0")
    file.add("calscale", "GREGORIAN")
    file.add("method", _method(entries[0]))
    for zone in dict.fromkeys(matter.zone(entry) for entry in entries):
        inside = [entry for entry in entries if matter.zone(entry) == zone]
        file.add_component(timezone(zone, min(entry.starts_at for entry in inside), max(entry.ends_at for entry in inside)))
    for entry in entries:
        file.add_component(_event(entry, matter, now))
    return file.to_ical()


def _event(entry: Entry, matter: Matter, now: datetime) -> Event:
    zone = ZoneInfo(matter.zone(entry))
    event = Event()
    event.add("uid", entry.uid)
    event.add("sequence", entry.sequence)
    event.add("dtstamp", now.astimezone(UTC))  # real time, at every sending (K1)
    event.add("dtstart", entry.starts_at.astimezone(zone))
    event.add("dtend", entry.ends_at.astimezone(zone))
    event.add("summary", matter.title if entry.status == "confirmed" else f"Annulé : {matter.title}")
    event.add("status", entry.status.upper())
    event.add("location", entry.place)
    event.add("description", matter.description)
    event.add("url", vUri(matter.url))
    event.add("transp", "OPAQUE" if entry.status == "confirmed" else "TRANSPARENT")
    event.add("organizer", _organizer(matter))
    event.add("attendee", _attendee(matter))
    return event


def _organizer(matter: Matter) -> vCalAddress:
    organizer = vCalAddress(f"mailto:{matter.organizer}")
    organizer.params["CN"] = "Lab-O"
    return organizer


def _attendee(matter: Matter) -> vCalAddress:
    """One per message (K2). The seat was taken in the portal, so nothing is left to answer, and no answer is trusted (K5)."""
    attendee = vCalAddress(f"mailto:{matter.attendee}")
    attendee.params["CN"] = matter.attendee_name
    attendee.params["ROLE"] = "REQ-PARTICIPANT"
    attendee.params["PARTSTAT"] = "ACCEPTED"
    attendee.params["RSVP"] = "FALSE"
    return attendee

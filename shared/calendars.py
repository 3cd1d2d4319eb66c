"""Calendars that programs subscribe to: METHOD PUBLISH, nobody's name, and the same bytes as long as nothing has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vUri

from shared.contracts.catalog import Period
from shared.zones import timezone

PRODUCT = "-//Lab-O//FR"
REREAD = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Appointment:
    """One period of a session, as a calendar shows it."""

    uid: str
    sequence: int
    changed_at: datetime
    """DTSTAMP. Not the moment of reading, or no calendar would ever be the same twice."""
    period: Period
    title: str
    cancelled: bool
    place: str
    description: str
    url: str


def published(name: str, appointments: Sequence[Appointment], organizer: str | None = None) -> str:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", name)
    calendar.add("refresh-interval", REREAD)
    calendar.add("x-published-ttl", "PT1H")
    periods = [each.period for each in appointments]
    for zone in dict.fromkeys(period.zone for period in periods):
        inside = [period for period in periods if period.zone == zone]
        calendar.add_component(timezone(zone, min(each.starts_at for each in inside), max(each.ends_at for each in inside)))
    for each in appointments:
        calendar.add_component(_event(each, organizer))
    return calendar.to_ical().decode()


def _event(shown: Appointment, organizer: str | None) -> Event:
    zone, title = ZoneInfo(shown.period.zone), " ".join(shown.title.split())
    event = Event()
    event.add("uid", shown.uid)
    event.add("sequence", shown.sequence)
    event.add("dtstamp", shown.changed_at)
    event.add("dtstart", shown.period.starts_at.astimezone(zone))
    event.add("dtend", shown.period.ends_at.astimezone(zone))
    event.add("summary", f"Annulé : {title}" if shown.cancelled else title)
    event.add("status", "CANCELLED" if shown.cancelled else "CONFIRMED")
    event.add("location", shown.place)
    event.add("description", shown.description)
    event.add("url", vUri(shown.url))
    event.add("transp", "TRANSPARENT" if shown.cancelled else "OPAQUE")
    if organizer:
        address = vCalAddress(f"mailto:{organizer}")
        address.params["CN"] = "Lab-O"
        event.add("organizer", address)
    return event

"""A feed as iCalendar: METHOD PUBLISH, nobody's name, and the same bytes as long as nothing has changed (K4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event, vCalAddress, vUri

from services.notify.calendars.entries import uid_of
from services.notify.calendars.invitation import PRODUCT
from services.notify.calendars.zones import timezone
from services.notify.feeds.domain import Seat, Status
from services.notify.mail.domain import place
from services.notify.mail.letters import Links
from shared.contracts.catalog import Period

REREAD = timedelta(hours=1)


def published(seats: Sequence[tuple[Seat, Status]], agent_id: UUID, links: Links, organizer: str) -> str:
    calendar = Calendar()
    calendar.add("prodid", PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", "Mes séances Lab-O")
    calendar.add("refresh-interval", REREAD)
    calendar.add("x-published-ttl", "PT1H")
    periods = [period for seat, _ in seats for period in seat.session.periods]
    for zone in dict.fromkeys(period.zone for period in periods):
        inside = [period for period in periods if period.zone == zone]
        calendar.add_component(timezone(zone, min(each.starts_at for each in inside), max(each.ends_at for each in inside)))
    for seat, status in seats:
        for index, period in enumerate(seat.session.periods):
            calendar.add_component(_event(seat, status, index, period, uid_of(seat.session.session_id, index, agent_id), links, organizer))
    return calendar.to_ical().decode()


def _event(seat: Seat, status: Status, index: int, period: Period, uid: str, links: Links, organizer: str) -> Event:
    session, zone = seat.session, ZoneInfo(period.zone)
    title = " ".join(session.title.split())
    event = Event()
    event.add("uid", uid)
    event.add("sequence", seat.sequences[index] if index < len(seat.sequences) else 0)
    event.add("dtstamp", seat.heard_at)  # and not now: what has not changed keeps its ETag
    event.add("dtstart", period.starts_at.astimezone(zone))
    event.add("dtend", period.ends_at.astimezone(zone))
    event.add("summary", title if status == "CONFIRMED" else f"Annulé : {title}")
    event.add("status", status)
    event.add("location", place(session.venue))
    event.add("description", f"Votre inscription : {links.bookings}")
    event.add("url", vUri(links.session(session.session_id)))
    event.add("transp", "OPAQUE" if status == "CONFIRMED" else "TRANSPARENT")
    address = vCalAddress(f"mailto:{organizer}")
    address.params["CN"] = "Lab-O"
    event.add("organizer", address)
    return event

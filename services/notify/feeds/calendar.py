"""A personal feed as iCalendar (K4): the entries that mails have put into the agent's calendar, under the same UIDs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

from services.notify.calendars.entries import uid_of
from services.notify.feeds.domain import Seat, Status
from services.notify.mail.domain import place
from services.notify.mail.letters import Links
from shared.calendars import Appointment, published


def personal(seats: Sequence[tuple[Seat, Status]], agent_id: UUID, links: Links, organizer: str) -> str:
    shown = [each for seat, status in seats for each in _appointments(seat, status, agent_id, links)]
    return published("Mes séances Lab-O", shown, organizer)


def _appointments(seat: Seat, status: Status, agent_id: UUID, links: Links) -> Iterator[Appointment]:
    session = seat.session
    for index, period in enumerate(session.periods):
        yield Appointment(
            uid=uid_of(session.session_id, index, agent_id),
            sequence=seat.sequences[index] if index < len(seat.sequences) else 0,
            changed_at=seat.heard_at,
            period=period,
            title=session.title,
            cancelled=status == "CANCELLED",
            place=place(session.venue),
            description=f"Votre inscription : {links.bookings}",
            url=links.session(session.session_id),
        )

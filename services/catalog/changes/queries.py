"""Reads of a change: the seats that booking told last, and the preview that a person decides on."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.catalog.activities import store as activities
from services.catalog.activities.domain import Venue, VenueUnknown
from services.catalog.calendars.domain import DayCalendar
from services.catalog.changes.domain import Revision, fingerprint
from services.catalog.series.queries import Wish, clashes, day_warnings
from shared.contracts.catalog import SessionState
from shared.contracts.series import SeriesChange, SeriesPreview, SessionBefore, SessionChange

_SEATS = text("select session_id, held, waiting from session_seats where session_id = any(:session_ids)")


async def read_venues(connection: AsyncConnection, sessions: Iterable[SessionState], change: SeriesChange) -> dict[UUID, Venue]:
    """The venues that the rules need: those of the sessions, and the new one."""
    venues: dict[UUID, Venue] = {}
    needed = {session.venue.venue_id for session in sessions if session.venue}
    for venue_id in needed | {change.venue_id} if change.venue_id else needed:
        if (venue := await activities.venue_for_rules(connection, venue_id)) is None:
            raise VenueUnknown(f"no venue {venue_id}")
        venues[venue_id] = venue
    return venues


async def preview(connection: AsyncConnection, revision: Revision, change: SeriesChange, calendar: DayCalendar) -> SeriesPreview:
    facts = revision.facts.values()
    wishes = [Wish(each.session.activity_id, _venue_id(each.session), each.session.periods) for each in facts]
    met = await clashes(connection, wishes, besides=[each.session_id for each in facts])
    rows = (await connection.execute(_SEATS, {"session_ids": [each.session_id for each in facts]})).all()
    seats = {session_id: (held, waiting) for session_id, held, waiting in rows}
    changed: list[SessionChange] = []
    for (index, fact), others in zip(revision.facts.items(), met, strict=True):
        held, waiting = seats.get(fact.session_id, (0, 0))
        one = SessionChange(
            grid_index=index,
            session_id=fact.session_id,
            before=_side(revision.sessions[fact.session_id]),
            after=_side(fact.session),
            held=held,
            waiting=waiting,
            mails=held + waiting,
            warnings=day_warnings(fact.session.periods, calendar) + others,
        )
        changed.append(one)
    bookings, mails = sum(each.held for each in changed), sum(each.mails for each in changed)
    said = SeriesPreview(fingerprint="", changed=tuple(changed), kept=tuple(revision.kept), bookings=bookings, mails=mails)
    return said.model_copy(update={"fingerprint": fingerprint(revision.before, change, said)})


def _side(session: SessionState) -> SessionBefore:
    return SessionBefore(
        periods=session.periods, venue_id=_venue_id(session), capacity=session.capacity, remote_capacity=session.remote_capacity
    )


def _venue_id(session: SessionState) -> UUID | None:
    return session.venue.venue_id if session.venue else None

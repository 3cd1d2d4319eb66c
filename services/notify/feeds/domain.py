"""What a personal calendar feed shows (K4). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from shared.contracts.booking import BookingState
from shared.contracts.catalog import SessionState
from shared.errors import Refused

AT_MOST = 10
KEPT = timedelta(days=30)
"""How long a cancelled session stays, as cancelled: calendars that read seldom would otherwise keep it as it was."""
PAST = timedelta(days=180)


class FeedUnknown(Refused):
    code, status = "calendar_feed_unknown", 404
    title = "Cet abonnement calendrier n'existe pas ou n'existe plus."


class TooManyFeeds(Refused):
    code = "calendar_feeds_too_many"
    title = "Vous avez déjà dix abonnements calendrier : supprimez-en un d'abord."


@dataclass(frozen=True, slots=True)
class Seat:
    """One booking of the feed's agent, with its session as it is now."""

    state: BookingState
    decided_at: datetime | None
    session: SessionState
    heard_at: datetime
    sequences: tuple[int, ...]
    """SEQUENCE of each period's entry, where a mail has carried one."""


Status = Literal["CONFIRMED", "CANCELLED"]
_GIVEN_UP = frozenset({BookingState.CANCELLED_BY_AGENT, BookingState.LATE_CANCELLED, BookingState.CANCELLED_BY_LAB})


def shown(seats: Sequence[Seat], now: datetime) -> list[tuple[Seat, Status]]:
    """One for each session, in order of their dates: the seat if there is one, otherwise that it was cancelled, for 30 days."""
    found: dict[object, tuple[Seat, Status]] = {}
    for seat in seats:
        status = _status(seat, now)
        known = found.get(seat.session.session_id)
        if status and (known is None or status == "CONFIRMED" or known[1] != "CONFIRMED"):
            found[seat.session.session_id] = seat, status
    return sorted(found.values(), key=lambda each: (each[0].session.starts_at, each[0].session.session_id))


def _status(seat: Seat, now: datetime) -> Status | None:
    if seat.session.ends_at < now - PAST:
        return None
    if seat.state is BookingState.CONFIRMED:
        return "CANCELLED" if seat.session.status == "cancelled" else "CONFIRMED"
    lately = seat.decided_at is not None and seat.decided_at > now - KEPT
    return "CANCELLED" if seat.state in _GIVEN_UP and lately else None

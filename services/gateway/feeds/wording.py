"""What feeds say of a session, in French. Nothing of its seats: they change too often for who reads once an hour."""

from __future__ import annotations

from datetime import UTC, datetime

from services.gateway.portal import wording
from services.gateway.programme.domain import ListedSession
from shared.contracts.catalog import DeliveryMode, SessionState


def instant(moment: datetime) -> str:
    """RFC 3339, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def title_of(listed: ListedSession) -> str:
    title = " ".join(listed.session.title.split())
    return f"Annulé : {title}" if listed.cancelled else title


def where(session: SessionState) -> str:
    place = session.venue.in_one_line if session.venue else "À distance"
    return f"{place}, et à distance" if session.delivery_mode is DeliveryMode.HYBRID else place


def when_and_where(session: SessionState) -> str:
    return " ; ".join(wording.period(each) for each in session.periods) + f". {where(session)}."


def text_of(listed: ListedSession) -> str:
    session = listed.session
    cancelled = f"Cette séance est annulée : {session.cancellation_reason}" if listed.cancelled else ""
    return "\n\n".join(each for each in (cancelled, when_and_where(session), session.summary, listed.description) if each)

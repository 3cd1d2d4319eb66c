"""Mails that are told together: those whose reader wants it so, and those that would be too many in an hour. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.notify.mail.domain import MailKind

PARIS = ZoneInfo("Europe/Paris")
NINE = time(9)

MAY_WAIT = frozenset({MailKind.WAITLIST_JOINED, MailKind.REMINDER, MailKind.JOINING_INSTRUCTIONS})
"""Kinds that are gathered when their reader has had too many: nothing urgent, no cancellation, and nothing that changes a calendar, since
mail programs act on one calendar part in a mail."""


def next_morning(now: datetime) -> datetime:
    """The next 9 h on the clocks of Paris: when those who want one mail a day get it."""
    local = now.astimezone(PARIS)
    today = datetime.combine(local.date(), NINE, PARIS)
    return today if today > local else datetime.combine(local.date() + timedelta(days=1), NINE, PARIS)


def next_hour(now: datetime) -> datetime:
    """The next full hour: when what was too much for this one is told."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)

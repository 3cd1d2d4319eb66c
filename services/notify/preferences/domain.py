"""Which mails an agent has a choice about. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from services.notify.mail.domain import MailKind
from shared.contracts.preferences import Preferences, Topic

TOPICS: Mapping[MailKind, Topic] = {
    MailKind.REMINDER: Topic.REMINDERS,
    MailKind.JOINING_INSTRUCTIONS: Topic.REMINDERS,
    MailKind.WAITLIST_JOINED: Topic.WAITLIST,
    MailKind.NEWS: Topic.NEWS,
    MailKind.FEEDBACK_HOT: Topic.SURVEYS,
    MailKind.FEEDBACK_COLD: Topic.SURVEYS,
}
"""Every other mail is about the reader's own seat or project: it is part of the service and cannot be switched off."""


def wish(kind: MailKind, preferences: Preferences) -> Literal["immediate", "digest", "none"]:
    """How its reader wants a mail of this kind. News are a digest already."""
    match TOPICS.get(kind):
        case Topic.REMINDERS:
            return preferences.reminders
        case Topic.WAITLIST:
            return preferences.waitlist
        case Topic.SURVEYS:
            return preferences.surveys
        case Topic.NEWS:
            return "none" if preferences.news == "none" else "immediate"
        case None:
            return "immediate"

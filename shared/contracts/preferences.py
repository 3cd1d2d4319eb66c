"""What an agent wants to be written to about, kept by notify under an opaque id."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.messages import Message, Request
from shared.contracts.quotas import Department


class Topic(StrEnum):
    """What an agent may choose about. Mails about one's own seat or project are part of the service, and cannot be switched off."""

    REMINDERS = "reminders"
    """Reminders and joining instructions."""
    WAITLIST = "waitlist"
    """That one has joined a queue, and at which rank; never the offer of a seat, which has a deadline."""
    NEWS = "news"
    """New sessions of the week."""
    SURVEYS = "surveys"
    """What one thinks of a session that one came to."""


Theme = Annotated[str, Field(min_length=1, max_length=100)]


class Preferences(Message):
    """Choices of one agent; who never chose has the defaults."""

    agent_id: UUID
    version: int = 0
    bookings: Literal["immediate"] = "immediate"
    projects: Literal["immediate"] = "immediate"
    reminders: Literal["immediate", "none"] = "immediate"
    waitlist: Literal["immediate", "digest", "none"] = "immediate"
    """`digest`: gathered into one mail a day."""
    news: Literal["digest", "none"] = "none"
    """`digest`: on Monday at 9 h in Paris, when there is something new."""
    surveys: Literal["immediate", "none"] = "immediate"
    themes: tuple[str, ...] = ()
    """Themes of the news; all when empty."""
    departments: tuple[str, ...] = ()
    """Départements of the news; all when empty. What takes place at a distance is everywhere."""


class GetPreferences(Request[Preferences]):
    """The choices of an agent. Refuses `not_allowed` (another agent's)."""

    subject: ClassVar[str] = "rpc.notify.get_preferences.v1"
    agent_id: UUID


class Choices(Message):
    """What is left out stays as it is."""

    reminders: Literal["immediate", "none"] | None = None
    waitlist: Literal["immediate", "digest", "none"] | None = None
    news: Literal["digest", "none"] | None = None
    surveys: Literal["immediate", "none"] | None = None
    themes: Annotated[tuple[Theme, ...], Field(max_length=30)] | None = None
    departments: Annotated[tuple[Department, ...], Field(max_length=110)] | None = None


class SetPreferences(Choices, Request[Preferences]):
    """Change some choices; what is left out stays. Refuses `not_allowed`, `version_conflict`."""

    subject: ClassVar[str] = "rpc.notify.set_preferences.v1"
    agent_id: UUID
    expected_version: int | None = None
    """When given and not the present version: refused."""

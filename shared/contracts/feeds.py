"""Personal calendar feeds: an address for each device, which shows its agent's own sessions and nobody else (K4)."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Acknowledged, Message, Request

Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of the secret in an address, in hexadecimal. The secret itself is shown once, by the gateway, and stored nowhere."""


class CalendarFeed(Message):
    feed_id: UUID
    label: str
    """The agent's own word for the device, such as « téléphone »."""
    created_at: AwareDatetime
    last_used_at: AwareDatetime | None = None
    """When a calendar last read it, to the hour; None when none ever did."""


class CalendarFeedList(Message):
    feeds: tuple[CalendarFeed, ...]


class ListCalendarFeeds(Request[CalendarFeedList]):
    """The feeds of one agent, oldest first. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.notify.list_calendar_feeds.v1"
    agent_id: UUID


class OpenCalendarFeed(Request[CalendarFeed]):
    """Open a feed. Refuses `not_allowed`, `calendar_feeds_too_many` (ten at most)."""

    subject: ClassVar[str] = "rpc.notify.open_calendar_feed.v1"
    agent_id: UUID
    label: Annotated[str, Field(min_length=1, max_length=60)]
    token_hash: Hash


class CloseCalendarFeed(Request[Acknowledged]):
    """End a feed: its address answers no more. Refuses `calendar_feed_unknown` (also when it is another agent's, or closed already)."""

    subject: ClassVar[str] = "rpc.notify.close_calendar_feed.v1"
    feed_id: UUID


class CalendarFeedContent(Message):
    etag: str
    """Changes when, and only when, the content does."""
    calendar: str = ""
    """iCalendar, METHOD PUBLISH; empty when the reader has this etag already."""


class ReadCalendarFeed(Request[CalendarFeedContent]):
    """What the calendar of a feed shows: sessions with a seat, and those cancelled in the last 30 days. Whoever knows the secret may.

    Refuses `calendar_feed_unknown`.
    """

    subject: ClassVar[str] = "rpc.notify.read_calendar_feed.v1"
    token_hash: Hash
    known_etags: Annotated[tuple[str, ...], Field(max_length=20)] = ()
    """Those that the reader has."""

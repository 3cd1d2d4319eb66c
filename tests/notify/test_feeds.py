"""Personal calendar feeds, read with vobject as another programme would (K4)."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import vobject

from services.notify.calendars.entries import uid_of
from services.notify.feeds import handlers
from services.notify.feeds.domain import KEPT, FeedUnknown, Seat, TooManyFeeds, shown
from shared.bus import Caller
from shared.contracts.booking import BookingState
from shared.contracts.feeds import (
    CalendarFeed,
    CalendarFeedContent,
    CloseCalendarFeed,
    ListCalendarFeeds,
    OpenCalendarFeed,
    ReadCalendarFeed,
)
from shared.errors import NotAllowed, Refused
from tests.notify.conftest import Office
from tests.notify.given import FRIDAY, IN_APRIL, THURSDAY, a_session, changed, rescheduled, scheduled, session_cancelled
from tests.notify.given import Seat as Booked
from tests.notify.test_reminders import hands_at, paris

GATEWAY = Caller("gateway")
FEED = "the secret of an address"


def the(agent_id: UUID) -> Caller:
    return Caller(str(agent_id), frozenset({"agent"}))


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


async def opened(office: Office, agent_id: UUID, secret: str = FEED, caller: Caller | None = None) -> CalendarFeed:
    async with office.database.begin() as tx:
        order = OpenCalendarFeed(agent_id=agent_id, label="téléphone", token_hash=hashed(secret))
        return await handlers.open_calendar_feed(order, caller or the(agent_id), tx)


async def closed(office: Office, feed_id: UUID, caller: Caller) -> None:
    async with office.database.begin() as tx:
        await handlers.close_calendar_feed(CloseCalendarFeed(feed_id=feed_id), caller, tx)


async def content(office: Office, secret: str = FEED, *etags: str) -> CalendarFeedContent:
    return await handlers.read_calendar_feed(ReadCalendarFeed(token_hash=hashed(secret), known_etags=etags), GATEWAY, office.database)


async def read(office: Office, secret: str = FEED) -> Any:
    calendar = vobject.readOne((await content(office, secret)).calendar)
    assert calendar.method.value == "PUBLISH"
    return calendar


# --- what is shown -------------------------------------------------------------------------------------------------------------------


def test_K4_what_was_cancelled_stays_thirty_days_and_a_queue_is_in_no_calendar() -> None:
    now = THURSDAY.starts_at - timedelta(days=3)

    def status(state: BookingState, decided: timedelta, **session: Any) -> str | None:
        seat = Seat(state, now - decided, a_session(**session), now, ())
        return next((each for _, each in shown([seat], now)), None)

    a_day = timedelta(days=1)
    assert status(BookingState.CONFIRMED, a_day) == "CONFIRMED"
    assert status(BookingState.CONFIRMED, a_day, status="cancelled") == "CANCELLED"
    for state in (BookingState.CANCELLED_BY_AGENT, BookingState.LATE_CANCELLED, BookingState.CANCELLED_BY_LAB):
        assert [status(state, KEPT - a_day), status(state, KEPT)] == ["CANCELLED", None]
    for state in (BookingState.WAITING, BookingState.LEFT, BookingState.CLOSED):
        assert status(state, a_day) is None


def test_K4_a_session_booked_again_is_shown_once_as_booked() -> None:
    session, now = a_session(), THURSDAY.starts_at - timedelta(days=3)
    gone, again = (Seat(state, now, session, now, ()) for state in (BookingState.CANCELLED_BY_AGENT, BookingState.CONFIRMED))

    for order in ([gone, again], [again, gone]):
        assert [status for _, status in shown(order, now)] == ["CONFIRMED"]


async def test_K4_a_feed_shows_its_agents_own_sessions_with_the_uid_and_sequence_of_the_mails(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    agent = post.an_agent(given_name="Garonne", usual_name="Aubépine")
    session, other = a_session(None, THURSDAY, IN_APRIL), a_session(title="Celle d'un autre")
    seat = Booked(session, agent)
    await post.publish(
        scheduled(session), scheduled(other), seat.confirmed(), Booked(other, uuid4()).confirmed(), Booked(other, agent).waits()
    )
    await post.mails(3)
    await opened(post, agent)
    moved = changed(session, periods=(FRIDAY, IN_APRIL))
    await post.publish(rescheduled(session, moved))
    await post.mails(4)

    calendar = await read(post)

    events = calendar.vevent_list
    assert [event.uid.value for event in events] == [uid_of(session.session_id, index, agent) for index in (0, 1)]
    assert [int(event.sequence.value) for event in events] == [1, 0]
    assert [event.dtstart.value for event in events] == [FRIDAY.starts_at, IN_APRIL.starts_at]
    assert [event.status.value for event in events] == ["CONFIRMED", "CONFIRMED"]
    assert [event.contents.get("attendee") for event in events] == [None, None]
    assert [event.contents.get("rrule") for event in events] == [None, None]
    text = (await content(post)).calendar
    assert not any(name in text for name in ("Garonne", "Aubépine", "Celle d'un autre", "reponse/"))

    await post.publish(
        session_cancelled(moved), seat.cancelled(BookingState.CANCELLED_BY_LAB).model_copy(update={"decided_at": paris(2027, 3, 2, 9)})
    )
    await post.mails(5)
    assert [event.status.value for event in (await read(post)).vevent_list] == ["CANCELLED", "CANCELLED"]
    hands_at(2027, 4, 2, 9)
    assert "vevent" not in (await read(post)).contents


async def test_K4_the_etag_changes_when_the_content_does_and_not_otherwise(post: Office) -> None:
    agent, session = uuid4(), a_session()
    await post.publish(scheduled(session), Booked(session, agent).confirmed())
    await post.mails(1)
    await opened(post, agent)

    first, second = await content(post), await content(post)
    known = await content(post, FEED, "another", first.etag)
    await post.publish(rescheduled(session, changed(session, periods=(FRIDAY,))))
    await post.mails(2)
    third = await content(post, FEED, first.etag)

    assert first == second
    (heard,) = await post.rows("select heard_at from session")
    assert f"DTSTAMP:{heard.heard_at:%Y%m%dT%H%M%SZ}" in third.calendar, "of the session's last word, not of the reading"
    assert (known.etag, known.calendar) == (first.etag, "")
    assert third.etag != first.etag
    assert "BEGIN:VEVENT" in third.calendar


# --- who may -------------------------------------------------------------------------------------------------------------------------


async def test_K4_only_a_hash_is_kept_and_a_closed_feed_answers_no_more(office: Office) -> None:
    agent = uuid4()
    feed, other = await opened(office, agent, "one"), await opened(office, agent, "two")
    assert feed.last_used_at is None
    await content(office, "one")

    rows = await office.rows("select * from calendar_feed")
    assert not any(secret in str(row) for row in rows for secret in ("'one'", "'two'"))
    listed = await handlers.list_calendar_feeds(ListCalendarFeeds(agent_id=agent), the(agent), office.database)
    assert [each.feed_id for each in listed.feeds] == [feed.feed_id, other.feed_id]
    assert [each.last_used_at is not None for each in listed.feeds] == [True, False]

    with pytest.raises(FeedUnknown):
        await closed(office, feed.feed_id, the(uuid4()))
    await closed(office, feed.feed_id, the(agent))
    with pytest.raises(FeedUnknown):
        await closed(office, feed.feed_id, the(agent))
    with pytest.raises(FeedUnknown):
        await content(office, "one")
    assert (await content(office, "two")).calendar


async def test_a_feed_is_its_agents_own_and_ten_are_enough_even_when_asked_for_at_once(office: Office) -> None:
    agent = uuid4()
    with pytest.raises(NotAllowed):
        await opened(office, agent, caller=the(uuid4()))
    with pytest.raises(NotAllowed):
        await handlers.list_calendar_feeds(ListCalendarFeeds(agent_id=agent), the(uuid4()), office.database)

    answers = await asyncio.gather(*(opened(office, agent, f"secret {number}") for number in range(14)), return_exceptions=True)

    assert sum(isinstance(answer, TooManyFeeds) for answer in answers) == 4
    assert [answer for answer in answers if isinstance(answer, BaseException) and not isinstance(answer, Refused)] == []

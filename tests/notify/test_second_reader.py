"""The calendar parts as another reader understands them: vobject, which shares no line with the library that wrote them."""

from __future__ import annotations

import re
from datetime import UTC
from email.message import EmailMessage
from typing import Any, cast
from uuid import uuid4

import vobject

from services.notify.calendars.entries import uid_of
from shared.contracts.booking import BookingState
from tests.notify.conftest import Office
from tests.notify.given import FRIDAY, IN_APRIL, THURSDAY, Seat, a_session, changed, period, rescheduled, scheduled, session_cancelled


def read(message: EmailMessage) -> list[Any]:
    """Its calendar objects, each valid by the grammar of RFC 5545 as vobject knows it."""
    found: list[Any] = []
    for part in message.walk():
        if part.get_content_type() in ("text/calendar", "application/ics"):
            content = cast("bytes", part.get_payload(decode=True)).decode()
            assert not re.search("(?<!\r)\n", content), "lines end with CRLF"
            assert max(len(line.encode()) for line in content.split("\r\n")) <= 75
            calendar = vobject.readOne(content)
            assert calendar.validate(raiseException=True)
            found.append(calendar)
    return found


def first(message: EmailMessage) -> Any:
    return read(message)[0]


async def test_K1_moved_twice_and_cancelled_keeps_the_uid_and_raises_the_sequence(post: Office) -> None:
    session, agent = a_session(), uuid4()
    seat = Seat(session, agent)
    await post.publish(scheduled(session), seat.confirmed())
    await post.mails(1)
    for number, day in enumerate((FRIDAY, IN_APRIL), 2):
        before, session = session, changed(session, periods=(day,))
        await post.publish(rescheduled(before, session))
        await post.mails(number)
    await post.publish(session_cancelled(session), seat.cancelled(BookingState.CANCELLED_BY_LAB))

    mails = await post.mails(4)

    events = [first(mail).vevent for mail in mails]
    assert {event.uid.value for event in events} == {uid_of(session.session_id, 0, agent)}
    assert [int(event.sequence.value) for event in events] == [0, 1, 2, 3]
    assert [first(mail).method.value for mail in mails] == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
    assert [event.dtstart.value for event in events] == [each.starts_at for each in (THURSDAY, FRIDAY, IN_APRIL, IN_APRIL)]
    assert len({event.organizer.value for event in events}) == 1
    assert all(len(event.contents["attendee"]) == 1 for event in events)


async def test_K1_booking_again_after_a_cancellation_goes_on_with_uid_and_sequence(post: Office) -> None:
    session, agent = a_session(), uuid4()
    seat = Seat(session, agent)
    await post.publish(scheduled(session), seat.confirmed())
    await post.mails(1)
    await post.publish(seat.cancelled())
    await post.mails(2)
    await post.publish(Seat(session, agent).confirmed())

    events = [first(mail).vevent for mail in await post.mails(3)]

    assert len({event.uid.value for event in events}) == 1
    assert [int(event.sequence.value) for event in events] == [0, 1, 2]
    assert [event.status.value for event in events] == ["CONFIRMED", "CANCELLED", "CONFIRMED"]


async def test_T1_a_move_across_28_march_2027_keeps_the_wall_time_for_another_reader(post: Office) -> None:
    before, after = period("2027-03-25 12:30", 1), period("2027-04-08 12:30", 1)
    session = a_session(None, before)
    await post.publish(scheduled(session), Seat(session, uuid4()).confirmed())
    await post.mails(1)
    await post.publish(rescheduled(session, changed(session, periods=(after,))))

    starts = [first(mail).vevent.dtstart.value for mail in await post.mails(2)]

    assert [f"{start:%d %H:%M}" for start in starts] == ["25 12:30", "08 12:30"]
    assert [start.astimezone(UTC).hour for start in starts] == [11, 10]


async def test_T1_K3_each_period_is_an_object_of_its_own_without_a_rule_of_repetition(post: Office) -> None:
    session = a_session(None, THURSDAY, IN_APRIL)
    await post.publish(scheduled(session), Seat(session, uuid4()).confirmed())

    (mail,) = await post.mails(1)

    *parts, file = sorted(read(mail), key=lambda calendar: len(calendar.vevent_list))
    assert [len(each.vevent_list) for each in parts] == [1, 1]
    assert [each.dtstart.value for each in file.vevent_list] == [THURSDAY.starts_at, IN_APRIL.starts_at]
    assert all("rrule" not in each.contents for each in file.vevent_list)

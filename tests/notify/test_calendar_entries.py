"""The entries of an agent's calendar, over the life of bookings and sessions."""

from __future__ import annotations

from uuid import uuid4

from services.notify.calendars.entries import uid_of
from tests.notify.conftest import Office
from tests.notify.given import (
    FRIDAY,
    IN_APRIL,
    THURSDAY,
    Seat,
    a_session,
    changed,
    period,
    rescheduled,
    scheduled,
)
from tests.notify.sink import calendars, entries


async def test_K1_the_uid_lasts_for_life_and_the_sequence_only_rises(post: Office) -> None:
    session = a_session()
    agent = uuid4()
    first = Seat(session, agent)
    await post.publish(scheduled(session), first.confirmed())
    await post.mails(1)
    moved = changed(session, periods=(FRIDAY,))
    await post.publish(rescheduled(session, moved))
    await post.mails(2)
    fuller = changed(moved, capacity=20)  # neither time nor place: no mail, and no SEQUENCE
    await post.publish(rescheduled(moved, fuller))
    await post.publish(first.cancelled())
    await post.mails(3)

    await post.publish(Seat(session, agent).confirmed())

    mails = await post.mails(4)
    seen = [event for mail in mails for event in entries(mail)]
    assert {str(event["uid"]) for event in seen} == {uid_of(session.session_id, 0, agent)}
    assert [event["sequence"] for event in seen] == [0, 1, 2, 3]
    assert [calendars(mail)[0]["method"] for mail in mails] == ["REQUEST", "REQUEST", "CANCEL", "REQUEST"]
    assert [event["status"] for event in seen] == ["CONFIRMED", "CONFIRMED", "CANCELLED", "CONFIRMED"]
    assert [event.start for event in seen] == [THURSDAY.starts_at, FRIDAY.starts_at, FRIDAY.starts_at, FRIDAY.starts_at]
    stamps = [event.DTSTAMP for event in seen]
    assert stamps == sorted(stamps)


async def test_K1_two_agents_of_one_session_have_two_uids(post: Office) -> None:
    session = a_session()

    await post.publish(scheduled(session), Seat(session, uuid4()).confirmed(), Seat(session, uuid4()).confirmed())

    assert len({str(event["uid"]) for mail in await post.mails(2) for event in entries(mail)}) == 2


async def test_T1_each_period_is_an_entry_of_its_own_and_one_that_is_dropped_is_cancelled(post: Office) -> None:
    session = a_session(None, THURSDAY, IN_APRIL)
    agent = uuid4()
    await post.publish(scheduled(session), Seat(session, agent).confirmed())
    (confirmation,) = await post.mails(1)
    assert [event.start for event in entries(confirmation)] == [THURSDAY.starts_at, IN_APRIL.starts_at]
    assert all(len(calendar.events) == 1 for calendar in calendars(confirmation))  # RFC 5546: one UID in an object
    (sheet,) = calendars(confirmation, "application/ics")
    assert len(sheet.events) == 2

    await post.publish(rescheduled(session, changed(session, periods=(THURSDAY,))))

    move = (await post.mails(2))[1]
    told = {(str(event["uid"]), str(calendar["method"]), event["sequence"]) for calendar in calendars(move) for event in calendar.events}
    assert told == {(uid_of(session.session_id, 0, agent), "REQUEST", 0), (uid_of(session.session_id, 1, agent), "CANCEL", 1)}
    assert calendars(move)[0]["method"] == "CANCEL"  # what changed comes first


async def test_T1_a_move_across_the_change_of_clocks_keeps_the_wall_time(post: Office) -> None:
    before, after = period("2027-03-25 12:30", 1), period("2027-04-08 12:30", 1)
    session = a_session(None, before)
    await post.publish(scheduled(session), Seat(session, uuid4()).confirmed())
    await post.mails(1)

    await post.publish(rescheduled(session, changed(session, periods=(after,))))

    first, second = (entries(mail)[0] for mail in await post.mails(2))
    assert (first.start.strftime("%d %H:%M"), second.start.strftime("%d %H:%M")) == ("25 12:30", "08 12:30")
    assert (first.start, second.start) == (before.starts_at, after.starts_at)
    assert (before.starts_at.hour, after.starts_at.hour) == (11, 10)

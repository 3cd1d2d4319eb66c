"""Reminders on the wall clock, and what they tell of how to come (T5)."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.notify.mail.domain import Known, reason_not_to_remind
from services.notify.reminders import handlers
from services.notify.reminders.domain import PARIS, RULES, NotConfirmed, Reminder, Rule, SessionNotReady, look, on_the_clock, reminders_of
from shared import clock
from shared.bus import Caller
from shared.contracts.booking import BookingState
from shared.contracts.catalog import ActivityType, SessionState
from shared.contracts.reminders import GetJoiningInstructions, GiveJoiningInstructions
from shared.errors import NotAllowed
from tests.conftest import eventually
from tests.notify.conftest import Office
from tests.notify.given import FRIDAY, HALL, IN_APRIL, LIBRARY, THURSDAY, Seat, a_session, changed, period, rescheduled, scheduled
from tests.notify.given import session_cancelled as cancelled_by_lab
from tests.notify.sink import body, entries

TWO_DAYS = Rule(kind="reminder", days=2, at=time(9))
NOON = datetime(2027, 3, 1, 11, tzinfo=UTC)


def paris(*moment: int) -> datetime:
    return datetime(*moment, tzinfo=PARIS)


def hands_at(*moment: int) -> None:
    clock.shift(paris(*moment) - datetime.now(UTC), "embedded")


# --- when ----------------------------------------------------------------------------------------------------------------------------


def test_T5_two_days_before_at_nine_is_nine_on_both_sides_of_the_change_of_clocks() -> None:
    monday_after = period("2027-03-29 14:00")  # summer time begins on Sunday 28 March

    due = on_the_clock(monday_after.starts_at, TWO_DAYS)

    assert due == paris(2027, 3, 27, 9)
    assert monday_after.starts_at - due == timedelta(hours=52)  # 53 on clocks, less the hour that was skipped
    assert monday_after.starts_at - timedelta(hours=48) != due


def test_T5_the_days_are_those_of_the_calendar_whatever_the_hour_of_the_session() -> None:
    for hour in ("00:30", "08:59", "12:30", "23:30"):
        assert on_the_clock(period(f"2027-03-18 {hour}").starts_at, TWO_DAYS) == paris(2027, 3, 16, 9)


@pytest.mark.parametrize(
    ("kind", "dues"),
    [
        (ActivityType.INNOVATION_THURSDAY, [("joining_instructions", paris(2027, 3, 17, 9))]),
        (ActivityType.TRAINING, [("joining_instructions", paris(2027, 3, 13, 9)), ("reminder", paris(2027, 3, 16, 9))]),
        (ActivityType.LABTOUR, [("joining_instructions", paris(2027, 3, 13, 9)), ("reminder", paris(2027, 3, 16, 9))]),
        (ActivityType.COACHING, []),
    ],
)
def test_T5_each_type_has_its_own_rules(kind: ActivityType, dues: list[tuple[str, datetime]]) -> None:
    assert [(each.kind, each.due_at) for each in reminders_of(a_session(activity_type=kind), RULES)] == dues


def test_T5_a_second_day_four_weeks_later_is_reminded_of_and_the_next_morning_is_not() -> None:
    session = a_session(None, THURSDAY, FRIDAY, IN_APRIL)

    found = reminders_of(session, {ActivityType.TRAINING: [TWO_DAYS]})

    assert [each.due_at for each in found] == [paris(2027, 3, 16, 9), paris(2027, 4, 13, 9)]


def test_T5_a_cancelled_session_has_no_reminder_and_none_is_due_after_its_start() -> None:
    same_evening = Rule(kind="reminder", days=0, at=time(18))

    assert reminders_of(a_session(status="cancelled"), RULES) == []
    assert reminders_of(a_session(), {ActivityType.TRAINING: [same_evening]}) == []


def test_T5_after_a_downtime_the_last_word_on_each_date_is_sent_and_what_is_too_late_is_counted() -> None:
    start, later = paris(2027, 3, 18, 14), paris(2027, 4, 15, 14)
    first, second = Reminder(paris(2027, 3, 13, 9), start, "joining_instructions"), Reminder(paris(2027, 3, 16, 9), start, "reminder")
    third = Reminder(paris(2027, 4, 13, 9), later, "reminder")
    every = [first, second, third]

    in_time = look(every, first.due_at, first.due_at)
    assert (in_time.to_send, in_time.started, in_time.overtaken, in_time.next_at) == ([first], 0, 0, second.due_at)
    a_day_late = look(every, first.due_at, paris(2027, 3, 17, 10))
    assert (a_day_late.to_send, a_day_late.started, a_day_late.overtaken, a_day_late.next_at) == ([second], 0, 1, third.due_at)
    too_late = look(every, first.due_at, start)
    assert (too_late.to_send, too_late.started, too_late.overtaken, too_late.next_at) == ([], 2, 0, third.due_at)
    much_too_late = look(every, first.due_at, paris(2027, 4, 14, 9))
    assert (much_too_late.to_send, much_too_late.started, much_too_late.next_at) == ([third], 2, None)


def test_T5_a_reminder_that_could_not_leave_in_time_is_dropped() -> None:
    session = a_session()
    known = Known(BookingState.CONFIRMED, session, told=1, reminded_of=session.starts_at)
    moved = Known(BookingState.CONFIRMED, changed(session, periods=(FRIDAY,)), told=1, reminded_of=session.starts_at)

    assert reason_not_to_remind(known, NOON) is None
    assert reason_not_to_remind(known, session.starts_at) == "the session has begun"
    assert reason_not_to_remind(moved, NOON) == "the session has moved"


# --- as it runs ----------------------------------------------------------------------------------------------------------------------


async def timers_of(office: Office) -> list[datetime]:
    return [row.due_at for row in await office.rows("select due_at from timer where kind = 'session_reminders' order by due_at")]


async def seats_taken(office: Office, session: SessionState, *agents: UUID) -> list[Seat]:
    """Confirmed on Monday 1 March, and told so."""
    before = len(office.sink.messages)
    seats = [Seat(session, agent) for agent in agents]
    await office.publish(scheduled(session), *(seat.confirmed() for seat in seats))
    await office.mails(before + len(seats))
    return seats


async def test_T5_everybody_with_a_seat_is_reminded_once_at_nine_and_nobody_else(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    session, coming, leaving, waiting = a_session(), uuid4(), uuid4(), uuid4()
    _, seat = await seats_taken(post, session, coming, leaving)
    await post.publish(seat.cancelled(), Seat(session, waiting).waits())
    await post.mails(4)
    assert await timers_of(post) == [paris(2027, 3, 13, 9)]

    hands_at(2027, 3, 13, 8, 59)
    await post.fire_timers()
    assert len(await post.mails(4)) == 4
    hands_at(2027, 3, 13, 9)
    await post.fire_timers()
    await post.fire_timers()

    *_, mail = await post.mails(5)
    assert mail["subject"] == "Pour venir : Pitcher en 5 minutes, jeudi 18 mars"
    assert mail["to"].addresses[0].addr_spec == post.contacts[coming].email
    assert entries(mail) == []  # neither a new entry nor a SEQUENCE
    assert await timers_of(post) == [paris(2027, 3, 16, 9)]
    hands_at(2027, 3, 16, 9)
    await post.fire_timers()
    assert (await post.mails(6))[-1]["subject"] == "Rappel : Pitcher en 5 minutes, jeudi 18 mars"
    assert await timers_of(post) == []


async def test_T5_a_seat_younger_than_twelve_hours_is_not_reminded_of(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    session = a_session()
    await seats_taken(post, session, uuid4())
    young, old = Seat(session, uuid4()).confirmed(), Seat(session, uuid4()).confirmed()
    decided = {"decided_at": paris(2027, 3, 12, 21, 1)}, {"decided_at": paris(2027, 3, 12, 21)}
    await post.publish(*(event.model_copy(update=each) for event, each in zip((young, old), decided, strict=True)))
    await post.mails(3)

    hands_at(2027, 3, 13, 9)
    await post.fire_timers()

    told = [mail["to"].addresses[0].addr_spec for mail in (await post.mails(5))[3:]]
    assert post.contacts[old.agent_id].email in told
    assert post.contacts[young.agent_id].email not in told


async def test_T5_a_move_sets_reminders_anew_and_a_cancellation_ends_them(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    session = a_session()
    await seats_taken(post, session, uuid4())

    moved = changed(session, periods=(IN_APRIL,))
    await post.publish(rescheduled(session, moved))
    await post.mails(2)
    assert await timers_of(post) == [paris(2027, 4, 10, 9)]
    hands_at(2027, 3, 13, 10)
    await post.fire_timers()
    await post.mails(2)

    await post.publish(cancelled_by_lab(moved))
    await post.consumed()
    assert await timers_of(post) == []


async def test_T5_a_session_brought_forward_is_not_reminded_of_late(post: Office) -> None:
    session = a_session()
    hands_at(2027, 3, 10, 12)
    await seats_taken(post, session, uuid4())

    await post.publish(rescheduled(session, changed(session, periods=(period("2027-03-12 14:00"),))))
    await post.mails(2)
    await post.fire_timers()

    assert await timers_of(post) == []
    await post.mails(2)


async def test_T5_after_a_downtime_a_reminder_of_what_has_begun_is_dropped_and_counted(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    await seats_taken(post, a_session(), uuid4())
    counted = handlers.DROPPED.labels("started")._value.get()

    hands_at(2027, 3, 18, 14)
    await post.fire_timers()

    await post.mails(1)
    assert handlers.DROPPED.labels("started")._value.get() == counted + 2


async def test_M5_a_reminder_that_fires_twice_writes_once(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    session = a_session()
    await seats_taken(post, session, uuid4())
    hands_at(2027, 3, 13, 9)
    await post.fire_timers()
    async with post.database.begin() as tx:
        await handlers.set_timer(
            tx, f"reminders/{session.session_id}", paris(2027, 3, 13, 9), handlers.KIND, {"session_id": session.session_id}
        )

    await post.fire_timers()

    await post.mails(2)


async def test_E3_a_reminder_that_leaves_before_the_mail_of_a_move_does_not_stand_for_it(office: Office) -> None:
    office.listen()
    office.send(move_delay=3600)
    hands_at(2027, 3, 1, 12)
    session = a_session()
    await office.publish(scheduled(session), Seat(session, uuid4()).confirmed())
    await office.mails(1)
    await office.publish(rescheduled(session, changed(session, venue=LIBRARY)))
    await office.consumed()
    hands_at(2027, 3, 13, 9)
    await office.fire_timers()
    await eventually(lambda: len(office.sink.messages) == 2)
    assert "Médiathèque" in body(office.sink.messages[1])

    office.send(move_delay=0)

    move = (await office.mails(3))[-1]
    assert move["subject"].startswith("Séance modifiée")
    assert entries(move)[0]["sequence"] == 1


# --- how to come ---------------------------------------------------------------------------------------------------------------------

LAB = Caller("operator", frozenset({"lab_team"}))


async def give(office: Office, session_id: UUID, caller: Caller = LAB, **said: Any) -> int:
    order = GiveJoiningInstructions.model_validate({"session_id": session_id} | said)
    async with office.database.begin() as tx:
        return (await handlers.give_joining_instructions(order, caller, tx)).version


async def test_joining_instructions_tell_who_has_a_seat_how_to_come_and_follow_the_venue(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    session = a_session()
    await seats_taken(post, session, uuid4())
    said: dict[str, Any] = {"bring": "un ordinateur", "access": "Sonner à « Atelier ».", "video_url": "https://visio.exemple.invalid/salle"}
    assert [await give(post, session.session_id, **said) for _ in range(2)] == [1, 2]

    hands_at(2027, 3, 13, 9)
    await post.fire_timers()

    first = (await post.mails(2))[-1]
    for kind in ("plain", "html"):
        text = body(first, kind)
        for words in (HALL.name, HALL.public_transport, *said.values()):
            assert words in text, (kind, words)

    await post.publish(rescheduled(session, changed(session, venue=LIBRARY)))
    await post.mails(3)
    hands_at(2027, 3, 16, 9)
    await post.fire_timers()

    second = body((await post.mails(4))[-1])
    assert LIBRARY.name in second
    assert "un ordinateur" in second
    assert HALL.name not in second
    assert "Sonner" not in second, "how to get in was said of another place"


async def test_the_video_link_is_for_those_whose_seat_is_confirmed(post: Office) -> None:
    session = a_session(venue=None)
    seated, waiting = uuid4(), uuid4()
    await post.publish(scheduled(session))
    await post.consumed()
    link = "https://visio.exemple.invalid/salle"
    await give(post, session.session_id, video_url=link)
    await post.publish(Seat(session, seated).confirmed(), Seat(session, waiting).waits())

    texts = {mail["to"].addresses[0].addr_spec: body(mail) + body(mail, "html") for mail in await post.mails(2)}

    assert link in texts[post.contacts[seated].email]
    assert link not in texts[post.contacts[waiting].email]

    async def seen_by(caller: Caller) -> str | None:
        found = await handlers.get_joining_instructions(GetJoiningInstructions(session_id=session.session_id), caller, post.database)
        return found.video_url

    assert [await seen_by(LAB), await seen_by(Caller(str(seated), frozenset({"agent"})))] == [link, link]
    for stranger in (str(waiting), str(uuid4()), "projects"):
        with pytest.raises(NotConfirmed):
            await seen_by(Caller(stranger, frozenset({"agent"})))


async def test_E1_nothing_is_said_of_a_session_that_is_not_known_and_only_by_the_lab(post: Office) -> None:
    with pytest.raises(SessionNotReady):
        await give(post, uuid4())
    with pytest.raises(NotAllowed):
        await give(post, uuid4(), Caller(str(uuid4()), frozenset({"agent"})))

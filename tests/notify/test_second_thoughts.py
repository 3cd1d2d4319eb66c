"""Facts that contradict each other before the mail has left: only the last word is sent."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from services.notify.mail import handlers
from shared.consumers import Received
from shared.contracts.messages import Envelope, Event
from shared.inbox import Delivery
from tests.notify.conftest import Office
from tests.notify.given import (
    FRIDAY,
    IN_APRIL,
    Seat,
    a_session,
    changed,
    on_the_wire,
    rescheduled,
    scheduled,
)
from tests.notify.sink import body, entries


async def test_E3_a_confirmation_waits_and_is_dropped_when_the_booking_is_cancelled_meanwhile(office: Office) -> None:
    office.listen()
    office.send(confirmation_delay=0.6)
    session = a_session()
    seat, other = Seat(session, uuid4()), Seat(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed(), other.confirmed())
    await office.consumed()
    assert office.sink.messages == []

    await office.publish(seat.cancelled())

    mails = await office.mails(2)
    assert sorted(mail["subject"].split(" :")[0] for mail in mails) == ["Annulation enregistrée", "Inscription confirmée"]
    assert sorted(await office.states()) == [("booking_cancelled", "sent"), ("booking_confirmed", "dropped"), ("booking_confirmed", "sent")]


async def test_E3_two_moves_in_a_row_are_one_mail_from_the_first_before_to_the_last_after(office: Office) -> None:
    office.listen()
    office.send(move_delay=0.8)
    session = a_session()
    await office.publish(scheduled(session), Seat(session, uuid4()).confirmed())
    await office.mails(1)
    once = changed(session, periods=(FRIDAY,))
    twice = changed(once, periods=(IN_APRIL,))

    await office.publish(rescheduled(session, once), rescheduled(once, twice))

    _, move = await office.mails(2)
    assert "Avant : jeudi 18 mars 2027" in body(move)
    assert "Désormais : jeudi 15 avril 2027" in body(move)
    assert [(event["sequence"], event.start) for event in entries(move)] == [(1, IN_APRIL.starts_at)]
    assert {state for kind, state in await office.states() if kind == "session_moved"} == {"sent", "dropped"}


async def test_E3_a_session_that_comes_back_to_where_it_was_is_not_worth_a_mail(office: Office) -> None:
    office.listen()
    office.send(move_delay=0.5)
    session = a_session()
    await office.publish(scheduled(session), Seat(session, uuid4()).confirmed())
    await office.mails(1)
    away = changed(session, periods=(FRIDAY,))

    await office.publish(rescheduled(session, away), rescheduled(away, changed(away, periods=session.periods)))

    await office.consumed()
    await office.mails(1)
    assert [state for kind, state in await office.states() if kind == "session_moved"] == ["dropped", "dropped"]


async def test_E3_a_confirmation_that_waited_tells_of_the_move_and_no_second_mail_does(office: Office) -> None:
    office.listen()
    office.send(confirmation_delay=0.5, move_delay=0.8)
    session = a_session()
    await office.publish(scheduled(session), Seat(session, uuid4()).confirmed())
    await office.consumed()

    await office.publish(rescheduled(session, changed(session, periods=(FRIDAY,))))

    (mail,) = await office.mails(1)
    assert "vendredi 19 mars 2027 de 9 h" in body(mail)
    assert [(event["sequence"], event.start) for event in entries(mail)] == [(0, FRIDAY.starts_at)]


async def test_E4_an_older_version_that_comes_late_is_ignored_calendars_included(post: Office) -> None:
    first = a_session()
    second = changed(first, periods=(FRIDAY,))
    third = changed(second, periods=(IN_APRIL,))
    await post.publish(scheduled(first), Seat(first, uuid4()).confirmed())
    await post.mails(1)

    await post.publish(rescheduled(second, third))
    await post.consumed()
    await post.publish(rescheduled(first, second))

    _, move = await post.mails(2)
    assert "Désormais : jeudi 15 avril 2027" in body(move)
    ((version,),) = await post.rows("select version from session")
    assert version == 3
    ((starts_at, sequence),) = await post.rows("select starts_at, sequence from calendar_entry")
    assert (starts_at, sequence) == (IN_APRIL.starts_at, 1)


async def test_P6_an_older_booking_version_that_comes_late_changes_nothing(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    confirmation, cancellation = seat.confirmed(), seat.cancelled()
    await post.publish(scheduled(session), cancellation)
    await post.mails(1)

    await post.publish(confirmation)

    await post.consumed()
    await post.mails(1)
    assert await post.states() == [("booking_cancelled", "sent"), ("booking_confirmed", "dropped")]


def received(event: Event) -> Received[Any]:
    subject, payload, headers = on_the_wire(event)
    envelope, _ = Envelope.read(headers, payload)
    return Received(event, envelope, Delivery(event.stream(), 1, subject, headers, payload))


@pytest.mark.parametrize("first", ["booking", "move"])
async def test_M1_a_seat_taken_while_its_session_moves_hears_of_the_move(office: Office, first: str) -> None:
    session = a_session()
    await _apply(office, handlers.follow_session, received(scheduled(session)))
    confirmation = received(Seat(session, office.an_agent()).confirmed())
    move = received(rescheduled(session, changed(session, periods=(FRIDAY,))))
    steps: list[tuple[Any, Any]] = [(handlers.follow_bookings, [confirmation]), (handlers.follow_session, move)]
    (one, its), (other, others) = steps if first == "booking" else steps[::-1]

    async with office.database.begin() as tx:
        await one(its, tx)
        waiting = asyncio.create_task(_apply(office, other, others))
        await asyncio.sleep(0.3)
        assert not waiting.done()
    await waiting
    office.send()

    (mail,) = await office.mails(1)
    assert "vendredi 19 mars 2027" in body(mail)


async def _apply(office: Office, handler: Any, what: Any) -> None:
    async with office.database.begin() as tx:
        await handler(what, tx)

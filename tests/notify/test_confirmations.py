"""What is asked of who has two strikes, by mail, three days before a full session (N3)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from shared.contracts.approval import BookingReleased
from shared.contracts.booking import BookingState, Pending, PendingKind, PendingState
from shared.contracts.moves import BookingReconfirmed
from shared.contracts.strikes import BookingConfirmationRequested
from shared.links import Link, Purpose
from tests.notify.conftest import Office
from tests.notify.given import Seat, a_session, scheduled
from tests.notify.sink import body, calendars
from tests.notify.test_moves import links_in

DEADLINE = datetime(2027, 3, 4, 8, tzinfo=UTC)


class Booked(Seat):
    def asked(self) -> BookingConfirmationRequested:
        return BookingConfirmationRequested(**self._next(BookingState.CONFIRMED), pending=_question(PendingState.OPEN))

    def reconfirmed(self) -> BookingReconfirmed:
        return BookingReconfirmed(**self._next(BookingState.CONFIRMED), pending=_question(PendingState.GRANTED))

    def released(self) -> BookingReleased:
        said: dict[str, Any] = {"pending": _question(PendingState.EXPIRED), "reason": "vous n'avez pas confirmé votre venue"}
        return BookingReleased(**self._next(BookingState.CANCELLED_BY_LAB), **said)


def _question(state: PendingState) -> Pending:
    asked_at = datetime(2027, 3, 1, 8, tzinfo=UTC)
    return Pending(kind=PendingKind.TO_CONFIRM, state=state, asked_at=asked_at, deadline=DEADLINE)


async def given_a_seat(office: Office) -> Booked:
    """Told of it already."""
    session = a_session()
    seat = Booked(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed())
    await office.consumed()
    office.send()
    await office.mails(1)
    return seat


async def test_N3_a_mail_asks_says_why_and_carries_both_answers(office: Office) -> None:
    office.listen()
    seat = await given_a_seat(office)

    await office.publish(seat.asked())

    mail = (await office.mails(2))[1]
    assert mail["subject"].startswith("Venez-vous ? Réponse avant le jeudi 4 mars 2027 à 9 h")
    for kind in ("plain", "html"):
        text = body(mail, kind).replace("&#39;", "'")
        assert "Sans réponse de votre part, la place ira à un autre agent" in text
        assert "votre hiérarchie n'en est pas informée" in text
        assert links_in(office, text) == [
            Link(purpose, seat.booking_id, seat.agent_id, DEADLINE) for purpose in (Purpose.CONFIRM_BOOKING, Purpose.GIVE_UP_SEAT)
        ]
    assert calendars(mail) == [], "the appointment is what it was"


async def test_N3_a_seat_that_was_not_answered_for_leaves_the_calendar(office: Office) -> None:
    office.listen()
    seat = await given_a_seat(office)
    await office.publish(seat.asked())
    await office.mails(2)

    await office.publish(seat.released())

    mail = (await office.mails(3))[2]
    assert "votre place va à un autre agent" in body(mail)
    assert [each["method"] for each in calendars(mail)] == ["CANCEL"]


async def test_N3_who_answered_before_the_mail_left_is_not_asked(office: Office) -> None:
    office.listen()
    session = a_session()
    seat = Booked(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed(), seat.asked(), seat.reconfirmed())
    await office.consumed()
    office.send()

    await office.quiet()

    assert ("seat_to_confirm", "dropped") in await office.states()

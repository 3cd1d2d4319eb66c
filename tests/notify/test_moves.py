"""What is said of a move: one mail that asks, or tells, each agent; and the report of who was told what and when (M1, M4, M5, W7, E3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.notify.mail import handlers
from shared.bus import Caller
from shared.contracts.approval import BookingReleased
from shared.contracts.booking import BookingState, Pending, PendingKind, PendingState
from shared.contracts.moves import BookingReconfirmationRequested, BookingReconfirmed
from shared.contracts.notify import GetSessionReport, SessionReport
from shared.errors import NotAllowed
from shared.links import Link, Purpose, read_link
from tests.conftest import eventually
from tests.notify.conftest import Office
from tests.notify.given import IN_APRIL, Seat, a_session, changed, period, rescheduled, scheduled, session_cancelled
from tests.notify.sink import body, calendars, entries

DEADLINE = datetime(2027, 3, 4, 8, tzinfo=UTC)
OPERATOR = Caller("operator", frozenset({"operator"}))


class Booked(Seat):
    def asked(self, *, day_changed: bool = True, urgent: bool = False) -> BookingReconfirmationRequested:
        keeps = urgent or not day_changed
        said: dict[str, Any] = {"day_changed": day_changed, "urgent": urgent, "reason": "rang 1, place libérée le 1er mars 2027 à 9 h"}
        return BookingReconfirmationRequested(**self._next(BookingState.CONFIRMED), pending=_question(keeps=keeps), **said)

    def reconfirmed(self) -> BookingReconfirmed:
        return BookingReconfirmed(**self._next(BookingState.CONFIRMED), pending=_question(PendingState.GRANTED))

    def released(self) -> BookingReleased:
        said: dict[str, Any] = {"pending": _question(PendingState.EXPIRED), "reason": "la séance a été déplacée"}
        return BookingReleased(**self._next(BookingState.CANCELLED_BY_LAB), **said)


def _question(state: PendingState = PendingState.OPEN, *, keeps: bool = False) -> Pending:
    asked_at = datetime(2027, 3, 1, 8, tzinfo=UTC)
    return Pending(kind=PendingKind.TO_RECONFIRM, state=state, asked_at=asked_at, deadline=DEADLINE, silence_keeps=keeps)


def links_in(office: Office, text: str) -> list[Link | None]:
    found = re.findall(r"https://lab-o\.exemple\.invalid/reponse/([\w-]+)", text)
    return [read_link(token, office.settings.link_secret) for token in found]


async def given_a_seat(office: Office) -> tuple[Any, Booked]:
    """Told of it already."""
    session = a_session()
    seat = Booked(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed())
    await office.consumed()
    office.send()
    await office.mails(1)
    return session, seat


@pytest.mark.parametrize("booking_first", [False, True])
async def test_M1_one_mail_tells_of_the_move_and_asks_whichever_is_heard_first(office: Office, booking_first: bool) -> None:
    office.listen()
    session = a_session()
    seat = Booked(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed())
    await office.consumed()
    moved = rescheduled(session, changed(session, periods=(IN_APRIL,)), "salle inondée")
    for event in (seat.asked(), moved) if booking_first else (moved, seat.asked()):
        await office.publish(event)
        await office.consumed()
    office.send()

    await office.quiet()

    assert sorted(await office.states()) == [
        ("booking_confirmed", "sent"), ("seat_to_reconfirm", "sent"), ("session_moved", "dropped"),
    ]  # fmt: skip
    mail = next(each for each in office.sink.messages if "venez-vous toujours" in each["subject"])
    for kind in ("plain", "html"):
        text = body(mail, kind).replace("&#39;", "'")
        assert "avant le jeudi 4 mars 2027 à 9 h" in text
        assert "Motif : salle inondée" in text
        assert "Sans réponse de votre part, la place ira à un autre agent" in text
        assert "rang 1" not in text
        assert links_in(office, text) == [
            Link(purpose, seat.booking_id, seat.agent_id, DEADLINE) for purpose in (Purpose.CONFIRM_BOOKING, Purpose.GIVE_UP_SEAT)
        ]
    assert "Avant :" in body(mail)
    assert [event.start for event in entries(mail)] == [IN_APRIL.starts_at]


async def test_M1_the_same_day_says_that_silence_keeps_the_seat(office: Office) -> None:
    office.listen()
    session, seat = await given_a_seat(office)
    later = period("2027-03-18 17:00")

    await office.publish(seat.asked(day_changed=False), rescheduled(session, changed(session, periods=(later,))))
    await office.quiet()

    assert "Sans réponse de votre part, vous gardez votre place" in body(office.sink.messages[-1])


async def test_M1_what_is_urgent_says_so_and_does_not_wait_for_a_second_move(office: Office) -> None:
    office.listen()
    session = a_session()
    seat = Booked(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed(), seat.asked(day_changed=False, urgent=True))
    await office.publish(rescheduled(session, changed(session, periods=(period("2027-03-18 17:00"),))))
    await office.consumed()

    office.send(move_delay=3600)

    await eventually(lambda: len(office.sink.messages) == 2)
    (mail,) = [each for each in office.sink.messages if each["subject"].startswith("Urgent")]
    assert "elle a lieu dans moins de 24 heures. Votre place est conservée" in body(mail)


async def test_E3_of_two_moves_the_last_question_alone_is_asked_and_an_answer_ends_it(office: Office) -> None:
    office.listen()
    session = a_session()
    seat, quick = Booked(session, uuid4()), Booked(session, uuid4())
    await office.publish(scheduled(session), seat.confirmed(), quick.confirmed())
    await office.publish(seat.asked(), seat.asked(), quick.asked(), quick.reconfirmed())
    await office.consumed()

    office.send()

    await office.quiet()
    rows = await office.rows("select agent_id, state from mail where kind = 'seat_to_reconfirm' order by id")
    assert [row.state for row in rows if row.agent_id == seat.agent_id] == ["dropped", "sent"]
    assert [row.state for row in rows if row.agent_id == quick.agent_id] == ["dropped"]


async def test_M1_a_seat_that_was_not_answered_for_leaves_the_calendar(office: Office) -> None:
    office.listen()
    _, seat = await given_a_seat(office)
    await office.publish(seat.asked())
    await office.mails(2)

    await office.publish(seat.released())

    mail = (await office.mails(3))[2]
    assert mail["subject"].startswith("Votre place n'est plus gardée")
    assert "a été déplacée" in body(mail)
    assert [each["method"] for each in calendars(mail)] == ["CANCEL"]


async def test_W7_whoever_waits_is_told_and_may_leave_by_a_link(office: Office) -> None:
    office.listen()
    session = a_session()
    seat = Booked(session, uuid4())
    await office.publish(scheduled(session), seat.waits())
    office.send()
    await office.mails(1)
    await office.publish(rescheduled(session, changed(session, periods=(IN_APRIL,))))
    await office.mails(2)

    mail = next(each for each in office.sink.messages if "Séance modifiée" in each["subject"])
    text = body(mail)
    assert "Vous restez en liste d'attente, au même rang, sans avoir à répondre" in text
    assert links_in(office, text) == [Link(Purpose.LEAVE_QUEUE, seat.booking_id, seat.agent_id, IN_APRIL.starts_at)]


# --- the report -----------------------------------------------------------------------------------------------------------------------


async def report(office: Office, session_id: UUID, *, everything: bool = False) -> SessionReport:
    request = GetSessionReport(session_id=session_id, everything=everything)
    return await handlers.get_session_report(request, OPERATOR, office.database)


async def test_M5_the_report_says_who_was_told_what_and_a_replay_adds_nothing(office: Office) -> None:
    office.listen()
    session, seat = await given_a_seat(office)
    waiting = Booked(session, uuid4())
    await office.publish(waiting.waits())
    await office.mails(2)
    asked, moved = seat.asked(), rescheduled(session, changed(session, periods=(IN_APRIL,)))
    gone = session_cancelled(moved.session)
    ended = seat.cancelled(BookingState.CANCELLED_BY_LAB, "séance annulée"), waiting.left(BookingState.CLOSED, "séance annulée")
    await office.publish(asked, moved)
    await office.quiet()
    for _ in range(2):  # as a refill would say it again
        await office.publish(gone, *ended)
    await office.quiet()

    found = await report(office, session.session_id)

    assert sorted((told.recipient_id, told.kind, told.state) for told in found.told) == sorted(
        [
            (seat.agent_id, "seat_to_reconfirm", "sent"),
            (seat.agent_id, "session_moved", "dropped"),
            (seat.agent_id, "cancelled_by_lab", "sent"),
            (waiting.agent_id, "session_moved", "sent"),
            (waiting.agent_id, "waitlist_closed", "sent"),
        ]
    )
    assert all((told.sent_at is not None) == (told.state == "sent") and bool(told.why) == (told.state == "dropped") for told in found.told)
    everything = await report(office, session.session_id, everything=True)
    assert len(everything.told) == len(found.told) + 2
    with pytest.raises(NotAllowed):
        agent = Caller(str(seat.agent_id), frozenset({"agent"}))
        await handlers.get_session_report(GetSessionReport(session_id=session.session_id), agent, office.database)

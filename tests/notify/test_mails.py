"""From a fact on the stream to a mail in the box: who is told what, and who is told nothing."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.notify.calendars.entries import uid_of
from services.notify.mail import handlers
from shared.consumers import Received
from shared.contracts.booking import BookingState
from shared.contracts.messages import Envelope, Event
from shared.contracts.projects import (
    ApplicationDecided,
    ApplicationState,
    ApplicationSubmitted,
    EngagementClosed,
    EngagementStarted,
    EngagementState,
    Outcome,
)
from shared.inbox import Delivery
from shared.outbox import uuid7
from tests.conftest import eventually
from tests.notify.conftest import Office
from tests.notify.given import (
    FRIDAY,
    IN_APRIL,
    LIBRARY,
    THURSDAY,
    Seat,
    a_session,
    changed,
    on_the_wire,
    period,
    rescheduled,
    scheduled,
    session_cancelled,
)
from tests.notify.sink import body, calendars, entries


async def test_a_confirmation_says_what_when_and_where(post: Office) -> None:
    session = a_session()
    agent = post.an_agent(given_name="Adour", usual_name="Bouleau", email="adour.bouleau@exemple.invalid")

    await post.publish(scheduled(session), Seat(session, agent).confirmed())

    (mail,) = await post.mails(1)
    assert post.sink.recipients == ["adour.bouleau@exemple.invalid"]
    assert mail["subject"] == "Inscription confirmée : Pitcher en 5 minutes, jeudi 18 mars"
    for kind in ("plain", "html"):
        for words in (
            "Bonjour Adour Bouleau",
            "jeudi 18 mars 2027 de 14 h à 17 h 30",
            "Fablab de la Halle",
            "3 rue des Rails, Toulouse",
            "métro B, arrêt Canal",
            "pas accessible de plain-pied",
            "https://lab-o.exemple.invalid/mes-inscriptions",
        ):
            assert words in body(mail, kind).replace("&#39;", "'"), (kind, words)
    (event,) = entries(mail)
    assert event["uid"] == uid_of(session.session_id, 0, agent)
    assert event.start == THURSDAY.starts_at
    assert event["location"] == "Fablab de la Halle, 3 rue des Rails, Toulouse"


async def test_a_mail_waits_for_the_session_it_is_about(post: Office) -> None:
    session = a_session()
    await post.publish(Seat(session, uuid4()).confirmed())
    await post.consumed()
    await asyncio.sleep(0.3)
    assert post.sink.messages == []
    assert await post.states() == [("booking_confirmed", "new")]

    await post.publish(scheduled(session))

    await post.mails(1)


async def test_W1_a_place_in_the_queue_is_told_with_its_rank_and_enters_no_calendar(post: Office) -> None:
    session = a_session()

    await post.publish(scheduled(session), Seat(session, uuid4()).waits(rank=3))

    (mail,) = await post.mails(1)
    assert "rang 3" in mail["subject"]
    assert calendars(mail) == []


async def test_W5_a_promotion_gives_its_reason_and_enters_the_calendar(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())

    await post.publish(scheduled(session), seat.waits())
    await post.mails(1)
    await post.publish(seat.promoted("rang 1, place libérée le 12 mars 2027 à 18 h 30"))

    _, mail = await post.mails(2)
    assert "rang 1, place libérée le 12 mars 2027 à 18 h 30" in body(mail)
    assert [event["sequence"] for event in entries(mail)] == [0]


async def test_who_leaves_the_queue_gets_no_mail(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.waits())
    await post.mails(1)

    await post.publish(seat.left())

    await post.consumed()
    await post.mails(1)


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


async def test_M1_a_move_shows_before_and_after_to_seats_and_queue(post: Office) -> None:
    session = a_session()
    seated, waiting, gone = Seat(session, post.an_agent()), Seat(session, post.an_agent()), Seat(session, post.an_agent())
    await post.publish(scheduled(session), seated.confirmed(), waiting.waits(), gone.confirmed(), gone.cancelled())
    await post.quiet()
    told_before = len(post.sink.messages)

    await post.publish(rescheduled(session, changed(session, periods=(FRIDAY,), venue=LIBRARY), reason="travaux"))

    moves = (await post.mails(told_before + 2))[told_before:]
    for mail in moves:
        text = body(mail)
        assert "désormais vendredi 19 mars" in mail["subject"]
        assert "Avant : jeudi 18 mars 2027 de 14 h à 17 h 30 Fablab de la Halle" in text
        assert "Désormais : vendredi 19 mars 2027 de 9 h à 12 h 30 Où : Médiathèque, 12 place des Arts, Rodez" in text
        assert "travaux" in text
    with_calendar = [mail for mail in moves if calendars(mail)]
    assert len(with_calendar) == 1
    assert post.contacts[seated.agent_id].email in str(with_calendar[0]["to"])
    assert "Votre place est conservée" in body(with_calendar[0])


async def test_M5_the_same_fact_told_again_mails_nobody(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    confirmation, event_id = seat.confirmed(), uuid7()
    await post.publish(scheduled(session))
    await post.publish(confirmation, event_id=event_id)
    await post.mails(1)
    cancelled = session_cancelled(session)

    await post.publish(confirmation, event_id=event_id)  # redelivered
    await post.publish(confirmation)  # refilled after the stream's window, under whatever id
    await post.publish(cancelled, cancelled)

    await post.consumed()
    await post.mails(1)


async def test_E2_a_cancelled_session_is_one_message_with_an_apology(post: Office) -> None:
    session = a_session()
    seated, waiting = Seat(session, uuid4()), Seat(session, uuid4())
    await post.publish(scheduled(session), seated.confirmed(), waiting.waits())
    await post.mails(2)

    await post.publish(session_cancelled(session, "intervenant empêché"))
    await post.publish(seated.cancelled(BookingState.CANCELLED_BY_LAB), waiting.left(BookingState.CLOSED))

    to_seat, to_queue = sorted((await post.mails(4))[2:], key=lambda mail: "liste d'attente" in mail["subject"])
    assert to_seat["subject"] == "Séance annulée : Pitcher en 5 minutes, jeudi 18 mars"
    for mail in (to_seat, to_queue):
        assert "Nous sommes désolés" in body(mail)
        assert "intervenant empêché" in body(mail)
        assert "jeton" not in body(mail)  # not promised before it exists
    (calendar,) = calendars(to_seat)
    assert calendar["method"] == "CANCEL"
    assert calendars(to_queue) == []


async def test_E2_a_seat_taken_while_the_lab_cancels_gets_the_apology_and_no_confirmation(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), session_cancelled(session))
    await post.consumed()

    await post.publish(seat.confirmed())
    await post.consumed()
    await post.publish(seat.cancelled(BookingState.CANCELLED_BY_LAB))

    (mail,) = await post.mails(1)
    assert mail["subject"].startswith("Séance annulée")
    assert calendars(mail) == []  # nothing to take out of a calendar
    assert ("booking_confirmed", "dropped") in await post.states()


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


async def test_P4_no_table_holds_a_name_or_an_address(post: Office) -> None:
    session = a_session()
    agent = post.an_agent(given_name="Zéphyrine", usual_name="Quatremaille", email="zq@secret.invalid")
    bounced = post.an_agent(given_name="Zéphyrine", usual_name="Quatremaille", email="gone@secret.invalid")
    post.sink.refuse["gone@secret.invalid"] = "550 5.1.1 <gone@secret.invalid>: no mailbox gone@secret.invalid here"
    await post.publish(scheduled(session), Seat(session, agent).confirmed(), Seat(session, bounced).confirmed())
    await post.mails(1)

    tables = [row[0] for row in await post.rows("select table_name from information_schema.tables where table_schema = 'notify'")]
    assert {"mail", "booking", "session", "calendar_entry", "outbox", "inbox"} <= set(tables)
    for table in tables:
        for (line,) in await post.rows(f'select to_jsonb(t)::text from notify."{table}" t'):
            for secret in ("Zéphyrine", "Quatremaille", "secret.invalid"):
                assert secret not in line, table
    ((error,),) = await post.rows("select last_error from mail where state = 'bounced'")
    assert error.startswith("550 5.1.1")


async def test_E5_nobody_writes_to_an_agent_who_is_gone(post: Office) -> None:
    session = a_session()
    agent = uuid4()
    post.unknown.add(agent)

    await post.publish(scheduled(session), Seat(session, agent).confirmed())

    await eventually(lambda: _dropped(post))
    assert post.sink.messages == []


async def _dropped(post: Office) -> bool:
    return await post.states() == [("booking_confirmed", "dropped")]


# --- projects ------------------------------------------------------------------------------------------------------------------------


def an_application(agent: UUID, state: ApplicationState = ApplicationState.SUBMITTED) -> ApplicationSubmitted:
    return ApplicationSubmitted(version=1, application_id=uuid4(), project_lead_id=agent, state=state)


async def test_C4_an_application_is_acknowledged_and_its_decision_is_read_in_the_portal(post: Office) -> None:
    submitted = an_application(post.an_agent())
    await post.publish(submitted)
    decided: dict[str, Any] = {"version": 2, "application_id": submitted.application_id, "project_lead_id": submitted.project_lead_id}
    await post.publish(ApplicationDecided(**decided, state=ApplicationState.DECLINED))

    received, decision = sorted(await post.mails(2), key=lambda mail: "décision" in mail["subject"])
    assert received["subject"] == "Votre candidature est bien arrivée"
    assert decision["subject"] == "La décision sur votre candidature est rendue"
    assert "https://lab-o.exemple.invalid/mon-projet" in body(decision)
    assert calendars(decision) == []


async def test_C1_an_engagement_is_announced_to_lead_and_coach_each_in_their_words(post: Office) -> None:
    lead, coach = post.an_agent(), post.an_agent()
    engagement: dict[str, Any] = {
        "engagement_id": uuid4(),
        "application_id": uuid4(),
        "project_lead_id": lead,
        "coach_id": coach,
        "starts_on": date(2027, 4, 1),
        "planned_end_on": date(2027, 7, 1),
    }

    await post.publish(EngagementStarted(version=1, state=EngagementState.ACTIVE, **engagement))
    started = await post.mails(2)
    subjects = {str(mail["subject"]) for mail in started}
    assert subjects == {
        "Votre accompagnement commence le 1er avril 2027",
        "Un accompagnement vous est confié, à partir du 1er avril 2027",
    }

    closed = EngagementClosed(version=2, state=EngagementState.CLOSED, outcome=Outcome.ADOPTED, has_lessons_learned=True, **engagement)
    await post.publish(closed)
    for mail in (await post.mails(4))[2:]:
        assert "le projet est adopté" in body(mail)
        assert "retour d'expérience" in body(mail)


# --- facts that land at the same time ------------------------------------------------------------------------------------------------


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

"""From a fact on the stream to a mail in the box: who is told what, and who is told nothing."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from services.notify.calendars.entries import uid_of
from shared.contracts.booking import BookingState
from shared.contracts.projects import (
    ApplicationDecided,
    ApplicationState,
    ApplicationSubmitted,
    EngagementClosed,
    EngagementStarted,
    EngagementState,
    Outcome,
)
from shared.outbox import uuid7
from tests.conftest import eventually
from tests.notify.conftest import Office
from tests.notify.given import (
    FRIDAY,
    LIBRARY,
    THURSDAY,
    Seat,
    a_session,
    changed,
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

    reason = "séance annulée : intervenant empêché"  # as booking says it; it may be heard before catalog
    await post.publish(seated.cancelled(BookingState.CANCELLED_BY_LAB, reason), waiting.left(BookingState.CLOSED, reason))
    await post.publish(session_cancelled(session, "intervenant empêché"))

    to_seat, to_queue = sorted((await post.mails(4))[2:], key=lambda mail: "liste d'attente" in mail["subject"])
    assert to_seat["subject"] == "Séance annulée : Pitcher en 5 minutes, jeudi 18 mars"
    for mail in (to_seat, to_queue):
        assert "Nous sommes désolés" in body(mail)
        assert "Motif : intervenant empêché" in body(mail)
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

"""What agents are told of a seat that is offered, and the links by which they answer (W2, W3, W5, W7, K5)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.notify.settings import NotifySettings
from shared.contracts.booking import BookingState
from shared.links import Link, Purpose, read_link
from tests.notify.conftest import Office
from tests.notify.given import THURSDAY, Seat, a_session, scheduled, session_cancelled
from tests.notify.sink import body, calendars, entries
from tests.notify.test_reminders import hands_at

MONDAY_1130 = datetime(2027, 3, 15, 10, 30, tzinfo=UTC)


def links_in(text: str) -> list[str]:
    return re.findall(r"https://lab-o\.exemple\.invalid/reponse/([\w-]+)", text)


async def test_W2_an_offer_says_until_when_in_words_why_and_how_to_answer_without_a_sign_in(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.waits())
    await post.mails(1)

    await post.publish(seat.offered(MONDAY_1130))

    _, mail = await post.mails(2)
    assert mail["subject"].startswith("Une place vous est proposée, réponse avant le lundi 15 mars 2027 à 11 h 30")
    for kind in ("plain", "html"):
        text = body(mail, kind)
        assert "jusqu'au lundi 15 mars 2027 à 11 h 30" in text.replace("&#39;", "'")
        assert "rang 1, place libérée le 12 mars 2027 à 18 h 30" in text
        found = [read_link(token, post.settings.link_secret) for token in links_in(text)]
        assert found == [
            Link(purpose, seat.booking_id, seat.agent_id, MONDAY_1130) for purpose in (Purpose.ACCEPT_OFFER, Purpose.DECLINE_OFFER)
        ]
    assert calendars(mail) == []


async def test_an_accepted_offer_enters_the_calendar(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.waits(), seat.offered(MONDAY_1130), seat.accepted())

    await post.quiet()

    mail = post.sink.messages[-1]
    assert mail["subject"].startswith("Inscription confirmée")
    (event,) = entries(mail)
    assert (event["sequence"], event.start) == (0, THURSDAY.starts_at)


async def test_W3_an_expired_offer_is_told_with_the_way_back_and_a_declined_one_is_not(post: Office) -> None:
    session = a_session()
    late, declining = Seat(session, uuid4()), Seat(session, uuid4())
    await post.publish(scheduled(session))
    for seat in (late, declining):
        await post.publish(seat.waits(), seat.offered(MONDAY_1130))
    await post.quiet()
    before = len(post.sink.messages)

    await post.publish(late.expired(MONDAY_1130), declining.declined())

    (mail,) = (await post.mails(before + 1))[before:]
    assert mail["subject"].startswith("La place proposée n'est plus gardée")
    text = body(mail)
    assert "lundi 15 mars 2027 à 11 h 30" in text
    assert f"https://lab-o.exemple.invalid/seances/{session.session_id}" in text
    assert calendars(mail) == []


async def test_W2_a_promotion_can_be_given_back_by_a_link_until_the_session_starts(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.waits())
    await post.mails(1)

    await post.publish(seat.promoted())

    _, mail = await post.mails(2)
    (token,) = links_in(body(mail))
    assert read_link(token, post.settings.link_secret) == Link(Purpose.GIVE_BACK, seat.booking_id, seat.agent_id, THURSDAY.starts_at)


async def test_without_a_secret_no_link_is_made_and_the_mail_leads_to_the_portal(office: Office, notify_settings: NotifySettings) -> None:
    office.listen()
    office.send(link_secret=type(notify_settings.link_secret)(""))
    session = a_session()
    seat = Seat(session, uuid4())

    await office.publish(scheduled(session), seat.waits(), seat.offered(MONDAY_1130))
    await office.quiet()

    text = body(office.sink.messages[-1])
    assert links_in(text) == []
    assert "https://lab-o.exemple.invalid/mes-inscriptions" in text


@pytest.mark.parametrize("state", [BookingState.CANCELLED_BY_LAB, BookingState.CLOSED])
async def test_W7_a_cancellation_by_the_lab_says_until_when_one_comes_first(post: Office, state: BookingState) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.waits() if state is BookingState.CLOSED else seat.confirmed())
    await post.mails(1)
    ended = seat.left(state, "séance annulée") if state is BookingState.CLOSED else seat.cancelled(state, "séance annulée")

    await post.publish(ended.model_copy(update={"priority_until": datetime(2027, 6, 10, 16, 30, tzinfo=UTC)}), session_cancelled(session))

    *_, mail = await post.mails(2)
    assert "vous passerez en tête de la liste d'attente : une fois, jusqu'au jeudi 10 juin 2027 à 18 h 30" in body(mail)


@pytest.mark.parametrize("kind", ["confirmed", "accepted", "reminded"])
async def test_K5_whoever_has_a_seat_can_say_by_a_link_that_they_will_not_come(post: Office, kind: str) -> None:
    hands_at(2027, 3, 1, 12)
    session = a_session()
    seat = Seat(session, uuid4())
    facts = [seat.waits(), seat.offered(MONDAY_1130), seat.accepted()] if kind == "accepted" else [seat.confirmed()]
    await post.publish(scheduled(session), *facts)
    await post.quiet()
    if kind == "reminded":
        hands_at(2027, 3, 13, 9)
        await post.fire_timers()
        await post.quiet()

    mail = post.sink.messages[-1]

    for part in ("plain", "html"):
        assert "Je ne pourrai pas venir" in body(mail, part)
        (link,) = [read_link(token, post.settings.link_secret) for token in links_in(body(mail, part))]
        assert link == Link(Purpose.GIVE_BACK, seat.booking_id, seat.agent_id, session.starts_at)


async def test_K5_the_calendar_entry_asks_for_no_answer(post: Office) -> None:
    session = a_session()
    await post.publish(scheduled(session), Seat(session, uuid4()).confirmed())

    (mail,) = await post.mails(1)

    (event,) = entries(mail)
    assert event["attendee"].params["RSVP"] == "FALSE"
    assert "Refuser l'invitation dans votre agenda n'annule pas votre inscription" in body(mail)

"""What people are told when a session has fewer places than seats given (B8), and of an offer that overlaps (B5)."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from shared.contracts.booking import Clash
from shared.links import Link, Purpose, read_link
from tests.notify.conftest import Office
from tests.notify.given import THURSDAY, Seat, a_session, scheduled
from tests.notify.sink import body, calendars
from tests.notify.test_offers import MONDAY_1130, links_in

JUNE = datetime(2027, 6, 1, 8, tzinfo=UTC)


async def test_B8_whoever_has_a_seat_is_asked_with_a_link_that_gives_it_back(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.confirmed())
    await post.mails(1)

    await post.publish(seat.sought())

    _, mail = await post.mails(2)
    assert "Pourriez-vous laisser votre place" in mail["subject"]
    assert calendars(mail) == [], "the seat is where it was"
    for kind in ("plain", "html"):
        (token,) = links_in(body(mail, kind))
        assert read_link(token, post.settings.link_secret) == Link(Purpose.GIVE_BACK, seat.booking_id, seat.agent_id, THURSDAY.starts_at)


async def test_B8_who_loses_a_seat_is_told_why_and_what_they_get_for_it(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.confirmed())
    await post.mails(1)

    await post.publish(seat.withdrawn("la salle est en travaux", JUNE))

    _, mail = await post.mails(2)
    text = " ".join(body(mail).split())
    assert "Votre place n'a pas pu être gardée" in mail["subject"]
    assert "la salle est en travaux" in text
    assert "en tête de la liste d'attente : une fois, jusqu'au mardi 1er juin 2027" in text
    assert "séance est annulée" not in text.casefold()
    assert len(calendars(mail)) == 1


async def test_B5_an_offer_that_overlaps_says_that_there_is_a_choice(post: Office) -> None:
    session = a_session()
    plain, overlapping = Seat(session, uuid4()), Seat(session, uuid4())
    other = Clash(booking_id=uuid4(), session_id=uuid4(), starts_at=THURSDAY.starts_at, ends_at=THURSDAY.ends_at)
    await post.publish(scheduled(session), plain.waits(), overlapping.waits())
    await post.mails(2)

    await post.publish(plain.offered(MONDAY_1130), overlapping.offered(MONDAY_1130).model_copy(update={"overlaps": (other,)}))

    told = {each["to"]: " ".join(body(each).split()) for each in (await post.mails(4))[2:]}
    assert sum("vous avez déjà une place dans une autre séance" in text for text in told.values()) == 1

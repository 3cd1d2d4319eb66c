"""What agents want to be written to about: at once, gathered, or not at all; the weekly news; never too many in an hour."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from services.notify.gathering.domain import MAY_WAIT, next_hour, next_morning
from services.notify.mail.domain import CANCELLATIONS, MailKind, calendar_part
from services.notify.news.domain import PARIS, is_news_to, next_monday, worth_telling
from services.notify.preferences import handlers
from services.notify.preferences.domain import TOPICS, wish
from shared.bus import Caller
from shared.contracts.booking import BookingState
from shared.contracts.preferences import GetPreferences, Preferences, SetPreferences, Topic
from shared.errors import NotAllowed, VersionConflict
from shared.links import OptOut, read_opt_out
from tests.notify.conftest import Office, state_is
from tests.notify.given import LIBRARY, THURSDAY, Seat, a_session, period, scheduled, session_cancelled
from tests.notify.sink import body
from tests.notify.test_reminders import hands_at, seats_taken

OPERATOR = Caller("operator", frozenset({"operator"}))


def the(agent_id: UUID) -> Caller:
    return Caller(str(agent_id), frozenset({"agent"}))


async def choose(office: Office, agent_id: UUID, caller: Caller | None = None, **choices: Any) -> Preferences:
    async with office.database.begin() as tx:
        return await handlers.set_preferences(SetPreferences(agent_id=agent_id, **choices), caller or the(agent_id), tx)


# --- rules ---------------------------------------------------------------------------------------------------------------------------


def test_what_is_about_ones_own_seat_or_project_cannot_be_switched_off() -> None:
    nothing = Preferences(agent_id=uuid4(), reminders="none", waitlist="none", news="none", surveys="none")

    switched_off = {kind for kind in MailKind if wish(kind, nothing) == "none"}

    surveys = {MailKind.FEEDBACK_HOT, MailKind.FEEDBACK_COLD}
    assert switched_off == {MailKind.REMINDER, MailKind.JOINING_INSTRUCTIONS, MailKind.WAITLIST_JOINED, MailKind.NEWS} | surveys
    assert set(SetPreferences.model_fields) & {"bookings", "projects"} == set()


def test_nothing_urgent_no_cancellation_and_nothing_in_a_calendar_ever_waits_for_a_digest() -> None:
    assert set(CANCELLATIONS) & MAY_WAIT == set()
    assert {MailKind.OFFER_MADE, MailKind.SESSION_MOVED, MailKind.WAITLIST_PROMOTED} & MAY_WAIT == set()
    assert [kind for kind in MAY_WAIT if calendar_part(kind, BookingState.CONFIRMED) and kind is not MailKind.WAITLIST_JOINED] == []


@pytest.mark.parametrize(
    ("now", "monday"),
    [
        (datetime(2027, 3, 1, 8, 59, tzinfo=PARIS), datetime(2027, 3, 1, 9, tzinfo=PARIS)),
        (datetime(2027, 3, 1, 9, 0, tzinfo=PARIS), datetime(2027, 3, 8, 9, tzinfo=PARIS)),
        (datetime(2027, 3, 26, 17, 0, tzinfo=PARIS), datetime(2027, 3, 29, 9, tzinfo=PARIS)),  # the clocks change on the Sunday
    ],
)
def test_the_news_go_out_on_monday_at_nine_on_the_clock(now: datetime, monday: datetime) -> None:
    assert next_monday(now) == monday


def test_digests_leave_at_nine_or_at_the_full_hour() -> None:
    assert next_morning(datetime(2027, 3, 27, 9, 0, tzinfo=PARIS)) == datetime(2027, 3, 28, 9, tzinfo=PARIS)
    assert next_morning(datetime(2027, 3, 27, 8, 0, tzinfo=PARIS)) == datetime(2027, 3, 27, 9, tzinfo=PARIS)
    assert next_hour(datetime(2027, 3, 27, 8, 12, 3, tzinfo=UTC)) == datetime(2027, 3, 27, 9, tzinfo=UTC)


def test_news_are_those_of_the_readers_themes_and_departements_that_can_still_be_joined() -> None:
    toulouse, rodez, remote = a_session(), a_session(venue=LIBRARY), a_session(venue=None)
    reader = Preferences(agent_id=uuid4(), themes=("prise de parole",), departments=("31",))
    now = THURSDAY.starts_at - timedelta(days=1)

    assert [is_news_to(reader, each) for each in (toulouse, rodez, remote)] == [True, False, True]
    assert not is_news_to(reader, a_session(theme="facilitation"))
    assert is_news_to(Preferences(agent_id=uuid4()), rodez)
    over, called_off = a_session(None, period("2027-03-17 09:00")), a_session(status="cancelled")
    assert worth_telling([over, called_off, toulouse], now) == [toulouse]


# --- choosing ------------------------------------------------------------------------------------------------------------------------


async def test_an_agent_chooses_for_themselves_and_what_is_left_out_stays(office: Office) -> None:
    agent = uuid4()
    first = await choose(office, agent, waitlist="digest")
    second = await choose(office, agent, themes=("facilitation",), expected_version=1)
    again = await choose(office, agent, OPERATOR, themes=("facilitation",))

    assert (first.version, second.version, again.version) == (1, 2, 2)
    assert (again.waitlist, again.themes, again.reminders) == ("digest", ("facilitation",), "immediate")
    found = await handlers.get_preferences(GetPreferences(agent_id=agent), the(agent), office.database)
    assert found == again
    with pytest.raises(VersionConflict):
        await choose(office, agent, news="digest", expected_version=1)
    with pytest.raises(NotAllowed):
        await choose(office, agent, the(uuid4()), news="digest")
    with pytest.raises(NotAllowed):
        await handlers.get_preferences(GetPreferences(agent_id=agent), the(uuid4()), office.database)


async def test_who_wants_no_reminder_gets_none_and_still_hears_of_a_cancellation(post: Office) -> None:
    hands_at(2027, 3, 1, 12)
    session, silent, other = a_session(), uuid4(), uuid4()
    await seats_taken(post, session, silent, other)
    await choose(post, silent, reminders="none")

    hands_at(2027, 3, 13, 9)
    await post.fire_timers()

    assert (await post.mails(3))[-1]["to"].addresses[0].addr_spec == post.contacts[other].email
    assert ("joining_instructions", "dropped") in await post.states()
    ended = session_cancelled(session)
    seat = (await post.rows("select booking_id from booking where agent_id = :agent", agent=silent))[0].booking_id
    cancelled = Seat(session, silent, seat)
    cancelled.version = 1
    await post.publish(ended, cancelled.cancelled(BookingState.CANCELLED_BY_LAB))
    assert (await post.mails(4))[-1]["subject"].startswith("Séance annulée")


# --- one click (RFC 8058) ------------------------------------------------------------------------------------------------------------


async def test_RFC8058_a_mail_that_can_be_switched_off_says_how_in_one_click(post: Office) -> None:
    session, agent = a_session(), uuid4()
    await post.publish(scheduled(session), Seat(session, agent).waits())

    (mail,) = await post.mails(1)

    assert mail["list-unsubscribe-post"] == "List-Unsubscribe=One-Click"
    address = re.fullmatch(r"<https://lab-o\.exemple\.invalid/desabonnement/([\w-]+)>", mail["list-unsubscribe"].strip())
    assert address
    assert read_opt_out(address[1], post.settings.link_secret) == OptOut(Topic.WAITLIST, agent)
    for kind in ("plain", "html"):
        assert address[1] in body(mail, kind)
    assert "RFC" not in body(mail)


def test_every_topic_has_a_link_of_its_own(office: Office) -> None:
    secret = office.settings.link_secret
    tokens = {str(OptOut(topic, UUID(int=7)).sign(secret)) for topic in Topic}

    assert {read_opt_out(token, secret) for token in tokens} == {OptOut(topic, UUID(int=7)) for topic in Topic}
    assert set(TOPICS.values()) == set(Topic)
    assert all(read_opt_out(wrong, secret) is None for wrong in ("", "é", "AAAA", next(iter(tokens))[:-2] + "AA"))


# --- the week's news -----------------------------------------------------------------------------------------------------------------


async def test_the_news_of_the_week_reach_who_asked_for_them_once_and_nobody_else(post: Office) -> None:
    hands_at(2027, 3, 3, 12)
    reader, elsewhere, nobody = uuid4(), uuid4(), uuid4()
    await choose(post, reader, news="digest", departments=("31",))
    await choose(post, elsewhere, news="digest", departments=("09",))
    await choose(post, nobody, reminders="none")
    kept, gone = a_session(title="Pitcher en 5 minutes"), a_session(title="Écrire simplement")
    await post.publish(scheduled(kept), scheduled(gone))
    await post.consumed()
    await post.publish(session_cancelled(gone))
    await post.consumed()

    hands_at(2027, 3, 8, 8, 59)
    await post.fire_timers()
    await post.mails(0)
    hands_at(2027, 3, 8, 9)
    await post.fire_timers()
    await post.fire_timers()

    (mail,) = await post.mails(1)
    assert mail["to"].addresses[0].addr_spec == post.contacts[reader].email
    assert mail["subject"] == "Une nouvelle séance au programme du Lab-O"
    assert "jeudi 18 mars 2027 de 14 h" in body(mail)
    assert str(kept.session_id) in body(mail)
    assert str(gone.session_id) not in body(mail, "html")
    hands_at(2027, 3, 15, 9)
    await post.fire_timers()
    await post.mails(1)
    (timer,) = await post.rows("select due_at from timer where key = 'news'")
    assert timer.due_at == datetime(2027, 3, 22, 9, tzinfo=PARIS)


# --- gathered ------------------------------------------------------------------------------------------------------------------------


async def due_now(office: Office) -> None:
    """What the clock would do: digests leave."""
    async with office.database.begin() as tx:
        await tx.execute(text("update mail set next_attempt_at = clock_timestamp() where kind = 'digest' and state = 'new'"))


async def test_who_wants_one_mail_a_day_gets_what_is_still_true_in_one(office: Office) -> None:
    office.listen()
    office.send()
    agent = uuid4()
    await choose(office, agent, waitlist="digest")
    first, second, left = a_session(title="Pitcher"), a_session(title="Écrire"), a_session(title="Dessiner")
    seats = [Seat(session, agent) for session in (first, second, left)]
    await office.publish(*(scheduled(session) for session in (first, second, left)), *(seat.waits() for seat in seats))
    await state_is(office, "dropped", "dropped", "dropped", "new")
    await office.publish(seats[2].left())
    await office.consumed()

    await due_now(office)

    (mail,) = await office.mails(1)
    assert mail["subject"] == "2 nouvelles de vos inscriptions"
    said = body(mail)
    assert "En liste d'attente, rang 3" in said
    assert ("Pitcher" in said, "Écrire" in said, "Dessiner" in said) == (True, True, False)


async def test_beyond_so_many_an_hour_what_can_wait_is_told_in_one_mail_and_a_cancellation_leaves(office: Office) -> None:
    office.listen()
    office.send(mails_per_hour=2)
    agent = uuid4()
    sessions = [a_session(title=f"Séance {number}") for number in range(5)]
    seats = [Seat(session, agent) for session in sessions]
    for session, seat in zip(sessions, seats, strict=True):
        await office.publish(scheduled(session), seat.waits())
    await office.quiet_but_for(digests=1)
    assert len(office.sink.messages) == 2
    booked = a_session(title="Urgente")
    seat = Seat(booked, agent)
    await office.publish(scheduled(booked), seat.confirmed())
    await office.quiet_but_for(digests=1)
    await office.publish(seat.cancelled())
    await office.quiet_but_for(digests=1)
    assert [mail["subject"].split(" :")[0] for mail in office.sink.messages[2:]] == ["Inscription confirmée", "Annulation enregistrée"]

    await due_now(office)

    digest = (await office.mails(5))[-1]
    assert digest["subject"] == "3 nouvelles de vos inscriptions"
    told = "".join(body(mail) for mail in office.sink.messages)
    assert all(session.title in told for session in sessions), "nothing is lost"


async def test_a_digest_with_nothing_left_to_tell_is_not_sent(office: Office) -> None:
    office.listen()
    office.send()
    agent, session = uuid4(), a_session()
    await choose(office, agent, waitlist="digest")
    seat = Seat(session, agent)
    await office.publish(scheduled(session), seat.waits())
    await state_is(office, "dropped", "new")
    await office.publish(seat.left())
    await office.consumed()

    await due_now(office)

    await state_is(office, "dropped", "dropped")
    await office.mails(0)

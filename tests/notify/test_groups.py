"""What the contact of a group is told, and the links by which they answer (G1, W6, W7, K5)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.contracts.catalog import SessionState
from shared.contracts.groups import (
    GroupBookingBypassed,
    GroupBookingCancelled,
    GroupBookingConfirmed,
    GroupBookingRequested,
    GroupChoice,
    GroupEvent,
    GroupSeatsHeld,
    GroupSeatsOffered,
    GroupState,
)
from shared.contracts.names import GroupNamesDue, GroupSeatsReleased
from shared.links import Link, Purpose, read_link
from tests.notify.conftest import Office
from tests.notify.given import FRIDAY, Seat, a_session, changed, rescheduled, scheduled
from tests.notify.sink import body, calendars, entries

DEADLINE = datetime(2027, 3, 9, 15, tzinfo=UTC)


@dataclass
class Party:
    """A group whose facts follow each other."""

    session: SessionState
    contact: UUID = field(default_factory=uuid4)
    group_id: UUID = field(default_factory=uuid4)
    version: int = 0

    def fact(self, kind: type[GroupEvent], state: GroupState, seats: tuple[int, int, int], **more: Any) -> GroupEvent:
        self.version += 1
        given, awaited, held = seats
        return kind(
            version=self.version,
            group_id=self.group_id,
            session_id=self.session.session_id,
            contact_agent_id=self.contact,
            state=state,
            seats_needed=14,
            seats_unnamed=given,
            seats_awaited=awaited,
            seats_held=held,
            session_sequence=self.version,
            decided_at=datetime(2027, 3, 1, 9, tzinfo=UTC),
            **more,
        )

    def waits(self) -> GroupEvent:
        return self.fact(GroupBookingRequested, GroupState.WAITING, (0, 14, 0), choice=GroupChoice.ALL_OR_NOTHING, rank=2)

    def keeps(self) -> GroupEvent:
        return self.fact(GroupSeatsHeld, GroupState.WAITING, (0, 14, 12), seats_added=12, holds_until=DEADLINE - timedelta(days=1))

    def is_offered(self) -> GroupEvent:
        return self.fact(GroupSeatsOffered, GroupState.WAITING, (0, 14, 12), deadline=DEADLINE, reason="rang 1")

    def has(self, given: int, awaited: int) -> GroupEvent:
        state = GroupState.PARTLY_CONFIRMED if awaited else GroupState.CONFIRMED
        return self.fact(GroupBookingConfirmed, state, (given, awaited, 0), choice=GroupChoice.ALL_OR_NOTHING, seats_added=given)

    def is_bypassed(self) -> GroupEvent:
        return self.fact(GroupBookingBypassed, GroupState.WAITING, (0, 14, 0), seats_passed=12, reason="12 places laissées")

    def lacks_names(self, kind: type[GroupEvent], unnamed: int, **more: Any) -> GroupEvent:
        return self.fact(kind, GroupState.CONFIRMED, (unnamed, 0, 0), **more)

    def is_over(self, state: GroupState, **more: Any) -> GroupEvent:
        return self.fact(GroupBookingCancelled, state, (0, 0, 0), **more)


@pytest.fixture
def party() -> Party:
    return Party(a_session())


def links_in(text: str) -> list[str]:
    return re.findall(r"https://lab-o\.exemple\.invalid/groupe/([\w-]+)", text)


def words(mail: Any) -> str:
    return " ".join(body(mail, "plain").split())


def subject(mail: Any) -> str:
    """Where a long one is folded right away, Python's parser keeps the blank."""
    return mail["subject"].strip()


async def test_G1_a_group_that_waits_is_told_its_rank_and_that_nothing_is_decided_for_it(post: Office, party: Party) -> None:
    await post.publish(scheduled(party.session), party.waits())

    (mail,) = await post.mails(1)

    assert subject(mail).startswith("Groupe en liste d'attente, rang 2 :")
    assert "Vous avez demandé 14 places" in words(mail)
    assert "rien n'est décidé à votre place" in words(mail)
    assert calendars(mail) == []
    (link,) = {read_link(token, post.settings.link_secret) for token in links_in(body(mail, "plain"))}
    assert link == Link(Purpose.SEE_GROUP, party.group_id, party.contact, party.session.ends_at)


async def test_W6_the_offer_of_a_part_says_how_much_until_when_and_what_each_answer_means(post: Office, party: Party) -> None:
    await post.publish(scheduled(party.session), party.waits())
    await post.mails(1)
    await post.publish(party.keeps(), party.is_offered())

    _, mail = await post.mails(2)

    assert subject(mail).startswith("Groupe : 12 places sur 14, réponse avant le mardi 9 mars 2027 à 16 h")
    for kind in ("plain", "html"):
        text = " ".join(body(mail, kind).split()).replace("&#39;", "'")
        assert "12 lui sont gardées jusqu'au mardi 9 mars 2027 à 16 h" in text
        assert "votre groupe garde son rang pour les 2 autres" in text
        found = [read_link(token, post.settings.link_secret) for token in links_in(text)]
        assert found == [Link(purpose, party.group_id, party.contact, DEADLINE) for purpose in (Purpose.TAKE_PART, Purpose.LEAVE_PART)]
    assert calendars(mail) == []


@pytest.mark.parametrize(
    ("given", "awaited", "begins", "rest"),
    [
        (14, 0, "Groupe : 14 places confirmées", None),
        (12, 2, "Groupe : 12 places confirmées", "Il en manque 2"),
        (1, 13, "Groupe : 1 place confirmée", "Il en manque 13"),
    ],
)
async def test_G1_what_is_confirmed_and_what_is_missing_is_said(
    post: Office, party: Party, given: int, awaited: int, begins: str, rest: str | None
) -> None:
    await post.publish(scheduled(party.session), party.has(given, awaited))

    (mail,) = await post.mails(1)

    assert subject(mail).startswith(begins)
    assert ("Il en manque" in words(mail)) is (rest is not None)
    assert rest is None or rest in words(mail)
    assert calendars(mail) == [], "a contact may have no seat"


async def test_W6_what_is_kept_and_what_goes_past_writes_no_mail(post: Office, party: Party) -> None:
    await post.publish(scheduled(party.session), party.waits(), party.keeps(), party.is_bypassed())

    await post.quiet()

    assert len(post.sink.messages) == 1


async def test_E3_a_confirmation_of_a_group_that_is_cancelled_meanwhile_is_dropped(post: Office, party: Party) -> None:
    await post.publish(party.has(14, 0), party.is_over(GroupState.CANCELLED), scheduled(party.session))

    await post.quiet()

    assert [subject(mail).partition(" :")[0] for mail in post.sink.messages] == ["Groupe désinscrit"]


async def test_W7_a_cancelled_session_is_told_with_the_token(post: Office, party: Party) -> None:
    until = datetime(2027, 6, 1, 8, tzinfo=UTC)
    closed = party.has(14, 0), party.is_over(GroupState.CLOSED, reason="séance annulée : intervenant souffrant", priority_until=until)
    await post.publish(scheduled(party.session), *closed)

    await post.quiet()

    mail = post.sink.messages[-1]
    assert subject(mail).startswith("Séance annulée")
    assert "Motif : intervenant souffrant" in words(mail)
    assert "jusqu'au mardi 1er juin 2027 à 10 h" in words(mail)


async def test_M1_a_move_is_told_to_the_contact_once_and_changes_their_calendar_only_where_they_have_a_seat(
    post: Office, party: Party
) -> None:
    seat = Seat(party.session, party.contact)
    away = Party(party.session)
    await post.publish(scheduled(party.session), party.has(14, 0), away.waits(), seat.confirmed())
    await post.mails(3)

    await post.publish(rescheduled(party.session, changed(party.session, periods=(FRIDAY,))))
    await post.quiet()

    moved = [mail for mail in post.sink.messages if subject(mail).startswith("Séance modifiée")]
    assert len(moved) == 2
    assert sorted(len(entries(mail)) for mail in moved) == [0, 1]
    (waiting,) = [mail for mail in moved if "Votre groupe reste en liste d'attente" in words(mail)]
    (link,) = {read_link(token, post.settings.link_secret) for token in links_in(body(waiting, "plain"))}
    assert link
    assert (link.purpose, link.booking_id, link.expires_at) == (Purpose.SEE_GROUP, away.group_id, FRIDAY.ends_at)
    assert "/reponse/" not in body(waiting), "a group leaves by its page, not as an agent does"


# --- names ----------------------------------------------------------------------------------------------------------------------------


async def test_G2_the_contact_is_told_until_when_names_are_awaited_reminded_and_told_what_was_released(post: Office, party: Party) -> None:
    given = party.fact(
        GroupBookingConfirmed,
        GroupState.CONFIRMED,
        (14, 0, 0),
        choice=GroupChoice.ALL_OR_NOTHING,
        seats_added=14,
        names_due_at=DEADLINE,
    )
    await post.publish(scheduled(party.session), given)
    (first,) = await post.mails(1)
    await post.publish(party.lacks_names(GroupNamesDue, 3, names_due_at=DEADLINE))
    _, reminder = await post.mails(2)
    await post.publish(party.lacks_names(GroupSeatsReleased, 0, seats_released=3))
    *_, released = await post.mails(3)

    assert "avant le mardi 9 mars 2027 à 16 h" in words(first)
    assert subject(reminder).startswith("Groupe : 3 places sans nom")
    assert "avant le mardi 9 mars 2027 à 16 h" in words(reminder)
    assert subject(released).startswith("Groupe : 3 places rendues")
    assert "elles vont à d'autres agents" in words(released)
    assert [calendars(mail) for mail in (first, reminder, released)] == [[], [], []]
    for mail in (first, reminder):
        for kind in ("plain", "html"):
            text = " ".join(body(mail, kind).split())
            assert "sur la page de votre groupe" in text
            assert "Dire qui vient" in text
            assert "API" not in text
            (link,) = {read_link(token, post.settings.link_secret) for token in links_in(text)}
            assert link == Link(Purpose.SEE_GROUP, party.group_id, party.contact, party.session.ends_at)


async def test_G2_who_is_named_gets_the_calendar_and_how_to_come_and_who_is_replaced_loses_it(post: Office) -> None:
    session, group_id = a_session(), uuid4()
    one, other = Seat(session, uuid4()), Seat(session, uuid4())
    await post.publish(scheduled(session), one.confirmed(group_id=group_id))
    (named,) = await post.mails(1)
    why = "votre place a été confiée à une autre personne de votre administration, le 12 mars 2027 à 9 h"
    await post.publish(one.cancelled(reason=why), other.confirmed(group_id=group_id))

    mails = await post.mails(3)

    assert "Le contact de votre groupe a donné votre nom" in words(named)
    methods = {subject(mail).partition(" :")[0]: [str(each["method"]) for each in calendars(mail)] for mail in mails}
    assert methods == {"Inscription confirmée": ["REQUEST"], "Annulation enregistrée": ["CANCEL"]}
    (gone,) = [mail for mail in mails if subject(mail).startswith("Annulation")]
    assert f"Vous n'êtes plus inscrit(e) à « {session.title} » : {why}." in words(gone)
    assert "Vous avez annulé" not in words(gone)


async def test_G3_who_had_a_seat_already_is_told_that_it_is_one_now_and_their_calendar_stays(post: Office) -> None:
    session = a_session()
    seat = Seat(session, uuid4())
    await post.publish(scheduled(session), seat.confirmed())
    await post.mails(1)
    await post.publish(seat.joined_group(uuid4()))

    _, mail = await post.mails(2)

    assert subject(mail).startswith("Une seule place pour vous")
    assert calendars(mail) == []

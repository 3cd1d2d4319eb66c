"""What is said of an approval, to the agent and to the line manager, whose address is in the directory alone (B7, K5, P4)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from shared.contracts.approval import BookingApprovalRequested, BookingApproved, BookingRefused, BookingReleased
from shared.contracts.booking import BookingState, Pending, PendingKind, PendingState
from shared.links import Link, Purpose, read_link
from tests.notify.conftest import Office
from tests.notify.given import THURSDAY, Seat, a_contact, a_session, scheduled
from tests.notify.sink import body, calendars, entries

MONDAY = datetime(2027, 3, 1, 8, tzinfo=UTC)
THURSDAY_9 = datetime(2027, 3, 4, 8, tzinfo=UTC)
ASKED = Pending(kind=PendingKind.PENDING_APPROVAL, state=PendingState.OPEN, asked_at=MONDAY, deadline=THURSDAY_9)


class Request(Seat):
    """A seat that awaits the line manager's word."""

    def __init__(self, office: Office, **others: Any) -> None:
        self.session = a_session(**others)
        super().__init__(self.session, office.an_agent(given_name="Ariège", usual_name="Noisetier"))
        self.manager_id = uuid4()
        office.contacts[self.manager_id] = a_contact(self.manager_id, given_name="", usual_name="", email="chef@exemple.invalid")

    def asked(self, **others: Any) -> BookingApprovalRequested:
        return BookingApprovalRequested(**self._next(BookingState.CONFIRMED), pending=ASKED, manager_id=self.manager_id, **others)

    def approved(self) -> BookingApproved:
        return BookingApproved(**self._next(BookingState.CONFIRMED), pending=_became(PendingState.GRANTED))

    def refused(self) -> BookingRefused:
        said: dict[str, Any] = {"reason": "votre responsable n'a pas donné son accord, le 2 mars 2027 à 15 h"}
        return BookingRefused(**self._next(BookingState.CANCELLED_BY_LAB), pending=_became(PendingState.REFUSED), **said)

    def released(self) -> BookingReleased:
        said: dict[str, Any] = {"reason": "votre responsable n'a pas répondu avant le 4 mars 2027 à 9 h"}
        ended = self._next(BookingState.CANCELLED_BY_LAB)
        return BookingReleased(**ended, pending=_became(PendingState.EXPIRED), manager_id=self.manager_id, **said)


def _became(state: PendingState) -> Pending:
    return ASKED.model_copy(update={"state": state})


def links_in(text: str) -> list[str]:
    return re.findall(r"https://lab-o\.exemple\.invalid/reponse/([\w-]+)", text)


async def test_B7_the_manager_is_asked_by_two_links_and_the_agent_told_that_a_seat_is_held(post: Office) -> None:
    seat = Request(post)
    await post.publish(scheduled(seat.session), seat.asked())

    mails = {str(mail["To"]): mail for mail in await post.mails(2)}

    to_manager = mails.pop("chef@exemple.invalid")
    assert to_manager["subject"].startswith("Votre accord est demandé avant le jeudi 4 mars 2027 à 9 h : Ariège Noisetier")
    for kind in ("plain", "html"):
        text = body(to_manager, kind).replace("&#39;", "'")
        assert "Bonjour, " in text.replace("</p>", " ")
        assert "Ariège Noisetier souhaite participer à « Pitcher en 5 minutes »" in text
        found = [read_link(token, post.settings.link_secret) for token in links_in(text)]
        purposes = (Purpose.APPROVE_BOOKING, Purpose.REFUSE_BOOKING)
        assert found == [Link(purpose, seat.booking_id, seat.manager_id, THURSDAY_9) for purpose in purposes]
    (to_agent,) = mails.values()
    assert to_agent["subject"].startswith("Accord demandé à votre responsable")
    assert "Sans réponse avant le jeudi 4 mars 2027 à 9 h, la place ira à l'agent suivant" in body(to_agent)
    assert "chef@exemple.invalid" not in body(to_agent)
    assert calendars(to_manager) == calendars(to_agent) == []
    stored = await post.rows("select cast(details as text) as said, last_error from mail")
    assert all("exemple.invalid" not in f"{row.said} {row.last_error}" for row in stored), "no address is kept (P4)"


async def test_B7_an_approval_brings_the_session_into_the_calendar(post: Office) -> None:
    seat = Request(post)
    await post.publish(scheduled(seat.session), seat.asked())
    await post.mails(2)

    await post.publish(seat.approved())

    mail = (await post.mails(3))[2]
    assert mail["subject"].startswith("Place confirmée")
    (event,) = entries(mail)
    assert (event["sequence"], event.start) == (0, THURSDAY.starts_at)


async def test_B7_a_refusal_is_told_to_the_agent_without_comment(post: Office) -> None:
    seat = Request(post)
    await post.publish(scheduled(seat.session), seat.asked())
    await post.mails(2)

    await post.publish(seat.refused())

    mail = (await post.mails(3))[2]
    assert mail["subject"].startswith("Accord refusé")
    assert "Rien n'est noté à votre sujet" in body(mail)
    assert calendars(mail) == []


async def test_B7_silence_is_told_to_both(post: Office) -> None:
    seat = Request(post)
    await post.publish(scheduled(seat.session), seat.asked())
    await post.mails(2)

    await post.publish(seat.released())

    mails = {str(mail["To"]): mail for mail in (await post.mails(4))[2:]}
    assert "la place n'est plus gardée, et nous l'avons dit à l'intéressé" in body(mails.pop("chef@exemple.invalid"))
    (to_agent,) = mails.values()
    assert "le temps que votre responsable donne son accord. Nous n'avons pas reçu de réponse" in body(to_agent)


async def test_E3_a_manager_is_not_asked_what_was_withdrawn_before_the_mail_left(office: Office) -> None:
    seat = Request(office)
    office.listen()
    await office.publish(scheduled(seat.session), seat.asked(), seat.cancelled())
    await office.consumed()

    office.send()

    await office.quiet()
    assert sorted(await office.states()) == [
        ("approval_asked", "dropped"), ("approval_requested", "dropped"), ("booking_cancelled", "sent"),
    ]  # fmt: skip


async def test_B7_asked_anew_after_a_move_the_first_question_is_dropped_and_the_second_says_so(office: Office) -> None:
    seat = Request(office)
    office.listen()
    await office.publish(scheduled(seat.session), seat.asked(), seat.asked(moved=True))
    await office.consumed()

    office.send()

    await office.quiet()
    kinds = ["approval_asked", "approval_requested"]
    assert sorted(await office.states()) == sorted((kind, state) for kind in kinds for state in ("dropped", "sent"))
    texts = " ".join(body(mail) for mail in office.sink.messages)
    assert "La séance a été déplacée depuis notre premier message" in texts
    assert "Nous redemandons son accord à votre responsable" in texts

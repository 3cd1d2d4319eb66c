"""Mails about who came: to whoever keeps the sheet, and to those who were expected (A1, N2, N3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from shared.contracts.attendance import AttendanceCorrected, AttendanceRecorded, SheetEntrusted, SheetOverdue
from shared.contracts.certificates import CertificateIssued, CertificateRevoked
from shared.contracts.feedback import FeedbackRequested, Survey
from shared.links import Purpose, read_link
from tests.notify.conftest import Office
from tests.notify.given import Seat, a_session, scheduled
from tests.notify.sink import body

NOW, LATER, END = (datetime(2027, month, 18, 16, tzinfo=UTC) for month in (3, 4, 5))


def recorded(agent_id: UUID, session_id: UUID, outcome: str) -> AttendanceRecorded:
    booking_id = uuid4()
    about: dict[str, Any] = {"attendance_id": booking_id, "booking_id": booking_id, "session_id": session_id, "agent_id": agent_id}
    present = (1,) if outcome == "attended" else ()
    return AttendanceRecorded(**about, version=1, outcome=outcome, half_days=present, of=1, decided_at=NOW)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("outcome", "subject", "words"),
    [
        ("absent", "Vous nous avez manqué", "Signaler un empêchement"),
        ("excused", "Absence excusée", "aucun détail n'est conservé"),
        ("unknown", "Présence non relevée", "ne compte pas comme une absence"),
    ],
)
async def test_N2_who_was_expected_and_not_on_the_sheet_is_told_what_is_noted(post: Office, outcome: str, subject: str, words: str) -> None:
    session = a_session()
    agent = post.an_agent(given_name="Adour", usual_name="Bouleau", email="adour.bouleau@exemple.invalid")
    event = recorded(agent, session.session_id, outcome)

    await post.publish(scheduled(session), event)

    (mail,) = await post.mails(1)
    assert mail["subject"] == f"{subject} : Pitcher en 5 minutes, jeudi 18 mars"
    for kind in ("plain", "html"):
        text = " ".join(body(mail, kind).replace("&#39;", "'").split())
        assert words in text
        assert "Bonjour Adour Bouleau" in text
    assert mail.get_content_type() == "multipart/alternative", "no calendar is touched"
    if outcome == "absent":
        assert f"/mes-inscriptions/{event.booking_id}/empechement" in body(mail)


async def test_who_attended_gets_no_mail_of_it_and_a_correction_to_absent_is_told(post: Office) -> None:
    session = a_session()
    event = recorded(post.an_agent(), session.session_id, "attended")
    corrected = AttendanceCorrected.model_validate(
        event.model_dump() | {"version": 2, "outcome": "absent", "half_days": (), "why": "correction"}
    )

    await post.publish(scheduled(session), event, corrected)

    (mail,) = await post.mails(1)
    assert mail["subject"].startswith("Vous nous avez manqué")


async def test_A2_a_certificate_comes_with_a_link_and_a_corrected_one_says_that_the_former_is_over(post: Office) -> None:
    session = a_session()
    agent, booking_id = post.an_agent(), uuid4()
    first, second = uuid4(), uuid4()
    about: dict[str, Any] = {"booking_id": booking_id, "session_id": session.session_id, "agent_id": agent}

    await post.publish(
        scheduled(session),
        CertificateIssued(**about, version=1, certificate_id=first, issued_at=NOW),
        CertificateRevoked(**about, version=2, certificate_id=first, revoked_at=LATER, replaced_by=second),
        CertificateIssued(**about, version=1, certificate_id=second, issued_at=LATER, replaces=first),
        CertificateRevoked(**about, version=2, certificate_id=second, revoked_at=END),
    )

    mails = {mail["subject"].partition(" :")[0]: mail for mail in await post.mails(3)}
    assert set(mails) == {"Votre attestation", "Votre attestation corrigée", "Attestation retirée"}
    for name in ("Votre attestation", "Votre attestation corrigée"):
        (token,) = re.findall(r"/attestation/(\S+)", body(mails[name]))
        link = read_link(token, post.settings.link_secret)
        assert link is not None
        assert (link.purpose, link.booking_id, link.agent_id) == (Purpose.FETCH_CERTIFICATE, booking_id, agent)
    assert "la précédente n'est plus valable" in " ".join(body(mails["Votre attestation corrigée"]).split())


async def test_A1_whoever_keeps_the_sheet_gets_a_link_to_it_and_is_reminded_while_it_is_open(post: Office) -> None:
    session = a_session()
    trainer = post.an_agent()
    about: dict[str, Any] = {"sheet_id": session.session_id, "session_id": session.session_id, "trainer_id": trainer, "expires_at": END}

    await post.publish(
        scheduled(session),
        Seat(session, uuid4()).waits(rank=1),
        SheetEntrusted(**about, version=1),
        SheetOverdue(**about, version=2, unknown_at=LATER),
        SheetOverdue.model_validate(about | {"trainer_id": None, "sheet_id": uuid4(), "version": 1, "unknown_at": LATER}),
    )

    mails = [mail for mail in await post.mails(3) if "émargement" in mail["subject"]]
    assert sorted(mail["subject"].partition(" :")[0] for mail in mails) == ["Feuille d'émargement à signer", "Votre feuille d'émargement"]
    for mail in mails:
        (token,) = re.findall(r"/emargement/(\S+)", body(mail))
        link = read_link(token, post.settings.link_secret)
        assert link is not None
        assert (link.purpose, link.booking_id, link.agent_id, link.expires_at) == (Purpose.KEEP_SHEET, session.session_id, trainer, END)
    assert "dimanche 18 avril 2027 à 18 h" in body(next(mail for mail in mails if "signer" in mail["subject"]))


@pytest.mark.parametrize(
    ("survey", "subject", "words"),
    [
        (Survey.HOT, "Votre avis : Pitcher en 5 minutes, jeudi 18 mars", "Trois questions, une minute"),
        (Survey.COLD, "Trois mois après : Pitcher en 5 minutes", "Proposer un projet"),
    ],
)
async def test_P5_who_came_is_asked_by_a_link_of_their_own_and_may_end_such_mails(
    post: Office, survey: Survey, subject: str, words: str
) -> None:
    session, agent, invitation_id = a_session(), post.an_agent(), uuid4()
    about: dict[str, Any] = {"booking_id": uuid4(), "session_id": session.session_id, "agent_id": agent, "survey": survey}
    event = FeedbackRequested(version=1, invitation_id=invitation_id, open_until=datetime(2027, 4, 1, 16, tzinfo=UTC), **about)

    await post.publish(scheduled(session), event)

    (mail,) = await post.mails(1)
    assert mail["subject"] == subject
    for kind in ("plain", "html"):
        text = " ".join(body(mail, kind).replace("&#39;", "'").split())
        assert words in text
        assert "anonymes" in text
        assert "jeudi 1er avril 2027 à 18 h" in text
    token = re.search(r"/avis/([\w-]+)", body(mail))
    assert token
    link = read_link(token[1], post.settings.link_secret)
    assert link
    assert (link.purpose, link.booking_id, link.agent_id) == (Purpose.GIVE_FEEDBACK, invitation_id, agent)
    assert "/desabonnement/" in mail["list-unsubscribe"]
    assert mail.get_content_type() == "multipart/alternative", "no calendar is touched"

"""Every kind of mail, in each of its variants, as a reader gets it."""

from __future__ import annotations

import re
from email.message import EmailMessage

import pytest

from services.notify.mail.domain import ATTENDANCE, TO_MANAGERS, MailKind
from tests.notify.gallery import APPLICANT, JOINING, content, specimens

MAILS = list(specimens())
SECRETS = [each for each in (JOINING.access, JOINING.video_url) if each]
"""What only those read who have a seat."""
SEATED = {
    MailKind.SEAT_MERGED,
    MailKind.MODE_CHANGED,
    MailKind.BOOKING_CONFIRMED,
    MailKind.WAITLIST_PROMOTED,
    MailKind.OFFER_ACCEPTED,
    MailKind.APPROVAL_GIVEN,
    MailKind.REMINDER,
    MailKind.JOINING_INSTRUCTIONS,
    MailKind.SESSION_MOVED,
    MailKind.SEAT_TO_RECONFIRM,
    MailKind.SEAT_TO_CONFIRM,
    MailKind.MOVED_URGENT,
    MailKind.VOLUNTEER_SOUGHT,
    MailKind.DIGEST,
}


def test_every_kind_is_there() -> None:
    assert {kind for _, kind, _ in MAILS} == set(MailKind)


@pytest.mark.parametrize(("kind", "mail"), [pytest.param(kind, mail, id=name) for name, kind, mail in MAILS])
def test_a_mail_is_readable_in_text_and_names_no_third_party(kind: MailKind, mail: EmailMessage) -> None:
    text, html = content(mail, "plain"), content(mail, "html")

    assert not re.search(r"{{|{%|\bNone\b|<[a-z/]|&[a-z]+;", text)
    assert not re.search(r"\n{4,}", text)
    assert not [line for line in text.splitlines() if len(line) > 78 and "https://" not in line]
    assert "{{" not in html
    assert not re.search(r"\bNone\b", html)
    for part in (text, html):
        assert (APPLICANT in part) == (kind in TO_MANAGERS)
        assert all(secret in part.replace("&#39;", "'") for secret in SECRETS) == (kind in SEATED)


@pytest.mark.parametrize(("kind", "mail"), [pytest.param(kind, mail, id=name) for name, kind, mail in MAILS if kind in ATTENDANCE])
def test_a_session_that_took_place_is_not_said_to_have_been_planned(kind: MailKind, mail: EmailMessage) -> None:
    """Whoever is entrusted with a sheet is told beforehand, everybody else afterwards."""
    label = "Quand" if kind is MailKind.SHEET_ENTRUSTED else "C'était"

    assert re.search(rf"^{label} : +jeudi 18 mars", content(mail, "plain"), re.MULTILINE)
    assert f">{label}<" in content(mail, "html").replace("&#39;", "'")
    assert "révue" not in content(mail, "plain")

"""The mail catcher as a process: mails over real SMTP, read back as a person and as a test would."""

from __future__ import annotations

import email.policy
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx2
import pytest

from deploy.child import free_port
from deploy.installation import Installation
from deploy.program import Program

ENTRY = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Lab-O//FR
METHOD:REQUEST
BEGIN:VEVENT
UID:period-1@labo
SEQUENCE:2
DTSTAMP:20270301T080000Z
DTSTART:20270325T113000Z
DTEND:20270325T123000Z
SUMMARY:Jeudi de l’innovation : les <coups de pouce>
LOCATION:Halle ferroviaire\\, Toulouse
STATUS:CONFIRMED
END:VEVENT
END:VCALENDAR
"""


class Catcher:
    def __init__(self, folder: Path) -> None:
        self.smtp_port, web_port = free_port(), free_port()
        installation = Installation(folder)
        installation.create()
        mail = ["deploy.mailcatcher", "--folder", str(folder / "mail"), "--smtp-port", str(self.smtp_port), "--web-port", str(web_port)]
        self.process = Program("mail-catcher", installation, mail, port=web_port, ready_path="/api/messages")
        self.web = httpx2.Client(base_url=f"http://127.0.0.1:{web_port}", trust_env=False)

    def send(self, message: EmailMessage | bytes, recipient: str = "garonne.tilleul@exemple.invalid") -> None:
        content = message if isinstance(message, bytes) else message.as_bytes(policy=email.policy.SMTP)
        with smtplib.SMTP("127.0.0.1", self.smtp_port) as smtp:
            smtp.sendmail("lab-o@exemple.invalid", [recipient], content)

    def listed(self, **query: str) -> list[dict[str, Any]]:
        return self.web.get("/api/messages", params=query).json()

    def newest(self) -> dict[str, Any]:
        return self.web.get(f"/api/messages/{self.listed()[0]['id']}").json()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catcher]:
    started = Catcher(tmp_path_factory.mktemp("catcher"))
    started.process.start()
    with started.web:
        yield started
    started.process.stop()


@pytest.fixture
def catcher(started: Catcher) -> Catcher:
    started.web.delete("/api/messages")
    return started


def confirmation(subject: str = "Votre place est confirmée") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Lab-O <lab-o@exemple.invalid>", "garonne.tilleul@exemple.invalid", subject
    message["Message-ID"] = "<1@labo>"
    message.set_content("Bonjour,\nà jeudi <b>prochain</b> !")
    message.add_alternative('<p>À jeudi ! <a href="http://127.0.0.1/">Ma place</a></p><script>alert(1)</script>', subtype="html")
    message.add_alternative(ENTRY, subtype="calendar", params={"method": "REQUEST"}, cte="base64")
    return message


def test_a_mail_is_read_back_with_its_texts_and_its_calendar_entry(catcher: Catcher) -> None:
    catcher.send(confirmation())

    read = catcher.newest()

    assert (read["subject"], read["recipients"], read["message_id"]) == (
        "Votre place est confirmée", ["garonne.tilleul@exemple.invalid"], "<1@labo>",
    )  # fmt: skip
    assert "à jeudi" in read["text"]
    assert "Ma place" in read["html"]
    assert read["calendar"]["method"] == "REQUEST"
    (entry,) = read["calendar"]["entries"]
    assert entry["when"] == "jeudi 25 mars 2027 à 12 h 30 – 13 h 30"
    assert (entry["uid"], entry["sequence"], entry["location"]) == ("period-1@labo", 2, "Halle ferroviaire, Toulouse")


def test_the_pages_show_it_in_french_with_everything_escaped(catcher: Catcher) -> None:
    catcher.send(confirmation("Séance <script>alert(1)</script> confirmée"))
    mail_id = catcher.listed()[0]["id"]

    listing, page = catcher.web.get("/"), catcher.web.get(f"/message/{mail_id}")

    assert "garonne.tilleul@exemple.invalid" in listing.text
    for shown in (listing, page):
        assert "<script" not in shown.text
        assert "Séance &lt;script&gt;" in shown.text
        assert "default-src 'none'" in shown.headers["content-security-policy"]
    assert "jeudi 25 mars 2027 à 12 h 30 – 13 h 30" in page.text
    assert "les &lt;coups de pouce&gt;" in page.text


def test_html_of_a_mail_is_shown_without_scripts_or_anything_from_elsewhere(catcher: Catcher) -> None:
    catcher.send(confirmation())
    mail_id = catcher.listed()[0]["id"]

    page, framed = catcher.web.get(f"/message/{mail_id}"), catcher.web.get(f"/message/{mail_id}/html")

    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page.text
    policy = framed.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-popups")
    assert "allow-scripts" not in policy
    assert "default-src 'none'" in policy


def test_the_calendar_entry_and_the_source_can_be_had_as_they_came(catcher: Catcher) -> None:
    catcher.send(confirmation())
    mail_id = catcher.listed()[0]["id"]

    invitation, source = catcher.web.get(f"/message/{mail_id}/invitation.ics"), catcher.web.get(f"/message/{mail_id}/source")

    assert invitation.headers["content-type"].startswith("text/calendar")
    assert invitation.content == ENTRY.replace("\n", "\r\n").encode()
    assert "Delivered-To: garonne.tilleul@exemple.invalid" in source.text
    assert source.headers["content-type"].startswith("text/plain")


def test_the_newest_comes_first_and_lists_can_be_narrowed(catcher: Catcher) -> None:
    catcher.send(confirmation("un"))
    catcher.send(confirmation("deux"), "ariege.noisetier@exemple.invalid")
    catcher.send(confirmation("trois"))

    assert [mail["subject"] for mail in catcher.listed()] == ["trois", "deux", "un"]
    assert [mail["subject"] for mail in catcher.listed(to="Ariege")] == ["deux"]
    assert [mail["subject"] for mail in catcher.listed(subject="TROI")] == ["trois"]

    catcher.web.delete("/api/messages")
    assert catcher.listed() == []


def test_the_bounced_mailbox_is_refused_for_good_and_its_neighbours_are_not(catcher: Catcher) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        catcher.send(confirmation(), "bounced@exemple.invalid")

    assert refused.value.recipients["bounced@exemple.invalid"][0] == 550
    assert catcher.listed() == []
    catcher.send(confirmation())
    assert len(catcher.listed()) == 1


def test_mails_survive_a_kill(catcher: Catcher) -> None:
    catcher.send(confirmation())
    before = catcher.listed()

    catcher.process.kill()
    catcher.process.start()

    assert catcher.listed() == before


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no header at all",
        b"Subject: =?utf-8?B?broken\r\nContent-Type: text/plain; charset=martian\r\n\r\nh\xe9\r\n",
        b"Subject: x\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\nBEGIN:VCALENDAR\r\nnonsense",
        b"Subject: x\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\nnever closed",
    ],
)
def test_a_mail_that_cannot_be_read_is_kept_and_hides_no_other(catcher: Catcher, content: bytes) -> None:
    catcher.send(content)
    catcher.send(confirmation())

    assert len(catcher.listed()) == 2
    for mail in catcher.listed():
        assert catcher.web.get(f"/message/{mail['id']}").status_code == 200
        assert catcher.web.get(f"/message/{mail['id']}/source").status_code == 200
        assert catcher.web.get(f"/api/messages/{mail['id']}").status_code == 200


def test_a_mail_that_is_not_there_is_not_found(catcher: Catcher) -> None:
    for path in ("/message/nothing", "/message/..%2f..%2fetc", "/api/messages/nothing", "/message/nothing/html"):
        assert catcher.web.get(path).status_code == 404
    assert catcher.web.get("/", params={"page": "-3"}).status_code == 200

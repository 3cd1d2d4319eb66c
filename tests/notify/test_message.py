"""What a mail is made of, read back with the standard library and icalendar."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from email.policy import default
from typing import Any, cast
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from icalendar import Timezone
from pydantic import SecretStr

from services.notify.calendars.entries import Entry, uid_of
from services.notify.mail import compose
from services.notify.mail.compose import Unsendable, Writer
from services.notify.mail.domain import REMINDERS, Before, Known, MailKind
from services.notify.mail.letters import Links
from services.notify.mail.wire import WIRE
from shared.contracts.booking import BookingState
from shared.contracts.catalog import DeliveryMode, SessionState
from shared.contracts.reminders import JoiningInstructions
from shared.zones import timezone
from tests.notify.given import FRIDAY, IN_APRIL, THURSDAY, a_contact, a_session
from tests.notify.sink import body, calendars, entries

SECRET = SecretStr("what notify and the gateway share")
WRITER = Writer("lab-o@exemple.invalid", "equipe@exemple.invalid", Links.of("https://lab-o.exemple.invalid/", SECRET))
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
MAIL_ID, AGENT, BOOKING_ID = UUID(int=77), UUID(int=78), UUID(int=79)
DEADLINE = datetime(2027, 3, 15, 10, 30, tzinfo=UTC)

STATE_FOR = {
    MailKind.BOOKING_CONFIRMED: BookingState.CONFIRMED,
    MailKind.WAITLIST_JOINED: BookingState.WAITING,
    MailKind.WAITLIST_PROMOTED: BookingState.CONFIRMED,
    MailKind.OFFER_MADE: BookingState.WAITING,
    MailKind.OFFER_ACCEPTED: BookingState.CONFIRMED,
    MailKind.OFFER_EXPIRED: BookingState.LEFT,
    MailKind.BOOKING_CANCELLED: BookingState.CANCELLED_BY_AGENT,
    MailKind.CANCELLED_BY_LAB: BookingState.CANCELLED_BY_LAB,
    MailKind.WAITLIST_CLOSED: BookingState.CLOSED,
    MailKind.SESSION_MOVED: BookingState.CONFIRMED,
    MailKind.REMINDER: BookingState.CONFIRMED,
    MailKind.JOINING_INSTRUCTIONS: BookingState.CONFIRMED,
}
PLAN = {"starts_on": "2027-04-01", "planned_end_on": "2027-07-01"}
PROJECT_MAILS: list[tuple[MailKind, dict[str, Any]]] = [
    (MailKind.APPLICATION_RECEIVED, {}),
    *((MailKind.APPLICATION_DECIDED, {"state": state}) for state in ("accepted", "accepted_with_conditions", "redirected", "declined")),
    *((MailKind.ENGAGEMENT_STARTED, {"part": part, **PLAN}) for part in ("lead", "coach")),
    *(
        (MailKind.ENGAGEMENT_CLOSED, {"part": part, "outcome": outcome, "has_lessons_learned": rex})
        for part, outcome, rex in (
            ("lead", "adopted", True),
            ("coach", "piloted", True),
            ("lead", "merged", True),
            ("coach", "handed_over", True),
            ("lead", "abandoned", False),
        )
    ),
]


def written(kind: MailKind, session: SessionState | None = None, *, sequence: int = 0, **contact: str) -> EmailMessage:
    """The mail as its reader's programme parses it."""
    session = session or a_session()
    status = "cancelled" if kind in (MailKind.BOOKING_CANCELLED, MailKind.CANCELLED_BY_LAB) else "confirmed"
    outside = (MailKind.WAITLIST_JOINED, MailKind.WAITLIST_CLOSED, MailKind.OFFER_MADE, MailKind.OFFER_EXPIRED, *REMINDERS)
    in_calendar = kind not in outside
    details = {"deadline": DEADLINE.isoformat()} if kind in (MailKind.OFFER_MADE, MailKind.OFFER_EXPIRED) else {}
    places = [
        Entry(index, uid_of(session.session_id, index, AGENT), sequence, status, period.starts_at, period.ends_at, "Fablab, Toulouse")
        for index, period in enumerate(session.periods)
    ]
    known = Known(STATE_FOR[kind], session, told=0, before=Before((FRIDAY,), session.venue))
    message = compose.about_session(
        WRITER,
        kind=kind,
        mail_id=MAIL_ID,
        booking_id=BOOKING_ID,
        details={"rank": 3, "reason": "rang 1"} | details,
        known=known,
        entries=places if in_calendar else [],
        joining=JoiningInstructions(session_id=session.session_id, bring="un carnet", video_url="https://visio.exemple.invalid/x"),
        contact=a_contact(AGENT, **contact),
        now=NOW,
    )
    return parsed(message)


def parsed(message: EmailMessage) -> EmailMessage:
    content = message.as_bytes()
    content.decode("ascii")  # every part travels in ASCII
    assert max(map(len, content.splitlines())) <= 998
    back = message_from_bytes(content, policy=default)
    assert not any(part.defects for part in back.walk())
    return back


def shape(message: MIMEPart) -> Any:
    if not message.is_multipart():
        return message.get_content_type()
    return {message.get_content_subtype(): [shape(part) for part in message.iter_parts()]}


def test_a_mail_with_a_calendar_has_the_shape_that_clients_act_on() -> None:
    message = written(MailKind.BOOKING_CONFIRMED)

    assert shape(message) == {"mixed": [{"alternative": ["text/plain", "text/html", "text/calendar"]}, "application/ics"]}
    (part,) = (part for part in message.walk() if part.get_content_type() == "text/calendar")
    assert part["content-type"].params["method"] == "REQUEST"
    assert part["content-transfer-encoding"] == "base64"


def test_a_mail_without_a_calendar_is_text_and_html() -> None:
    assert shape(written(MailKind.WAITLIST_JOINED)) == {"alternative": ["text/plain", "text/html"]}


def test_headers_say_who_writes_that_a_machine_does_and_where_a_person_reads() -> None:
    message = written(MailKind.BOOKING_CONFIRMED)

    assert message["from"] == "Lab-O <lab-o@exemple.invalid>"
    assert message["reply-to"].addresses[0].addr_spec == "equipe@exemple.invalid"
    assert message["message-id"] == f"<{MAIL_ID}@exemple.invalid>"
    assert message["auto-submitted"] == "auto-generated"
    assert message["date"].datetime == NOW
    assert message["list-unsubscribe"] is None  # nobody subscribed to a confirmation


@pytest.mark.parametrize("kind", list(STATE_FOR))
def test_every_mail_about_a_booking_can_be_written(kind: MailKind) -> None:
    session = a_session(None, THURSDAY, IN_APRIL, title="Écrire à l'usager : « nudge » & Cie <vite>")
    message = written(kind, session)

    assert session.title in message["subject"]
    assert session.title in body(message)
    html = body(message, "html")
    assert "&lt;vite&gt;" in html
    assert "<vite>" not in html
    assert not re.search(r"<(img|table|script|link)|@import|url\(", html)
    assert '<html lang="fr">' in html
    for part in ("plain", "html"):
        assert "None" not in body(message, part)
        assert "Bonjour Garonne Saule-Têtard" in body(message, part)


@pytest.mark.parametrize(("kind", "details"), PROJECT_MAILS)
def test_every_mail_about_a_project_can_be_written(kind: MailKind, details: dict[str, Any]) -> None:
    message = parsed(compose.about_project(WRITER, kind=kind, mail_id=MAIL_ID, details=details, contact=a_contact(AGENT), now=NOW))

    assert shape(message) == {"alternative": ["text/plain", "text/html"]}
    assert "https://lab-o.exemple.invalid/mon-projet" in body(message)
    assert message["subject"] == " ".join(message["subject"].split())


def test_a_hybrid_and_a_remote_session_say_how_they_are_followed() -> None:
    assert "peut aussi être suivie à distance" in body(written(MailKind.BOOKING_CONFIRMED, a_session(delivery_mode=DeliveryMode.HYBRID)))
    assert "Où : À distance, en visioconférence" in body(written(MailKind.BOOKING_CONFIRMED, a_session(venue=None)))


def test_no_text_of_others_breaks_out_of_its_header() -> None:
    session = a_session(title="Bonjour\r\nBcc: tous@exemple.invalid")
    message = written(MailKind.BOOKING_CONFIRMED, session, given_name="A\r\nBcc: x@y.invalid", usual_name='"B" <c@d.invalid>')

    assert message["bcc"] is None
    assert len(message["to"].addresses) == 1


def french(longest: int) -> st.SearchStrategy[str]:
    letters = st.text("aeiou bcdlmnst éèàçùœÉ«»':,()&<>\"-", min_size=1, max_size=longest)
    return letters.map(lambda text: " ".join(text.split())).filter(bool)


# Of a name in two encoded words, the standard library's reader keeps the space between them, wrongly.
@given(subject=french(120), name=french(18))
def test_subjects_and_names_arrive_as_they_were_written(subject: str, name: str) -> None:
    message = EmailMessage(policy=WIRE)
    message["Subject"] = subject
    message["To"] = Address(name, addr_spec="elise.garonne@exemple.invalid")

    read = parsed(message)

    assert read["subject"] == subject
    (address,) = read["to"].addresses
    assert (address.display_name, address.addr_spec) == (name, "elise.garonne@exemple.invalid")


@pytest.mark.parametrize(
    "email", ["élodie@exemple.invalid", "a b@exemple.invalid", "@exemple.invalid", "a@", "a@x..y", "a@b\r\nBcc: c@d.invalid"]
)
def test_an_address_that_cannot_be_written_to_is_refused_before_any_mail(email: str) -> None:
    with pytest.raises(Unsendable):
        compose.recipient(a_contact(email=email))


# --- calendar ------------------------------------------------------------------------------------------------------------------------


def test_K2_one_attendee_a_constant_organizer_and_a_zone_spelled_out() -> None:
    message = written(MailKind.BOOKING_CONFIRMED)

    (calendar,) = calendars(message)
    (event,) = calendar.events
    assert event["organizer"] == "mailto:lab-o@exemple.invalid"
    assert event["organizer"].params["CN"] == "Lab-O"
    assert event["attendee"] == f"mailto:{a_contact(AGENT).email}"
    assert event["attendee"].params["PARTSTAT"] == "ACCEPTED"
    assert event["dtstart"].params["TZID"] == "Europe/Paris"
    assert [zone["tzid"] for zone in calendar.timezones] == ["Europe/Paris"]
    assert event.DTSTAMP == NOW
    assert str(event["url"]).startswith("https://lab-o.exemple.invalid/seances/")


def test_K2_a_cancellation_says_so_twice() -> None:
    (calendar,) = calendars(written(MailKind.CANCELLED_BY_LAB, sequence=4))

    assert calendar["method"] == "CANCEL"
    (event,) = calendar.events
    assert (event["status"], event["sequence"]) == ("CANCELLED", 4)
    assert event["organizer"] == "mailto:lab-o@exemple.invalid"


@pytest.mark.parametrize("kind", [MailKind.BOOKING_CONFIRMED, MailKind.SESSION_MOVED, MailKind.CANCELLED_BY_LAB])
def test_K3_nothing_sent_holds_an_rrule(kind: MailKind) -> None:
    message = written(kind, a_session(None, THURSDAY, IN_APRIL))

    for part in message.walk():
        if not part.is_multipart():
            assert b"RRULE" not in cast("bytes", part.get_payload(decode=True))
    assert len(entries(message)) == 2


@pytest.mark.parametrize("zone_name", ["Europe/Paris", "Indian/Reunion", "America/Cayenne", "America/Miquelon", "Pacific/Noumea"])
def test_K2_the_zone_we_spell_out_is_the_zone(zone_name: str) -> None:
    first, last = datetime(2027, 1, 5, tzinfo=UTC), datetime(2027, 12, 20, tzinfo=UTC)
    spelled = Timezone.from_ical(timezone(zone_name, first, last).to_ical())
    assert isinstance(spelled, Timezone)
    ours, truth = spelled.to_tz(lookup_tzid=False), ZoneInfo(zone_name)

    wall = datetime(2027, 1, 1)  # noqa: DTZ001 - a wall clock
    while wall.date() < date(2027, 12, 31):
        if wall.hour not in (0, 1, 2, 3):  # hours that a change of clocks makes twice or not at all
            assert wall.replace(tzinfo=ours).utcoffset() == wall.replace(tzinfo=truth).utcoffset(), wall
        wall += timedelta(hours=1)


def test_K2_the_onsets_of_2027_in_paris_are_the_last_sundays_of_march_and_october() -> None:
    in_2027 = NOW.replace(year=2027)
    spelled = timezone("Europe/Paris", in_2027, in_2027).to_ical().decode()
    assert re.findall(r"DTSTART:(\d+T\d+)", spelled) == ["20261025T030000", "20270328T020000", "20271031T030000"]

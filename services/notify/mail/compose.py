"""The message itself: text, HTML, calendar. Pure: everything it says is given to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from uuid import UUID

from services.notify.calendars.entries import Entry
from services.notify.calendars.invitation import Matter, calendar, invitations
from services.notify.mail import letters
from services.notify.mail.claims import Mail
from services.notify.mail.dates import local_times
from services.notify.mail.domain import CANCELLATIONS, MOVES, Before, Known, MailKind, place
from services.notify.mail.letters import Appointment, Card, Links
from services.notify.mail.wire import WIRE
from services.notify.preferences.domain import TOPICS
from services.notify.settings import NotifySettings
from services.notify.tailored import letters as tailored
from shared.contracts.booking import BookingState
from shared.contracts.catalog import SessionState
from shared.contracts.gateway import Contact
from shared.contracts.groups import GroupState
from shared.contracts.reminders import JoiningInstructions
from shared.contracts.tailored import TailoredRequest
from shared.links import Purpose

NEWS_AT_MOST = 20
"""Sessions in one mail; the programme has them all."""


class Unsendable(Exception):
    """No mail can be addressed like this, however often it is tried."""


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes, and where the links of a mail lead."""

    sender: str
    reply_to: str
    links: Links

    @classmethod
    def of(cls, settings: NotifySettings) -> Writer:
        return cls(settings.mail_sender, settings.mail_reply_to, Links.of(settings.portal_url, settings.link_secret))

    def message_id(self, mail_id: UUID) -> str:
        """The same at every try: what arrives twice can be seen to be one."""
        return f"<{mail_id}@{self.sender.rpartition('@')[2]}>"


def recipient(contact: Contact) -> Address:
    """`Unsendable` unless the address can be written in ASCII (a domain with accents can)."""
    local, _, domain = contact.email.rpartition("@")
    try:
        address = Address(name_of(contact), addr_spec=f"{local}@{domain.encode('idna').decode()}")
        address.addr_spec.encode("ascii")
    except (ValueError, LookupError, MessageError) as error:
        raise Unsendable("the address cannot be written to") from error
    return address


def name_of(contact: Contact) -> str:
    return " ".join(f"{contact.given_name} {contact.usual_name}".split())


def about_session(
    writer: Writer,
    *,
    kind: MailKind,
    mail_id: UUID,
    booking_id: UUID,
    details: Mapping[str, Any],
    known: Known,
    entries: Sequence[Entry],
    joining: JoiningInstructions,
    contact: Contact,
    now: datetime,
    applicant: str = "",
    alternatives: Sequence[SessionState] = (),
) -> EmailMessage:
    """A mail about a booking, with the calendar entries it changes. How to join is told to who has a seat, and to nobody else.

    `alternatives` are what else there is, where the session was cancelled.
    """
    session, links = known.session, writer.links
    dates = [period for period in session.periods if known.reminded_of is None or period.starts_at >= known.reminded_of]
    words: dict[str, Any] = {
        "person": name_of(contact),
        "links": links,
        "details": details,
        "applicant": applicant,
        "appointment": Appointment.of(session.model_copy(update={"periods": tuple(dates)})),
        "joining": joining if known.has_a_seat else None,
        "over": kind in CANCELLATIONS,
        "in_calendar": bool(entries),
        "reason": known.move_reason if kind in MOVES else _reason(session, details),
        "waiting": known.booking in (BookingState.WAITING, GroupState.WAITING),
        "of_group": isinstance(known.booking, GroupState),
        "session_page": links.session(session.session_id),
        "answers": _answers(links, booking_id, contact.agent_id, details, session),
    }
    words |= {name: datetime.fromisoformat(details[name]) for name in ("deadline", "names_due_at", "priority_until") if name in details}
    if alternatives:
        words["cards"] = [Card(Appointment.of(other), links.session(other.session_id)) for other in alternatives]
    if kind in MOVES and known.before is not None:
        words |= _change(known.before, known)
    message = _message(writer, kind, words, mail_id, contact, now)
    if entries:
        page = links.session(session.session_id)
        matter = Matter(
            title=" ".join(session.title.split()),
            description=f"{session.summary}\n\nVotre inscription : {links.bookings}".strip(),
            url=page,
            organizer=writer.sender,
            attendee=recipient(contact).addr_spec,
            attendee_name=name_of(contact),
            zones=[period.zone for period in session.periods],
        )
        _attach_calendar(message, entries, matter, now)
    return message


def about_attendance(writer: Writer, mail: Mail, session: SessionState, contact: Contact, now: datetime) -> EmailMessage:
    """A mail to whoever keeps an attendance sheet, or about whether somebody came. It changes no calendar."""
    links, details, took_place = writer.links, mail.details, mail.kind is not MailKind.SHEET_ENTRUSTED
    of_kind = {"expires_at", "unknown_at", "issued_at", "open_until"}
    dates = {name: datetime.fromisoformat(details[name]) for name in of_kind & details.keys()}
    words: dict[str, Any] = {
        "person": name_of(contact),
        "links": links,
        "appointment": Appointment.of(session),
        "over": took_place,
        "held": took_place,
        "excuse": f"{links.bookings}/{mail.booking_id}/empechement",
        "certificate": links.certificate(mail.booking_id, mail.agent_id, dates["issued_at"]) if "issued_at" in dates else None,
        "sheet": links.sheet(session.session_id, mail.agent_id, dates["expires_at"]) if "expires_at" in dates else None,
    }
    if "invitation_id" in details:
        invitation_id = UUID(details["invitation_id"])
        words["survey"] = links.answer(Purpose.GIVE_FEEDBACK, invitation_id, mail.agent_id, dates["open_until"]) or links.home
    words |= {"replaces": details["replaces"]} if "replaces" in details else {}
    return _message(writer, mail.kind, words | dates, mail.id, contact, now)


def _answers(links: Links, booking_id: UUID, agent_id: UUID, details: Mapping[str, Any], session: SessionState) -> Mapping[str, str | None]:
    """Links that need no sign-in: an offer is answered until its deadline, a seat that came by itself is given back until the start."""
    until = datetime.fromisoformat(details["deadline"]) if "deadline" in details else session.starts_at
    return {
        "accept": links.answer(Purpose.ACCEPT_OFFER, booking_id, agent_id, until),
        "decline": links.answer(Purpose.DECLINE_OFFER, booking_id, agent_id, until),
        "approve": links.answer(Purpose.APPROVE_BOOKING, booking_id, agent_id, until),
        "confirm": links.answer(Purpose.CONFIRM_BOOKING, booking_id, agent_id, until),
        "give_up": links.answer(Purpose.GIVE_UP_SEAT, booking_id, agent_id, until),
        "leave": links.answer(Purpose.LEAVE_QUEUE, booking_id, agent_id, session.starts_at),
        "refuse": links.answer(Purpose.REFUSE_BOOKING, booking_id, agent_id, until),
        "give_back": links.answer(Purpose.GIVE_BACK, booking_id, agent_id, session.starts_at),
        "take_part": links.answer(Purpose.TAKE_PART, booking_id, agent_id, until),
        "leave_part": links.answer(Purpose.LEAVE_PART, booking_id, agent_id, until),
        "group": links.answer(Purpose.SEE_GROUP, booking_id, agent_id, session.ends_at),
    }


def _reason(session: SessionState, details: Mapping[str, Any]) -> str:
    """Catalog's own words once they are here; booking, which may be heard first, quotes them after a few of its own."""
    return (session.cancellation_reason or details.get("reason") or "").removeprefix("séance annulée").strip(" :")


def _change(before: Before, known: Known) -> dict[str, Any]:
    was, now = ([local_times(period) for period in periods] for periods in (before.periods, known.session.periods))
    return {
        "before": Appointment.earlier(known.session.title, before.periods, before.venue),
        "time_changed": was != now,
        "day_changed": [start.date() for start, _ in was] != [start.date() for start, _ in now],
        "place_changed": place(before.venue) != place(known.session.venue),
    }


def about_project(
    writer: Writer, *, kind: MailKind, mail_id: UUID, details: Mapping[str, Any], contact: Contact, now: datetime
) -> EmailMessage:
    """A mail about an application or an engagement. Reasons and texts stay in the portal (C8)."""
    days = {name: date.fromisoformat(details[name]) for name in ("starts_on", "planned_end_on") if name in details}
    words = {"person": name_of(contact), "links": writer.links, "details": details} | days
    return _message(writer, kind, words, mail_id, contact, now)


def about_tailored_request(
    writer: Writer, *, kind: MailKind, mail_id: UUID, request: TailoredRequest, proposal_id: UUID | None, contact: Contact, now: datetime
) -> EmailMessage:
    """A mail about a tailored request, to its agent, the lab or a host."""
    words = tailored.words(writer.links, kind, request, contact.agent_id, proposal_id) | {"person": name_of(contact), "links": writer.links}
    return _message(writer, kind, words, mail_id, contact, now)


def about_news(writer: Writer, *, mail_id: UUID, sessions: Sequence[SessionState], contact: Contact, now: datetime) -> EmailMessage:
    """The sessions that are new this week, in the reader's themes and départements."""
    cards = [Card(Appointment.of(session), writer.links.session(session.session_id)) for session in sessions[:NEWS_AT_MOST]]
    words: dict[str, Any] = {"person": name_of(contact), "links": writer.links, "cards": cards, "more": len(sessions) - len(cards)}
    return _message(writer, MailKind.NEWS, words, mail_id, contact, now)


@dataclass(frozen=True, slots=True)
class Item:
    """A mail that a digest tells."""

    kind: MailKind
    details: Mapping[str, Any]
    known: Known
    joining: JoiningInstructions


def digest(writer: Writer, *, mail_id: UUID, items: Sequence[Item], contact: Contact, now: datetime) -> EmailMessage:
    """Several mails in one."""
    cards = [
        Card(
            Appointment.of(item.known.session),
            writer.links.session(item.known.session.session_id),
            kind=item.kind,
            rank=item.details.get("rank"),
            joining=item.joining if item.known.has_a_seat else None,
        )
        for item in items
    ]
    words: dict[str, Any] = {"person": name_of(contact), "links": writer.links, "cards": cards}
    return _message(writer, MailKind.DIGEST, words, mail_id, contact, now)


def _message(writer: Writer, kind: MailKind, words: Mapping[str, Any], mail_id: UUID, contact: Contact, now: datetime) -> EmailMessage:
    topic = TOPICS.get(kind)
    opt_out = topic and writer.links.opt_out(topic, contact.agent_id)
    letter = letters.write(kind, {**words, "opt_out": opt_out})
    message = EmailMessage(policy=WIRE)
    message["From"] = Address("Lab-O", addr_spec=writer.sender)
    message["To"] = recipient(contact)
    message["Reply-To"] = Address("Équipe du Lab-O", addr_spec=writer.reply_to)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(now)
    message["Message-ID"] = writer.message_id(mail_id)
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    if opt_out:  # one click in the mail program, which asks with a POST (RFC 8058)
        message["List-Unsubscribe"] = f"<{opt_out}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message


def _attach_calendar(message: EmailMessage, entries: Sequence[Entry], matter: Matter, now: datetime) -> None:
    """`mixed[alternative[plain, html, calendar], application/ics]`: mail clients act on the first part, people open the file.

    Further periods, and those that are gone, follow as calendar parts of their own.
    """
    first, *others = invitations(entries, matter, now)
    message.add_alternative(first.content.decode(), subtype="calendar", params={"method": first.method}, cte="base64")
    same = [entry for entry in entries if entry.status == first.entry.status]
    file = first.content if len(same) == 1 else calendar(same, matter, now)
    name = "seance.ics" if first.method == "REQUEST" else "annulation.ics"
    message.add_attachment(file, maintype="application", subtype="ics", filename=name)
    for other in others:
        number = other.entry.period_index + 1
        name = f"date-{number}.ics" if other.method == "REQUEST" else f"date-{number}-annulee.ics"
        message.add_attachment(other.content.decode(), subtype="calendar", params={"method": other.method}, cte="base64", filename=name)

"""The words of a mail: French templates, written once per kind and set twice, as text and as HTML."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from uuid import UUID

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape
from pydantic import SecretStr

from services.notify.mail import dates
from services.notify.mail.domain import MailKind
from shared.contracts.catalog import DeliveryMode, Period, SessionState, VenueSheet
from shared.contracts.preferences import Topic
from shared.contracts.reminders import JoiningInstructions
from shared.links import Link, OptOut, Purpose

CERTIFICATE_LINK_LASTS = timedelta(days=180)
PAGES = {Purpose.TAKE_PART: "groupe", Purpose.LEAVE_PART: "groupe", Purpose.SEE_GROUP: "groupe", Purpose.GIVE_FEEDBACK: "avis"}
TEMPLATES = Path(__file__).parent.parent / "templates"


@dataclass(frozen=True, slots=True)
class Letter:
    subject: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Links:
    """Pages of the portal that mails lead to."""

    home: str
    bookings: str
    project: str
    secret: SecretStr
    """Signs what can be answered without a sign-in; without it, mails lead to pages that ask for one."""

    @classmethod
    def of(cls, portal_url: str, secret: SecretStr) -> Links:
        home = portal_url.rstrip("/")
        return cls(home=f"{home}/", bookings=f"{home}/mes-inscriptions", project=f"{home}/mon-projet", secret=secret)

    def session(self, session_id: object) -> str:
        return f"{self.home}seances/{session_id}"

    def answer(self, purpose: Purpose, booking_id: UUID, agent_id: UUID, until: datetime) -> str | None:
        """A page that asks the reader to confirm, once, before then (K5)."""
        token = Link(purpose, booking_id, agent_id, until).sign(self.secret)
        return token and f"{self.home}{PAGES.get(purpose, 'reponse')}/{token}"

    def certificate(self, booking_id: UUID | None, agent_id: UUID, issued_at: datetime) -> str | None:
        """The PDF of the valid certificate of a booking, without a sign-in."""
        token = booking_id and Link(Purpose.FETCH_CERTIFICATE, booking_id, agent_id, issued_at + CERTIFICATE_LINK_LASTS).sign(self.secret)
        return token and f"{self.home}attestation/{token}"

    def sheet(self, session_id: UUID, keeper_id: UUID, until: datetime) -> str | None:
        """The attendance sheet, without an account (A1)."""
        token = Link(Purpose.KEEP_SHEET, session_id, keeper_id, until).sign(self.secret)
        return token and f"{self.home}emargement/{token}"

    def opt_out(self, topic: Topic, agent_id: UUID) -> str | None:
        """A page, and what mail programs post to, that ends mails about a topic (RFC 8058)."""
        token = OptOut(topic, agent_id).sign(self.secret)
        return token and f"{self.home}desabonnement/{token}"

    @property
    def preferences(self) -> str:
        return f"{self.home}mes-preferences"


@dataclass(frozen=True, slots=True)
class Appointment:
    """When and where, in words."""

    title: str
    when: Sequence[str]
    day: str
    """First day, short: « jeudi 18 mars »."""
    where: Sequence[str]
    access: Sequence[str]

    @classmethod
    def of(cls, session: SessionState) -> Appointment:
        access = list(_access(session.venue)) if session.venue else []
        if session.delivery_mode is DeliveryMode.HYBRID:
            access.append("Cette séance peut aussi être suivie à distance.")
        return cls._of(session.title, session.periods, session.venue, access)

    @classmethod
    def earlier(cls, title: str, periods: Sequence[Period], venue: VenueSheet | None) -> Appointment:
        return cls._of(title, periods, venue, ())

    @classmethod
    def _of(cls, title: str, periods: Sequence[Period], venue: VenueSheet | None, access: Sequence[str]) -> Appointment:
        day = dates.short_day(dates.local_times(periods[0])[0])
        where = (venue.name, f"{venue.address}, {venue.city}") if venue else ("À distance, en visioconférence",)
        return cls(title, [dates.when(period) for period in periods], day, where, access)


@dataclass(frozen=True, slots=True)
class Card:
    """A session among others in one mail, with what it is told for."""

    appointment: Appointment
    link: str
    kind: MailKind | None = None
    rank: int | None = None
    joining: JoiningInstructions | None = None


def _access(venue: VenueSheet) -> Sequence[str]:
    if venue.step_free_access:
        steps = "Lieu accessible de plain-pied."
    else:
        steps = "Ce lieu n'est pas accessible de plain-pied. Si c'est un obstacle pour vous, répondez à ce message."
    return [f"Transports : {venue.public_transport}", steps] if venue.public_transport else [steps]


def write(kind: MailKind, words: Mapping[str, Any]) -> Letter:
    """`words` holds what the template of this kind asks for; a missing one is an error, never a hole in a sentence."""
    template = _environment(html=False).get_template(f"{kind}.txt")
    html = _environment(html=True).get_template(f"{kind}.txt")
    return Letter(
        subject=_subject(template, words),
        text=template.render(words, layout="layout.txt").strip() + "\n",
        html=html.render(words, layout="layout.html"),
    )


def _subject(template: Template, words: Mapping[str, Any]) -> str:
    block = template.blocks["subject"](template.new_context(dict(words)))
    return " ".join("".join(block).split())  # on one line, whatever a title holds


@lru_cache(maxsize=2)
def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=html,  # noqa: S701 - the other one writes plain text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["paragraphs"] = _paragraphs
    environment.filters["wrapped"] = _wrapped
    environment.filters["beside"] = _beside
    environment.filters["day"] = dates.long_day
    environment.filters["plain_day"] = dates.plain_day
    environment.filters["moment"] = dates.said
    return environment


def _blocks(text: str) -> list[str]:
    """Paragraphs of a text, each on one line; an empty line separates them. « and : stay with their words."""
    blocks = (" ".join(block.split()) for block in str(text).strip().split("\n\n") if block.strip())
    return [re.sub(r" (?=[:;!?»])|(?<=«) ", "\N{NO-BREAK SPACE}", block) for block in blocks]


def _paragraphs(text: str) -> Markup:
    escaped = escape(text)  # does nothing to what a template has escaped before
    return Markup("\n".join(f"<p>{block}</p>" for block in _blocks(escaped)))  # noqa: S704


def _wrapped(text: str) -> str:
    return "\n\n".join(textwrap.fill(block, 76, break_long_words=False, break_on_hyphens=False) for block in _blocks(text))


def _beside(words: str, label: str = "") -> str:
    """Lines of a text beside their label, in a column of their own."""
    column = " " * 12
    return textwrap.fill(words, 76, initial_indent=f"{label:<12}", subsequent_indent=column, break_long_words=False, break_on_hyphens=False)

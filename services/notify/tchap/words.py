"""A message to the room, in French: plain, and as HTML. Whatever a title holds stays text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from services.notify.mail.dates import when
from services.notify.mail.letters import Links
from services.notify.tchap.domain import Kind, News
from shared.contracts.catalog import SessionState

LARGEST = 20  # sessions told one by one; a message of Matrix has 64 KiB
HEADINGS = {
    Kind.SCHEDULED: ("Nouvelle séance au Lab-O", "Nouvelles séances au Lab-O"),
    Kind.MOVED: ("Séance déplacée", "Séances déplacées"),
    Kind.CANCELLED: ("Séance annulée", "Séances annulées"),
}


@dataclass(frozen=True, slots=True)
class Message:
    body: str
    formatted_body: str


def message(news: Sequence[News], links: Links) -> Message:
    plain: list[str] = []
    html: list[str] = []
    for kind, (one, several) in HEADINGS.items():
        sessions = [each.session for each in news[:LARGEST] if each.kind is kind]
        if not sessions:
            continue
        heading = one if len(sessions) == 1 else several
        plain += [f"{heading} :", *(f"- {each.title}, {_details(each)} : {links.session(each.session_id)}" for each in sessions)]
        items = "".join(_item(each, links) for each in sessions)
        html.append(f"<p><strong>{heading}</strong></p><ul>{items}</ul>")
    if (more := len(news) - LARGEST) > 0:
        rest = "et un autre changement" if more == 1 else f"et {more} autres changements"
        plain.append(f"… {rest} au programme : {links.home}")
        html.append(f'<p>… {rest} <a href="{escape(links.home)}">au programme</a></p>')
    return Message("\n".join(plain), "".join(html))


def _item(session: SessionState, links: Links) -> str:
    return f'<li><a href="{escape(links.session(session.session_id))}">{escape(session.title)}</a>, {escape(_details(session))}</li>'


def _details(session: SessionState) -> str:
    """« jeudi 18 mars 2027 de 14 h à 17 h 30 (et 2 autres dates), Médiathèque, Rodez »."""
    more = len(session.periods) - 1
    others = "" if not more else " (et une autre date)" if more == 1 else f" (et {more} autres dates)"
    place = f"{session.venue.name}, {session.venue.city}" if session.venue else "à distance"
    return f"{when(session.periods[0])}{others}, {place}"

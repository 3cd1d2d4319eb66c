"""The framing note: its first version, made from what was asked, and the note as a Markdown document. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime

from services.booking.deadlines.domain import MONTHS
from shared.contracts.catalog import ActivityType
from shared.contracts.framing import FramingDocument, FramingNote, WriteFramingNote
from shared.contracts.tailored import TailoredRequest
from shared.errors import Refused

KINDS = {ActivityType.LABTOUR: "Labtour", ActivityType.WORKSHOP_SUPPORT: "Appui à un atelier"}
HEADINGS = {
    "objective": "Objectif",
    "decision_rights": "Qui décide de quoi",
    "participants": "Participants",
    "deliverables": "Ce qui doit en sortir",
    "constraints": "Contraintes",
}


class FramingNoteUnknown(Refused):
    code, status, title = "framing_note_unknown", 404, "La note de cadrage n'existe pas encore."


class FramingNoteConflict(Refused):
    """Travels with the present `version`."""

    code, title = "framing_note_conflict", "Quelqu'un d'autre vient de modifier la note : relisez-la avant d'enregistrer la vôtre."


def template(request: TailoredRequest, written_by: str, now: datetime) -> FramingNote:
    """The questions to answer together, with what the agent said already."""
    number = f"{request.participants} personne{'s' if request.participants > 1 else ''}"
    access = f"\n\nBesoins d'accessibilité : {request.access_needs}" if request.access_needs else ""
    return FramingNote(
        tailored_request_id=request.tailored_request_id,
        version=1,
        written_by=written_by,
        written_at=now,
        objective=f"Que doit-on savoir, ou savoir faire, en repartant ?\n\nSouhait exprimé : {request.wishes}",
        decision_rights="Qui décidera des suites, et que peut décider le groupe sur place ?",
        participants=f"{number}. Qui vient, et qui manquerait ?{access}",
        deliverables="Que doit-il rester de la rencontre : des décisions, un essai, un relevé d'idées ?",
        constraints=f"Dates possibles : du {_day(request.earliest)} au {_day(request.latest)}. Lieu, budget, déplacements ?",
    )


def next_version(present: FramingNote | None, order: WriteFramingNote, written_by: str, now: datetime) -> FramingNote:
    if present is None:
        raise FramingNoteUnknown(f"request {order.tailored_request_id}")
    if order.based_on != present.version:
        raise FramingNoteConflict(f"based on {order.based_on}, but {present.version} is there", version=present.version)
    texts = order.model_dump(include=set(HEADINGS))
    return FramingNote(
        tailored_request_id=order.tailored_request_id, version=present.version + 1, written_by=written_by, written_at=now, **texts
    )


def document(request: TailoredRequest, note: FramingNote) -> FramingDocument:
    """Texts are quoted as they are, except what would begin a heading of its own."""
    kind = KINDS[request.activity_type]
    sections = (f"## {heading}\n\n{_plain(getattr(note, name))}" for name, heading in HEADINGS.items())
    written = note.written_at.date()
    head = f"# Note de cadrage · {kind}\n\nVersion {note.version} du {_day(written)} · {request.org_unit}"
    name = f"note-de-cadrage-{request.activity_type.value.replace('_', '-')}-v{note.version}.md"
    return FramingDocument(file_name=name, markdown="\n\n".join((head, *sections)) + "\n")


def _plain(text: str) -> str:
    lines = text.strip().replace("\r\n", "\n") or "À préciser."
    return re.sub(r"^(\s{0,3})(#|=+\s*$|-+\s*$)", r"\1\\\2", lines, flags=re.MULTILINE)


def _day(day: date) -> str:
    return f"{'1er' if day.day == 1 else day.day} {MONTHS[day.month - 1]} {day.year}"

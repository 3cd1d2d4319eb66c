"""The framing note of a tailored request, as booking answers it."""

from __future__ import annotations

from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.catalog import Text
from shared.contracts.messages import Message, Request


class FramingNote(Message):
    """What both sides write together before dates are proposed. Every version is kept."""

    tailored_request_id: UUID
    version: int
    written_by: str
    """Opaque id of who wrote this version."""
    written_at: AwareDatetime
    objective: str
    decision_rights: str
    """Who may decide what about what comes out."""
    participants: str
    deliverables: str
    constraints: str


class WriteFramingNote(Request[FramingNote]):
    """Write the next version of the note, as its agent or as the lab, until the request is over.

    Refuses `framing_note_conflict` (409, with the present `version`: somebody was faster), `framing_note_unknown` (not framed yet),
    `tailored_request_unknown`, `tailored_request_moved_on`.
    """

    subject: ClassVar[str] = "rpc.booking.write_framing_note.v1"
    tailored_request_id: UUID
    based_on: Annotated[int, Field(ge=1)]
    """The version that the writer read."""
    objective: Text
    decision_rights: Text
    participants: Text
    deliverables: Text
    constraints: Text


class GetFramingNote(Request[FramingNote]):
    """The newest version, or the one asked for. Refuses `tailored_request_unknown`, `framing_note_unknown`."""

    subject: ClassVar[str] = "rpc.booking.get_framing_note.v1"
    tailored_request_id: UUID
    version: int | None = None


class FramingDocument(Message):
    file_name: str
    markdown: str


class ExportFramingNote(Request[FramingDocument]):
    """The newest version as Markdown, to be taken into a document of La Suite. Refuses as `GetFramingNote` does."""

    subject: ClassVar[str] = "rpc.booking.export_framing_note.v1"
    tailored_request_id: UUID

"""The table `framing_note`: versions are added, none is ever changed."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.framing import FramingNote

_COLUMNS = "tailored_request_id, version, written_by, written_at, objective, decision_rights, participants, deliverables, constraints"
_INSERT = text(
    f"insert into framing_note ({_COLUMNS}) values (:tailored_request_id, :version, :written_by, :written_at, :objective, "  # noqa: S608
    ":decision_rights, :participants, :deliverables, :constraints)"
)
_READ = text(
    f"select {_COLUMNS} from framing_note where tailored_request_id = :tailored_request_id "  # noqa: S608
    "and version = coalesce(:version, version) order by version desc limit 1"
)


async def insert(tx: AsyncConnection, note: FramingNote) -> None:
    await tx.execute(_INSERT, note.model_dump())


async def read(connection: AsyncConnection, tailored_request_id: UUID, version: int | None = None) -> FramingNote | None:
    """The version asked for, else the newest."""
    found = await connection.execute(_READ, {"tailored_request_id": tailored_request_id, "version": version})
    row = found.mappings().one_or_none()
    return FramingNote.model_validate(dict(row)) if row else None

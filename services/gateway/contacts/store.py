"""People who are no agents of ours, such as a host's or a line manager: an address under an opaque id, and nothing else (P4)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.outbox import uuid7

_ADD = text(
    """
    insert into contacts (contact_id, email) values (:contact_id, :email)
    on conflict (contact_id) do update set email = excluded.email
    """
)
# Named again by the same agent, a person keeps their id. The update changes nothing: it makes `returning` answer for a row of before.
_KEEP = text(
    """
    insert into contacts (contact_id, named_by, email) values (:contact_id, :named_by, :email)
    on conflict (named_by, lower(email)) do update set email = excluded.email returning contact_id
    """
)
_READ = text("select email from contacts where contact_id = :contact_id")


async def add(tx: AsyncConnection, contact_id: UUID, email: str) -> None:
    """Known already, they are written to at the new address from now on."""
    await tx.execute(_ADD, {"contact_id": contact_id, "email": email})


async def keep(tx: AsyncConnection, named_by: UUID, email: str) -> UUID:
    """The opaque id that may travel in events."""
    return await tx.scalar(_KEEP, {"contact_id": uuid7(), "named_by": named_by, "email": email})


async def read_email(connection: AsyncConnection, contact_id: UUID) -> str | None:
    return await connection.scalar(_READ, {"contact_id": contact_id})

"""People who are no agents of ours, such as whoever answers for a host: an address under an opaque id, and nothing else (P4)."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_ADD = text(
    """
    insert into contacts (contact_id, email) values (:contact_id, :email)
    on conflict (contact_id) do update set email = excluded.email
    """
)
_READ = text("select email from contacts where contact_id = :contact_id")


async def add(tx: AsyncConnection, contact_id: UUID, email: str) -> None:
    """Known already, they are written to at the new address from now on."""
    await tx.execute(_ADD, {"contact_id": contact_id, "email": email})


async def read_email(connection: AsyncConnection, contact_id: UUID) -> str | None:
    return await connection.scalar(_READ, {"contact_id": contact_id})

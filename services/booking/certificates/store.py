"""Table `certificate`, and the only SQL that writes it. The lock on the sheet of its session is held by whoever writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.attendance import HalfDay
from shared.contracts.certificates import Certificate

_HALF_DAYS: TypeAdapter[tuple[HalfDay, ...]] = TypeAdapter(tuple[HalfDay, ...])

_VALID = text("select * from certificate where booking_id = any(:booking_ids) and state = 'valid'")
_OF_AGENT = text("select * from certificate where agent_id = :agent_id order by certificate_id desc limit :limit")
_ONE = text("select * from certificate where certificate_id = :certificate_id")
_END = text(
    """
    update certificate set state = :state, ended_at = :ended_at, replaced_by = :replaced_by, version = :version
    where certificate_id = :certificate_id
    """
)
_ADD = text(
    """
    insert into certificate (certificate_id, booking_id, session_id, agent_id, state, title, place, half_days, "of", issued_at, version)
    values (:certificate_id, :booking_id, :session_id, :agent_id, :state, :title, :place, cast(:half_days as jsonb), :of, :issued_at, 1)
    """
)


async def valid(connection: AsyncConnection, booking_ids: Sequence[UUID]) -> dict[UUID, Certificate]:
    rows = await connection.execute(_VALID, {"booking_ids": list(booking_ids)})
    return {row["booking_id"]: _certificate(row) for row in rows.mappings()}


async def of_agent(connection: AsyncConnection, agent_id: UUID, limit: int) -> tuple[Certificate, ...]:
    rows = await connection.execute(_OF_AGENT, {"agent_id": agent_id, "limit": limit})
    return tuple(_certificate(row) for row in rows.mappings())


async def read(connection: AsyncConnection, certificate_id: UUID) -> Certificate | None:
    row = (await connection.execute(_ONE, {"certificate_id": certificate_id})).mappings().one_or_none()
    return None if row is None else _certificate(row)


async def end(tx: AsyncConnection, former: Sequence[Certificate]) -> None:
    if former:
        await tx.execute(
            _END, [each.model_dump(include={"certificate_id", "state", "ended_at", "replaced_by", "version"}) for each in former]
        )


async def add(tx: AsyncConnection, certificates: Sequence[Certificate]) -> None:
    if certificates:
        left_out = {"ended_at", "replaced_by", "version"}
        half_days = [_HALF_DAYS.dump_json(each.half_days).decode() for each in certificates]
        rows = zip(certificates, half_days, strict=True)
        await tx.execute(_ADD, [each.model_dump(exclude=left_out) | {"half_days": dates} for each, dates in rows])


def _certificate(row: Mapping[Any, Any]) -> Certificate:
    return Certificate.model_validate(dict(row))

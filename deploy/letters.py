"""Dead letters: events that a consumer could not take. A person reads them, then gives them again or closes them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.accounts import SERVICES
from deploy.unprivileged import SetupError
from shared import clock
from shared.service import REPLAY

BY = "operator"
LOOK_SECONDS = 0.2
_PLAIN = (int, dict, type(None))


@dataclass(frozen=True, slots=True)
class Letter:
    service: str
    row: RowMapping

    @property
    def id(self) -> UUID:
        return self.row["id"]

    def as_json(self) -> dict[str, Any]:
        """All of it; the payload as JSON when it is, as text otherwise."""
        payload = bytes(self.row["payload"])
        told: dict[str, Any] = {name: value if isinstance(value, _PLAIN) else str(value) for name, value in self.row.items()}
        return {"service": self.service, **told, "payload": _readable(payload)}


def _readable(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="backslashreplace")


async def read(engine: AsyncEngine, services: Sequence[str] = SERVICES, *, resolved: bool = False) -> list[Letter]:
    """The open ones, or all, oldest first."""
    found: list[Letter] = []
    only = "" if resolved else "where resolved_at is null"
    async with engine.connect() as connection:
        for service in services:
            rows = await connection.execute(text(f"select * from {service}.dead_letter {only} order by parked_at"))  # noqa: S608 - our own names
            found += [Letter(service, row) for row in rows.mappings()]
    return sorted(found, key=lambda letter: letter.row["parked_at"])


async def one(engine: AsyncEngine, named: str) -> Letter:
    """By its id, or by the beginning or the end of it when that names only one."""
    asked = named.lower()
    found = [letter for letter in await read(engine, resolved=True) if str(letter.id).startswith(asked) or str(letter.id).endswith(asked)]
    if len(found) != 1:
        raise SetupError(f"{len(found) or 'no'} dead letters have an id that begins or ends with {named}")
    return found[0]


async def replay(engine: AsyncEngine, letter: Letter, within: float = 15.0) -> str | None:
    """Have its service give it to its consumer once more; None when that went well, otherwise why not. It then stays open."""
    key = f"replay-{letter.id}"
    async with engine.begin() as tx:
        due = datetime.now(UTC) + await clock.read_offset(tx)
        values = {"key": key, "kind": REPLAY, "due_at": due, "payload": json.dumps({"dead_letter_id": str(letter.id)})}
        await tx.execute(
            text(
                f"insert into {letter.service}.timer (key, kind, due_at, payload) values (:key, :kind, :due_at, cast(:payload as jsonb))"  # noqa: S608
                " on conflict (key) do update set due_at = excluded.due_at, retry_at = null, parked_at = null, last_error = null"
            ),
            values,
        )
    return await _outcome(engine, letter, key, time.monotonic() + within)


async def _outcome(engine: AsyncEngine, letter: Letter, key: str, deadline: float) -> str | None:
    state = text(
        f"select (select resolved_at from {letter.service}.dead_letter where id = :id) as resolved_at,"  # noqa: S608
        f" (select last_error from {letter.service}.timer where key = :key) as last_error"
    )
    while True:
        async with engine.connect() as connection:
            row = (await connection.execute(state, {"id": letter.id, "key": key})).one()
        if row.resolved_at is not None:
            return None
        if row.last_error or time.monotonic() > deadline:
            async with engine.begin() as tx:  # or it would go on trying behind the operator's back
                await tx.execute(text(f"delete from {letter.service}.timer where key = :key"), {"key": key})  # noqa: S608
            return row.last_error or f"{letter.service} did not take it up: is it running?"
        await asyncio.sleep(LOOK_SECONDS)


async def discard(engine: AsyncEngine, letter: Letter) -> bool:
    """Close it without its effect; the row stays. False when it was closed already."""
    async with engine.begin() as tx:
        closed = await tx.execute(
            text(
                f"update {letter.service}.dead_letter set resolved_at = clock_timestamp(), resolution = 'discarded', resolved_by = :by"  # noqa: S608
                " where id = :id and resolved_at is null"
            ),
            {"id": letter.id, "by": BY},
        )
    return closed.rowcount == 1

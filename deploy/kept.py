"""What the kernel keeps in each service's tables for an operator: the outbox, the timers; and the clock that all of them share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.accounts import SERVICES
from deploy.target import Target
from deploy.unprivileged import SetupError
from shared import clock

# Names of schemas come from SERVICES, never from outside.
_REFILL = "update {service}.outbox set published_at = null, stream_seq = null where published_at is not null and stream_seq >= :since"
_RELEASE_OUTBOX = "update {service}.outbox set parked_at = null, last_error = null where parked_at is not null"
_RELEASE_TIMERS = """
update {service}.timer set parked_at = null, retry_at = null, first_failed_at = null, attempts = 0
where parked_at is not null and (cast(:key as text) is null or key = :key)
"""
_PARKED_TIMERS = "select key, kind, due_at, attempts, last_error from {service}.timer where parked_at is not null order by due_at"


async def _change(engine: AsyncEngine, services: Sequence[str], statement: str, **values: object) -> dict[str, int]:
    changed: dict[str, int] = {}
    async with engine.begin() as tx:
        for service in services:
            changed[service] = (await tx.execute(text(statement.format(service=service)), values)).rowcount
    return changed


async def refill(engine: AsyncEngine, services: Sequence[str], since: int) -> dict[str, int]:
    """Have events published again, with the same ids, from this sequence of their stream on. How many, by service."""
    return await _change(engine, services, _REFILL, since=since)


async def release_outbox(engine: AsyncEngine, services: Sequence[str]) -> dict[str, int]:
    """Have the relay try parked events again."""
    return await _change(engine, services, _RELEASE_OUTBOX)


async def release_timers(engine: AsyncEngine, services: Sequence[str], key: str | None) -> dict[str, int]:
    """Have parked timers fire again: this one, or all."""
    return await _change(engine, services, _RELEASE_TIMERS, key=key)


async def parked_timers(engine: AsyncEngine) -> list[dict[str, Any]]:
    async with engine.connect() as connection:
        return [
            {"service": service, **row}
            for service in SERVICES
            for row in (await connection.execute(text(_PARKED_TIMERS.format(service=service)))).mappings()
        ]


def named(service: str | None) -> Sequence[str]:
    """One service by its name, or all."""
    if service is None:
        return SERVICES
    if service not in SERVICES:
        raise SetupError(f"there is no service {service}: choose among {', '.join(SERVICES)}")
    return (service,)


# --- the clock -------------------------------------------------------------------------------------------------------------------------


async def domain_offset(engine: AsyncEngine) -> timedelta:
    async with engine.connect() as connection:
        return await clock.read_offset(connection)


async def set_clock(target: Target, offset: timedelta) -> None:
    """Move domain time for the whole stack at once. Refused in production, where it is the time."""
    if not target.embedded:
        raise SetupError("the clock of a production system cannot be shifted")
    async with target.database() as engine, engine.begin() as tx:
        await tx.execute(
            text(
                "insert into platform.clock (offset_seconds) values (:seconds)"
                " on conflict (only_row) do update set offset_seconds = excluded.offset_seconds"
            ),
            {"seconds": offset.total_seconds()},
        )
    async with target.nats() as client:  # who does not hear it reads it within 30 s
        await client.publish(clock.SHIFTED_SUBJECT)
        await client.flush()


_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(w|d|h|min|m|s)")
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "min": "minutes", "m": "minutes", "s": "seconds"}


def duration(said: str) -> timedelta:
    """`2d`, `-1h30min`, `+45s`."""
    sign = -1 if said.startswith("-") else 1
    rest = said.lstrip("+-").replace(" ", "")
    parts = _PARTS.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise SetupError(f"{said} is not a duration: write 2d, -1h30min or +45s")
    return sign * sum((timedelta(**{_UNITS[unit]: float(number)}) for number, unit in parts), timedelta())


def offset_for(moment: str) -> timedelta:
    """How far domain time must be from real time for it to be this moment of Paris (`2027-03-12 18:30`) now."""
    try:
        wanted = datetime.fromisoformat(moment)
    except ValueError as wrong:
        raise SetupError(f"{moment} is not a moment: write 2027-03-12 18:30 (in Paris)") from wrong
    aware = wanted if wanted.tzinfo else wanted.replace(tzinfo=clock.PARIS)
    return aware - datetime.now(UTC)


def told(offset: timedelta) -> str:
    local = (datetime.now(UTC) + offset).astimezone(clock.PARIS)
    return f"{local:%A} {local.day} {local:%B %Y, %H:%M}"

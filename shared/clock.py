"""Domain time: what rules compare dates with. A demonstration or a test can shift it; production refuses (`ClockFixed`).

The offset is a row of the table `platform.clock`, read at start; `labo clock` changes it and tells every process over NATS.
Tokens, leases, retries, retention, `ce-time` and logs keep real time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

PARIS = ZoneInfo("Europe/Paris")
SHIFTED_SUBJECT = "clock.shifted"

_offset = timedelta(0)


class ClockFixed(RuntimeError):
    """Somebody tried to shift the clock of a production process."""


def now() -> datetime:
    """Domain time, aware, UTC."""
    return datetime.now(UTC) + _offset


def offset() -> timedelta:
    return _offset


def shift(by: timedelta, environment: Literal["embedded", "production"]) -> None:
    """Set how far domain time is from real time; `ClockFixed` in production unless it is zero."""
    global _offset  # noqa: PLW0603 - one clock per process is the point
    if by and environment == "production":
        raise ClockFixed("the clock of a production process cannot be shifted")
    _offset = by


async def read_offset(tx: AsyncConnection) -> timedelta:
    """The stored offset; zero when none was ever set."""
    seconds = await tx.scalar(text("select offset_seconds from platform.clock"))
    return timedelta(seconds=float(seconds or 0))

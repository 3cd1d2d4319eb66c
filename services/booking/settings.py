from __future__ import annotations

from datetime import timedelta
from functools import cache

from pydantic import Field

from shared.settings import Settings


class BookingSettings(Settings):
    """Settings of booking, from `LABO_…` like the others."""

    service: str = "booking"

    buffer_minutes: int = Field(default=30, ge=0, le=240)
    """Between two sessions of one agent, both in person (B5)."""
    travel_minutes: int = Field(default=60, ge=0, le=480)
    """Instead of the buffer, when one of the two is a labtour and they are in different cities (B5)."""
    fair_use: int = Field(default=3, ge=1)
    """Trainings and visits ahead that one agent may hold at a time (B10)."""

    @property
    def buffer(self) -> timedelta:
        return timedelta(minutes=self.buffer_minutes)

    @property
    def travel(self) -> timedelta:
        return timedelta(minutes=self.travel_minutes)


@cache
def settings() -> BookingSettings:
    return BookingSettings()

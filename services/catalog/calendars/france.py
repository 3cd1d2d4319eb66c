"""The calendar of Occitanie: French public holidays, school holidays of zone C. A wrong file stops the service from starting."""

from __future__ import annotations

import tomllib
from datetime import date
from pathlib import Path

from holidays import country_holidays
from pydantic import BaseModel, ConfigDict

from services.catalog.calendars.domain import DayCalendar, SchoolHoliday, checked

FILE = Path(__file__).with_name("school_holidays.toml")

_PUBLIC_HOLIDAYS = country_holidays("FR", language="fr")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    first: date
    last: date


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    holidays: list[_Entry]


def read_school_holidays(file: Path = FILE) -> tuple[SchoolHoliday, ...]:
    """A file with a wrong entry raises a ValueError that names it."""
    entries = _Document.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).holidays
    return checked(SchoolHoliday(each.name, each.first, each.last) for each in entries)


def public_holiday(day: date) -> str | None:
    return _PUBLIC_HOLIDAYS.get(day)


CALENDAR = DayCalendar(public_holiday, read_school_holidays())

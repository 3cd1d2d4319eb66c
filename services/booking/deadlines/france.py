"""The public holidays of metropolitan France, for working days."""

from __future__ import annotations

from datetime import date

from holidays import country_holidays

_FRENCH_HOLIDAYS = country_holidays("FR")


def is_holiday(day: date) -> bool:
    return day in _FRENCH_HOLIDAYS

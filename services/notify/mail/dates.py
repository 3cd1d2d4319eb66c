"""Dates and times as people say them in French: « jeudi 18 mars 2027 de 14 h à 17 h 30 »."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from shared.contracts.catalog import Period

DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")
HOME = "Europe/Paris"


def long_day(day: date) -> str:
    return f"{short_day(day)} {day.year}"


def short_day(day: date) -> str:
    number = "1er" if day.day == 1 else str(day.day)
    return f"{DAYS[day.weekday()]} {number} {MONTHS[day.month - 1]}"


def plain_day(day: date) -> str:
    """Without the weekday: « 1er avril 2027 »."""
    return long_day(day).split(" ", 1)[1]


def hour(moment: datetime) -> str:
    return f"{moment.hour} h {moment.minute:02}" if moment.minute else f"{moment.hour} h"


def said(moment: datetime) -> str:
    """« lundi 15 mars 2027 à 11 h 30 », on the clocks of the Lab."""
    local = moment.astimezone(ZoneInfo(HOME))
    return f"{long_day(local)} à {hour(local)}"


def local_times(period: Period) -> tuple[datetime, datetime]:
    """Start and end on the clocks of the place, aware."""
    zone = ZoneInfo(period.zone)
    return period.starts_at.astimezone(zone), period.ends_at.astimezone(zone)


def when(period: Period) -> str:
    """« jeudi 18 mars 2027 de 14 h à 17 h 30 »; the zone is named when it is not that of the Lab."""
    start, end = local_times(period)
    zone = "" if period.zone == HOME else f" (heure locale, {period.zone})"
    if start.date() == end.date():
        return f"{long_day(start)} de {hour(start)} à {hour(end)}{zone}"
    return f"du {long_day(start)} à {hour(start)} au {long_day(end)} à {hour(end)}{zone}"

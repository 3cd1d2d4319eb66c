"""How the portal says things in French: dates, places, states. Pure."""

from __future__ import annotations

import re
from datetime import date, datetime
from zoneinfo import ZoneInfo

from shared.clock import PARIS
from shared.contracts.booking import BookingState
from shared.contracts.catalog import DeliveryMode, Period
from shared.contracts.projects import ApplicationState, EngagementState, EntryKind, Outcome

DAYS = ("lundi", "mardi", "mercredi", "jeudi", "vendredi", "samedi", "dimanche")
MONTHS = ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre")
SHORT_MONTHS = ("janv.", "févr.", "mars", "avril", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc.")

MODES = {DeliveryMode.IN_PERSON: "En présentiel", DeliveryMode.REMOTE: "À distance", DeliveryMode.HYBRID: "En présentiel et à distance"}

DEPARTMENTS = {
    "09": "Ariège",
    "11": "Aude",
    "12": "Aveyron",
    "30": "Gard",
    "31": "Haute-Garonne",
    "32": "Gers",
    "34": "Hérault",
    "46": "Lot",
    "48": "Lozère",
    "65": "Hautes-Pyrénées",
    "66": "Pyrénées-Orientales",
    "81": "Tarn",
    "82": "Tarn-et-Garonne",
}

BOOKING_STATES = {
    BookingState.CONFIRMED: "Place confirmée",
    BookingState.WAITING: "En liste d’attente",
    BookingState.CANCELLED_BY_AGENT: "Annulée par vous",
    BookingState.LATE_CANCELLED: "Annulée par vous après la date limite",
    BookingState.CANCELLED_BY_LAB: "Annulée par le Lab",
    BookingState.LEFT: "Vous avez quitté la liste d’attente",
    BookingState.CLOSED: "Liste d’attente close",
}

APPLICATION_STATES = {
    ApplicationState.SUBMITTED: "À l’étude",
    ApplicationState.ACCEPTED: "Acceptée",
    ApplicationState.ACCEPTED_WITH_CONDITIONS: "Acceptée sous conditions",
    ApplicationState.REDIRECTED: "Réorientée",
    ApplicationState.DECLINED: "Non retenue",
}
ENGAGEMENT_STATES = {EngagementState.ACTIVE: "En cours", EngagementState.CLOSED: "Terminé"}
OUTCOMES = {
    Outcome.ADOPTED: "Adopté",
    Outcome.PILOTED: "Expérimenté",
    Outcome.MERGED: "Fusionné avec un autre projet",
    Outcome.HANDED_OVER: "Transmis à un autre service",
    Outcome.ABANDONED: "Abandonné",
}
ENTRY_KINDS = {EntryKind.DECISION: "Décision", EntryKind.OBSTACLE: "Obstacle", EntryKind.LEARNING: "Apprentissage"}


def weekday(day: date) -> str:
    return DAYS[day.weekday()]


def month_of(day: date) -> str:
    return f"{MONTHS[day.month - 1]} {day.year}"


def long_day(day: date) -> str:
    """« jeudi 1er avril 2027 »."""
    number = "1er" if day.day == 1 else str(day.day)
    return f"{weekday(day)} {number} {month_of(day)}"


def hour(moment: datetime) -> str:
    """« 14 h » or « 12 h 30 »."""
    return f"{moment.hour} h {moment.minute:02}" if moment.minute else f"{moment.hour} h"


def instant(moment: datetime) -> str:
    """« jeudi 14 janvier 2027 à 12 h 30 », on the clocks of Paris."""
    local = moment.astimezone(PARIS)
    return f"{long_day(local.date())} à {hour(local)}"


def period(of: Period) -> str:
    """« jeudi 18 mars 2027 de 14 h à 17 h 30 », on the clocks of the place."""
    zone = ZoneInfo(of.zone)
    start, end = of.starts_at.astimezone(zone), of.ends_at.astimezone(zone)
    elsewhere = "" if zone == PARIS else f" (heure de {of.zone})"
    if start.date() == end.date():
        return f"{long_day(start.date())} de {hour(start)} à {hour(end)}{elsewhere}"
    return f"du {long_day(start.date())} à {hour(start)} au {long_day(end.date())} à {hour(end)}{elsewhere}"


def hours(of: Period) -> str:
    """« 14 h – 17 h 30 », for lists where the day stands beside."""
    zone = ZoneInfo(of.zone)
    return f"{hour(of.starts_at.astimezone(zone))} – {hour(of.ends_at.astimezone(zone))}"


def department(code: str) -> str:
    return f"{DEPARTMENTS[code]} ({code})" if code in DEPARTMENTS else f"Département {code}"


def sentence(words: str) -> str:
    """With a capital and a full stop."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def bound(words: str) -> str:
    """Signs that follow a blank in French stay with their word: no line begins with a colon."""
    return re.sub(r" (?=[:;!?»])|(?<=«) ", "\N{NO-BREAK SPACE}", words)

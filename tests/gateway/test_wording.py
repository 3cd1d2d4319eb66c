"""French for people: dates, places, sentences."""

from __future__ import annotations

from datetime import UTC, date, datetime
from enum import Enum

import pytest

from services.gateway.portal import wording
from shared.contracts.booking import BookingState
from shared.contracts.catalog import DeliveryMode, Period
from shared.contracts.projects import ApplicationState, EngagementState, EntryKind, Outcome


def a_period(start: datetime, end: datetime, zone: str = "Europe/Paris") -> Period:
    return Period(local_start=start.replace(tzinfo=None), local_end=end.replace(tzinfo=None), starts_at=start, ends_at=end, zone=zone)


def test_an_instant_is_said_on_the_clocks_of_paris() -> None:
    assert wording.instant(datetime(2027, 1, 14, 11, 30, tzinfo=UTC)) == "jeudi 14 janvier 2027 à 12 h 30"
    assert wording.instant(datetime(2027, 4, 1, 7, 0, tzinfo=UTC)) == "jeudi 1er avril 2027 à 9 h"


def test_T1_the_same_wall_time_across_the_change_to_summer_time() -> None:
    before = a_period(datetime(2027, 3, 25, 11, 30, tzinfo=UTC), datetime(2027, 3, 25, 12, 30, tzinfo=UTC))
    after = a_period(datetime(2027, 4, 8, 10, 30, tzinfo=UTC), datetime(2027, 4, 8, 11, 30, tzinfo=UTC))

    assert wording.hours(before) == wording.hours(after) == "12 h 30 – 13 h 30"
    assert wording.period(after) == "jeudi 8 avril 2027 de 12 h 30 à 13 h 30"


def test_a_night_and_another_zone_are_spelled_out() -> None:
    night = a_period(datetime(2027, 3, 5, 19, tzinfo=UTC), datetime(2027, 3, 6, 5, tzinfo=UTC))
    reunion = a_period(datetime(2027, 3, 5, 6, tzinfo=UTC), datetime(2027, 3, 5, 8, tzinfo=UTC), "Indian/Reunion")

    assert wording.period(night) == "du vendredi 5 mars 2027 à 20 h au samedi 6 mars 2027 à 6 h"
    assert wording.period(reunion) == "vendredi 5 mars 2027 de 10 h à 12 h (heure de Indian/Reunion)"


@pytest.mark.parametrize(
    ("words", "members"),
    [
        (wording.MODES, DeliveryMode),
        (wording.BOOKING_STATES, BookingState),
        (wording.APPLICATION_STATES, ApplicationState),
        (wording.ENGAGEMENT_STATES, EngagementState),
        (wording.OUTCOMES, Outcome),
        (wording.ENTRY_KINDS, EntryKind),
    ],
)
def test_every_state_that_a_service_can_answer_has_french_words(words: dict[object, str], members: type[Enum]) -> None:
    assert set(words) == set(members)


def test_a_sentence_has_a_capital_and_one_full_stop() -> None:
    assert wording.sentence("séance annulée : grève.") == "Séance annulée : grève."
    assert wording.department("31") == "Haute-Garonne (31)"
    assert wording.long_day(date(2027, 5, 1)) == "samedi 1er mai 2027"


def test_no_line_begins_with_a_colon() -> None:
    assert wording.bound("IA : « quoi » ?") == "IA\u00a0: «\u00a0quoi\u00a0»\u00a0?"

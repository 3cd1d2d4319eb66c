"""When people are asked what they think, until when they may answer, and what may be shown of answers that nobody signed. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from services.booking.deadlines.domain import PARIS
from shared.contracts.feedback import Invitation, Survey
from shared.errors import Refused

EVENING, MORNING = time(18), time(9)
OPEN_FOR = {Survey.HOT: timedelta(days=14), Survey.COLD: timedelta(days=30)}
COLD_AFTER_MONTHS = 3
STEP = 5
"""Answers that are shown together or not at all (P5): one alone can never be told from what was shown before it."""


class FeedbackNotAsked(Refused):
    """Also the answer to whoever holds another agent's invitation."""

    code, status, title = "feedback_not_asked", 404, "Aucun avis ne vous est demandé ici."


class FeedbackGiven(Refused):
    code, title = "feedback_given", "Votre avis est déjà enregistré, merci. Il est anonyme : il ne peut plus être changé."


class FeedbackClosed(Refused):
    code, status, title = "feedback_closed", 410, "Ce questionnaire est clos."


def asked_at(survey: Survey, ends_at: datetime) -> datetime:
    """Hot: at 18 h of the last day, or at 9 h of the next where the session ends after 17 h. Cold: three calendar months on, at 9 h.

    Hours of the wall clock in Paris.
    """
    end = ends_at.astimezone(PARIS)
    if survey is Survey.COLD:
        return _at(months_later(end, COLD_AFTER_MONTHS), MORNING)
    return _at(end, EVENING) if end.time() <= time(17) else _at(end + timedelta(days=1), MORNING)


def open_until(survey: Survey, asked: datetime) -> datetime:
    """The same hour of the wall clock in Paris, two weeks later (hot) or thirty days (cold)."""
    return (asked.astimezone(PARIS) + OPEN_FOR[survey]).astimezone(UTC)


def months_later(day: datetime, months: int) -> datetime:
    """The same day of a later month, or its last one: 30 November and three months is 28 February."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return day.replace(year=year, month=month + 1, day=min(day.day, calendar.monthrange(year, month + 1)[1]))


def _at(day: datetime, hour: time) -> datetime:
    return datetime.combine(day.date(), hour, PARIS).astimezone(UTC)


def must_be_open(invitation: Invitation, now: datetime) -> None:
    if invitation.answered:
        raise FeedbackGiven(f"invitation {invitation.invitation_id}")
    if now >= invitation.open_until:
        raise FeedbackClosed(f"invitation {invitation.invitation_id} was open until {invitation.open_until.isoformat()}")


@dataclass(frozen=True, slots=True)
class Answer:
    useful: int
    """From 1, not at all, to 4, very much."""
    applied: int
    """From 1, not at all, to 4, very much."""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Results:
    """A survey under its row lock: what is shown, and the fewer than five answers that wait for others to hide among."""

    shown: tuple[Answer, ...] = ()
    waiting: tuple[Answer, ...] = ()

    def receive(self, answer: Answer) -> Results:
        """Kept sorted, so that their order tells nothing; the fifth that waits brings out all five."""
        waiting = _by_content((*self.waiting, answer))
        if len(waiting) < STEP:
            return Results(self.shown, waiting)
        return Results(_by_content((*self.shown, *waiting)))

    @property
    def words(self) -> tuple[str, ...]:
        """In an order of their own: beside the grades of the same answer they would say more than either."""
        return tuple(sorted(each.words for each in self.shown if each.words))


def counted(grades: Sequence[int]) -> tuple[int, int, int, int]:
    return grades.count(1), grades.count(2), grades.count(3), grades.count(4)


def _by_content(answers: Sequence[Answer]) -> tuple[Answer, ...]:
    return tuple(sorted(answers, key=lambda each: (each.words, each.useful, each.applied)))

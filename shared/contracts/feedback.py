"""What booking says and answers about surveys: asked of those who came, answered by nobody in particular."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.messages import Event, Message, Request

Grade = Annotated[int, Field(ge=1, le=4)]
"""1 not at all, 2 rather not, 3 rather yes, 4 very much."""


class Survey(StrEnum):
    HOT = "hot"
    """Right after the session."""
    COLD = "cold"
    """Three calendar months later: what did you change?"""


# --- events --------------------------------------------------------------------------------------------------------------------------


class FeedbackRequested(Event):
    """Somebody who came is asked, and notify writes to them. Nothing that is said later leads back to this."""

    subject: ClassVar[str] = "evt.booking.feedback_requested.v1"
    aggregate: ClassVar[str] = "invitation"
    invitation_id: UUID
    booking_id: UUID
    session_id: UUID
    agent_id: UUID
    survey: Survey
    """Which of the two."""
    open_until: AwareDatetime
    """An answer is taken until then, exclusive."""


class FeedbackReceived(Event):
    """Five more answers of a survey may be read, neither who gave them nor what they say; `version` counts the fives (P5)."""

    subject: ClassVar[str] = "evt.booking.feedback_received.v1"
    aggregate: ClassVar[str] = "feedback"
    feedback_id: UUID
    """One for each session and survey."""
    session_id: UUID
    survey: Survey
    """Which of the two."""
    answers: int
    """How many may be read by now, a multiple of five."""


# --- requests ------------------------------------------------------------------------------------------------------------------------


class Invitation(Message):
    """What the page of a survey has to know before it asks."""

    invitation_id: UUID
    session_id: UUID
    survey: Survey
    answered: bool
    open_until: AwareDatetime


class GetInvitation(Request[Invitation]):
    """A survey that the caller is asked to fill in. Refuses `feedback_not_asked`, another agent's included."""

    subject: ClassVar[str] = "rpc.booking.get_invitation.v1"
    invitation_id: UUID


class GiveFeedback(Request[Invitation]):
    """Answer a survey, once and for good, since nobody knows afterwards whose answer it was.

    Refuses `feedback_not_asked`, another agent's included; `feedback_given`, `feedback_closed`. It takes no idempotency key: one would
    keep its caller beside what they said. A repeat is refused with `feedback_given`, and nothing is counted twice.
    """

    subject: ClassVar[str] = "rpc.booking.give_feedback.v1"
    invitation_id: UUID
    useful: Grade
    """Hot: was it useful? Cold: is it, looking back?"""
    applied: Grade
    """Hot: will you use it at work? Cold: have you?"""
    words: Annotated[str, Field(max_length=1000)] = ""
    """Hot: what should the lab change? Cold: what did you change?"""


class SurveyResults(Message):
    """What may be shown of a survey (P5)."""

    survey: Survey
    asked: int
    """Agents who were invited to answer."""
    answers: int
    """Those that are shown, a multiple of five: up to four more wait for others to hide among."""
    useful: tuple[int, int, int, int]
    """How many gave the grades 1 to 4."""
    applied: tuple[int, int, int, int]
    """How many gave the grades 1 to 4."""
    words: tuple[str, ...]
    """In alphabetical order, apart from the grades."""


class SessionFeedback(Message):
    session_id: UUID
    surveys: tuple[SurveyResults, ...]
    """Those that were sent out, the hot one first."""


class GetFeedback(Request[SessionFeedback]):
    """What came back for one session. For `lab_team` and `operator`. Refuses `not_allowed`."""

    subject: ClassVar[str] = "rpc.booking.get_feedback.v1"
    session_id: UUID


class Improvement(Message):
    """« Vous avez dit, nous avons fait » : what participants said of an activity, in the lab's own words, and what came of it."""

    said: Annotated[str, Field(min_length=1, max_length=300)]
    done: Annotated[str, Field(min_length=1, max_length=300)]
    since: date
    """The day since when it is so, as people are told: the year and the month are shown."""


Improvements = Annotated[tuple[Improvement, ...], Field(max_length=10)]

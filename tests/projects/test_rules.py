"""The rules of projects by number, without a database."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import ValidationError

from services.projects.calls import domain as calls
from services.projects.engagements import domain
from shared.contracts.projects import ApplicationState, Decision, EngagementState, EntryKind, Outcome
from shared.errors import InvalidRequest, NotAllowed
from tests.projects.given import (
    COACH_ID,
    DEMONSTRATION,
    LEAD_ID,
    REASON,
    STARTS_ON,
    a_closing,
    a_decision,
    a_start,
    an_application,
    an_entry,
    closed,
    decided,
    started,
    submitted,
)

DECISIONS: tuple[Decision, ...] = ("accepted", "accepted_with_conditions", "redirected", "declined")
ANY_START = some.dates(min_value=date(2000, 1, 1), max_value=date(2100, 12, 31))


# --- C4: decisions -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decision", DECISIONS)
def test_C4_a_decision_carries_its_reason_and_the_next_version(decision: Decision) -> None:
    application = submitted()

    after, fact = calls.decide(application, a_decision(application.application_id, decision), DEMONSTRATION)

    assert (after.state, after.decision_reason, after.decided_at, after.version) == (decision, REASON, DEMONSTRATION, 2)
    assert (fact.state, fact.version, fact.project_lead_id) == (decision, 2, LEAD_ID)


@pytest.mark.parametrize("reason", ["", " ", "\n\t"])
@pytest.mark.parametrize("decision", DECISIONS)
def test_C4_no_decision_without_a_reason(decision: Decision, reason: str) -> None:
    application = submitted()

    with pytest.raises(calls.ReasonRequired):
        calls.decide(application, a_decision(application.application_id, decision, reason=reason), DEMONSTRATION)


@pytest.mark.parametrize("redirection", ["", "  "])
@pytest.mark.parametrize("decision", ["redirected", "declined"])
def test_C4_who_is_not_accepted_is_offered_something_concrete(decision: Decision, redirection: str) -> None:
    application = submitted()

    with pytest.raises(calls.RedirectionRequired):
        calls.decide(application, a_decision(application.application_id, decision, redirection=redirection), DEMONSTRATION)


@pytest.mark.parametrize("decision", ["accepted", "accepted_with_conditions"])
def test_C4_who_is_accepted_is_not_sent_elsewhere(decision: Decision) -> None:
    application = submitted()

    with pytest.raises(calls.RedirectionUnexpected):
        calls.decide(application, a_decision(application.application_id, decision, redirection="Formation"), DEMONSTRATION)


@pytest.mark.parametrize("second", DECISIONS)
@pytest.mark.parametrize("first", DECISIONS)
def test_a_decision_stands(first: Decision, second: Decision) -> None:
    application = decided(first)

    with pytest.raises(calls.AlreadyDecided) as refused:
        calls.decide(application, a_decision(application.application_id, second), DEMONSTRATION)

    assert refused.value.members == {"state": first}


def test_an_application_is_recognised_even_after_its_decision() -> None:
    application = decided("declined")
    asked = an_application(application_id=application.application_id)

    assert calls.is_what_was_asked(application, asked)
    assert not calls.is_what_was_asked(application, asked.model_copy(update={"title": "Autre chose"}))
    assert not calls.is_what_was_asked(application, asked.model_copy(update={"project_lead_id": uuid4()}))


@pytest.mark.parametrize("blank", ["", "  ", " a ", "\n\n\n\n"])
def test_a_title_or_a_problem_of_blanks_is_no_text(blank: str) -> None:
    with pytest.raises(ValidationError):
        an_application(title=blank)
    with pytest.raises(ValidationError):
        an_application(problem=blank)


# --- C1: how long ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "months", "expected"),
    [
        (date(2026, 8, 31), 6, date(2027, 2, 28)),
        (date(2027, 8, 31), 6, date(2028, 2, 29)),
        (date(2026, 11, 30), 3, date(2027, 2, 28)),
        (date(2027, 11, 30), 3, date(2028, 2, 29)),
        (date(2027, 3, 31), 3, date(2027, 6, 30)),
        (date(2027, 3, 1), 6, date(2027, 9, 1)),
        (date(2027, 10, 15), 3, date(2028, 1, 15)),
        (date(2027, 9, 30), 3, date(2027, 12, 30)),
        (date(2027, 12, 31), 6, date(2028, 6, 30)),
    ],
)
def test_C1_months_are_counted_on_the_calendar_and_clamped(day: date, months: int, expected: date) -> None:
    assert domain.add_months(day, months) == expected


@given(day=ANY_START, months=some.integers(min_value=0, max_value=24))
def test_C1_months_later_is_that_month_and_the_same_day_or_the_last_one(day: date, months: int) -> None:
    later = domain.add_months(day, months)

    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).day == 1)


@given(day=ANY_START, shift=some.integers(min_value=-400, max_value=400))
def test_C1_an_end_is_accepted_exactly_between_3_and_6_months(day: date, shift: int) -> None:
    application, end = decided(), day + timedelta(days=shift)
    order = a_start(application.application_id, starts_on=day, planned_end_on=end)

    if domain.add_months(day, 3) <= end <= domain.add_months(day, 6):
        assert domain.start(order, application)[0].planned_end_on == end
    else:
        with pytest.raises(domain.DurationOutOfBounds):
            domain.start(order, application)


@pytest.mark.parametrize(("end", "accepted"), [("2027-05-31", False), ("2027-06-01", True), ("2027-09-01", True), ("2027-09-02", False)])
def test_C1_both_bounds_are_included(end: str, accepted: bool) -> None:
    application = decided()
    order = a_start(application.application_id, planned_end_on=date.fromisoformat(end))

    if accepted:
        assert domain.start(order, application)[1].planned_end_on.isoformat() == end
        return
    with pytest.raises(domain.DurationOutOfBounds) as refused:
        domain.start(order, application)
    assert refused.value.members == {"earliest": "2027-06-01", "latest": "2027-09-01"}


@pytest.mark.parametrize("year", [1, 1999, 2101, 9999])
def test_a_year_that_is_a_typing_error_is_refused(year: int) -> None:
    application = decided()
    with pytest.raises(InvalidRequest):
        domain.start(a_start(application.application_id, starts_on=date(year, 12, 31), planned_end_on=date(year, 12, 31)), application)


@pytest.mark.parametrize("decision", ["accepted", "accepted_with_conditions"])
def test_an_engagement_takes_its_lead_and_title_from_the_application(decision: Decision) -> None:
    application = decided(decision)

    engagement, fact = domain.start(a_start(application.application_id), application)

    assert (engagement.project_lead_id, engagement.title, engagement.version) == (LEAD_ID, application.title, 1)
    assert (fact.state, fact.version, fact.coach_id) == (EngagementState.ACTIVE, 1, COACH_ID)


@pytest.mark.parametrize("application", [submitted(), decided("redirected"), decided("declined")], ids=lambda each: each.state)
def test_C4_coaching_starts_only_from_an_accepted_application(application: ApplicationState) -> None:
    with pytest.raises(domain.ApplicationNotAccepted):
        domain.start(a_start(uuid4()), application)  # pyright: ignore[reportArgumentType] - parametrized


def test_an_application_has_one_engagement() -> None:
    first = uuid4()
    application = decided().model_copy(update={"engagement_id": first})

    with pytest.raises(domain.EngagementExists) as refused:
        domain.start(a_start(application.application_id), application)

    assert refused.value.members == {"engagement_id": str(first)}


# --- the logbook -------------------------------------------------------------------------------------------------------------------------


def test_an_entry_comes_first_and_says_its_author_and_moment() -> None:
    engagement = started()

    one, _ = domain.add_entry(engagement, an_entry(engagement.engagement_id), LEAD_ID, DEMONSTRATION)
    two, fact = domain.add_entry(one, an_entry(engagement.engagement_id, kind=EntryKind.OBSTACLE), COACH_ID, DEMONSTRATION)

    assert [entry.author_id for entry in two.logbook] == [COACH_ID, LEAD_ID]
    assert (two.version, two.logbook_total) == (3, 2)
    assert (fact.version, fact.kind, fact.entry_id) == (3, EntryKind.OBSTACLE, two.logbook[0].entry_id)


def test_C8_no_event_carries_a_text() -> None:
    engagement = started()
    _, written = domain.add_entry(engagement, an_entry(engagement.engagement_id), LEAD_ID, DEMONSTRATION)
    _, ended = domain.close(engagement, a_closing(engagement.engagement_id), DEMONSTRATION)

    for fact in (written, ended):
        assert not {"text", "title", "closing_reason", "reason", "lessons_learned", "logbook"} & set(fact.model_dump())


def test_a_closed_engagement_takes_no_entry_and_does_not_close_twice() -> None:
    engagement = closed()

    with pytest.raises(domain.EngagementIsClosed):
        domain.add_entry(engagement, an_entry(engagement.engagement_id), LEAD_ID, DEMONSTRATION)
    with pytest.raises(domain.EngagementIsClosed):
        domain.close(engagement, a_closing(engagement.engagement_id), DEMONSTRATION)


def test_a_program_is_nobody_and_writes_in_no_logbook() -> None:
    assert domain.author_of_entry(str(LEAD_ID)) == LEAD_ID
    with pytest.raises(NotAllowed):
        domain.author_of_entry("operator")


# --- C1, C9: closing ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", list(Outcome))
def test_C1_it_closes_on_its_first_day_with_any_outcome(outcome: Outcome) -> None:
    engagement = started()

    after, fact = domain.close(engagement, a_closing(engagement.engagement_id, outcome=outcome), DEMONSTRATION)

    assert (after.state, after.outcome, after.closing_reason, after.closed_at) == (
        EngagementState.CLOSED, outcome, "L'essai a convaincu.", DEMONSTRATION,
    )  # fmt: skip
    assert (fact.outcome, fact.has_lessons_learned, fact.version) == (outcome, True, 2)


@pytest.mark.parametrize("reason", ["", "   "])
def test_C1_a_closing_has_a_written_reason(reason: str) -> None:
    with pytest.raises(ValidationError):
        a_closing(uuid4(), reason=reason)


@pytest.mark.parametrize("outcome", [each for each in Outcome if each is not Outcome.ABANDONED])
@pytest.mark.parametrize("lessons", ["", " \n "])
def test_C9_without_lessons_learned_it_stays_open_however_old(outcome: Outcome, lessons: str) -> None:
    engagement = started()
    order = a_closing(engagement.engagement_id, outcome=outcome, lessons_learned=lessons)

    with pytest.raises(domain.LessonsLearnedRequired):
        domain.close(engagement, order, DEMONSTRATION + timedelta(days=300))


@pytest.mark.parametrize(
    ("now", "closes"),
    [
        (datetime(2027, 3, 1, 8, tzinfo=UTC), False),
        (datetime(2027, 3, 15, 22, 59, tzinfo=UTC), False),  # 15 March, 23:59 in Paris
        (datetime(2027, 3, 15, 23, 0, tzinfo=UTC), True),  # 16 March, 00:00 in Paris: 15 days have passed
        (datetime(2027, 9, 1, 8, tzinfo=UTC), True),
    ],
)
def test_C9_an_abandoned_one_may_close_untold_after_15_days_in_Paris(now: datetime, closes: bool) -> None:
    engagement = started(starts_on=STARTS_ON)
    order = a_closing(engagement.engagement_id, outcome=Outcome.ABANDONED, lessons_learned="")

    if closes:
        after, fact = domain.close(engagement, order, now)
        assert (after.lessons_learned, fact.has_lessons_learned) == (None, False)
        return
    with pytest.raises(domain.LessonsLearnedRequired) as refused:
        domain.close(engagement, order, now)
    assert refused.value.members == {"not_required_from": "2027-03-16"}

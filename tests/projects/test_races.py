"""Real concurrency on real rows, and what the database itself refuses."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Sequence
from datetime import date
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.projects.calls import domain as calls_domain
from services.projects.calls import handlers as calls
from services.projects.engagements import domain, handlers
from shared.contracts.projects import Application, Decision, Engagement, EngagementState, GetEngagement, GetPortfolio
from shared.database import Database, constraint_of
from tests.projects.given import (
    COACH,
    LAB_TEAM,
    LEAD,
    LEAD_ID,
    OPERATOR,
    a_closing,
    a_decision,
    a_start,
    an_application,
    an_entry,
    ask,
    given_application,
    given_engagement,
    told,
)

T = TypeVar("T")


def split(answers: Sequence[object], kind: type[T]) -> tuple[list[T], list[object]]:
    return [each for each in answers if isinstance(each, kind)], [each for each in answers if not isinstance(each, kind)]


async def test_of_parallel_decisions_one_wins_and_the_others_are_told_which(projects: Database) -> None:
    application = await given_application(projects)
    decisions: list[Decision] = ["accepted", "declined", "redirected", "accepted_with_conditions"] * 2

    answers = await gather(
        *(ask(projects, calls.decide_application, a_decision(application.application_id, each), LAB_TEAM) for each in decisions),
        return_exceptions=True,
    )

    (won,), lost = split(answers, Application)
    assert len(lost) == 7
    for refusal in lost:
        assert isinstance(refusal, calls_domain.AlreadyDecided)
        assert refusal.members == {"state": won.state}
    assert await told(projects, application.application_id) == [("application_submitted", 1), ("application_decided", 2)]


async def test_of_parallel_starts_one_engagement_comes(projects: Database) -> None:
    application = await given_application(projects, "accepted")

    answers = await gather(
        *(ask(projects, handlers.start_engagement, a_start(application.application_id), LAB_TEAM) for _ in range(6)), return_exceptions=True
    )

    (won,), lost = split(answers, Engagement)
    assert [getattr(refusal, "members", None) for refusal in lost] == [{"engagement_id": str(won.engagement_id)}] * 5
    portfolio = await handlers.get_portfolio(GetPortfolio(agent_id=LEAD_ID), LEAD, projects)
    assert [each.engagement_id for each in portfolio.engagements] == [won.engagement_id]


async def test_the_same_order_in_parallel_is_carried_out_once_and_answered_alike(projects: Database) -> None:
    order = an_application()
    applications = await gather(*(ask(projects, calls.submit_application, order, LEAD) for _ in range(6)))
    await ask(projects, calls.decide_application, a_decision(order.application_id), LAB_TEAM)
    start = a_start(order.application_id)
    engagements = await gather(*(ask(projects, handlers.start_engagement, start, LAB_TEAM) for _ in range(6)))
    entry = an_entry(start.engagement_id)
    entries = await gather(*(ask(projects, handlers.add_logbook_entry, entry, LEAD) for _ in range(6)))

    for answers in (applications, engagements, entries):
        assert all(each == answers[0] for each in answers)
    assert await told(projects, start.engagement_id) == [("engagement_started", 1), ("logbook_entry_added", 2)]


async def test_parallel_entries_keep_the_versions_gapless_and_lose_none(projects: Database) -> None:
    engagement = await given_engagement(projects)
    orders = [an_entry(engagement.engagement_id) for _ in range(20)]

    answers: list[Engagement] = await gather(
        *(ask(projects, handlers.add_logbook_entry, order, LEAD if place % 2 else COACH) for place, order in enumerate(orders))
    )

    found = await handlers.get_engagement(GetEngagement(engagement_id=engagement.engagement_id), OPERATOR, projects)
    assert {entry.entry_id for entry in found.logbook} == {order.entry_id for order in orders}
    assert sorted(answer.version for answer in answers) == list(range(2, 22))
    assert [version for _, version in await told(projects, engagement.engagement_id)] == list(range(1, 22))
    for answer in answers:
        assert found.logbook[-(answer.version - 1) :] == answer.logbook


async def test_an_entry_id_used_in_two_engagements_at_once_is_written_in_one(projects: Database) -> None:
    one, other, entry_id = await given_engagement(projects), await given_engagement(projects), uuid4()

    answers = await gather(
        *(ask(projects, handlers.add_logbook_entry, an_entry(each.engagement_id, entry_id=entry_id), LEAD) for each in (one, other)),
        return_exceptions=True,
    )

    (won,), (lost,) = split(answers, Engagement)
    assert isinstance(lost, domain.EntryExists)
    unchanged = other if won.engagement_id == one.engagement_id else one
    assert await told(projects, unchanged.engagement_id) == [("engagement_started", 1)]


async def test_no_entry_follows_the_closing(projects: Database) -> None:
    engagement = await given_engagement(projects)
    entries = [ask(projects, handlers.add_logbook_entry, an_entry(engagement.engagement_id), LEAD) for _ in range(8)]
    closings = [ask(projects, handlers.close_engagement, a_closing(engagement.engagement_id), COACH) for _ in range(2)]

    answers = await gather(*entries[:4], *closings, *entries[4:], return_exceptions=True)

    done, refused = split(answers, Engagement)
    assert all(isinstance(each, domain.EngagementIsClosed) for each in refused)
    facts = await told(projects, engagement.engagement_id)
    assert facts[-1] == ("engagement_closed", len(facts))
    assert len(facts) == len(done) + 1
    assert sum(each.state is EngagementState.CLOSED for each in done) == 1


# --- the database swears -----------------------------------------------------------------------------------------------------------------


def closing(**changed: str) -> str:
    """A right closing as SQL, but for what is changed."""
    columns = {
        "state": "'closed'",
        "outcome": "'adopted'",
        "closing_reason": "'fini'",
        "lessons_learned": "'deux lignes'",
        "closed_at": "'2027-06-01 12:00Z'",
    }
    return "engagement set " + ", ".join(f"{name} = {value}" for name, value in (columns | changed).items())


FORBIDDEN = [
    ("application set state = 'draft'", "application_state_check"),
    ("application set title = ''", "application_title_check"),
    ("application set problem = ''", "application_problem_check"),
    ("application set decision_reason = null", "application_decided_with_reason"),
    ("application set decision_reason = ''", "application_decision_reason_check"),
    ("application set decided_at = null", "application_decided_once"),
    ("application set state = 'submitted'", "application_decided_once"),
    ("application set state = 'declined'", "application_redirected"),
    ("application set redirection = 'Formation'", "application_redirected"),
    ("application set version = 0", "application_version_check"),
    ("engagement set state = 'paused'", "engagement_state_check"),
    ("engagement set planned_end_on = '2027-05-31'", "engagement_planned_3_to_6_months"),
    ("engagement set planned_end_on = '2027-09-02'", "engagement_planned_3_to_6_months"),
    ("engagement set starts_on = '2026-08-31', planned_end_on = '2027-03-01'", "engagement_planned_3_to_6_months"),
    ("engagement set outcome = 'adopted'", "engagement_closed_with_outcome"),
    (closing(outcome="null"), "engagement_closed_with_outcome"),
    (closing(outcome="'forgotten'"), "engagement_outcome_check"),
    (closing(closing_reason="null"), "engagement_closed_with_reason"),
    (closing(closed_at="null"), "engagement_closed_once"),
    (closing(lessons_learned="''"), "engagement_lessons_learned_check"),
    (closing(lessons_learned="null"), "engagement_closed_with_lessons"),
    (
        closing(lessons_learned="null", outcome="'abandoned'", closed_at="'2027-03-15 22:59Z'"),
        "engagement_closed_with_lessons",
    ),
    ("engagement set lessons_learned = 'trop tôt'", "engagement_closed_with_lessons"),
    (f"engagement set application_id = '{uuid4()}'", "engagement_application_id_fkey"),
    ("logbook_entry set kind = 'gossip'", "logbook_entry_kind_check"),
    ("logbook_entry set text = ''", "logbook_entry_text_check"),
    ("logbook_entry set engagement_version = 1", "logbook_entry_engagement_version_check"),
    (f"logbook_entry set engagement_id = '{uuid4()}'", "logbook_entry_engagement_id_fkey"),
]


async def test_the_database_refuses_what_the_rules_would(projects: Database) -> None:
    engagement = await given_engagement(projects)
    await ask(projects, handlers.add_logbook_entry, an_entry(engagement.engagement_id), LEAD)

    for change, constraint in FORBIDDEN:
        with pytest.raises(IntegrityError) as refused:
            async with projects.begin() as tx:
                await tx.execute(text(f"update {change}".replace(":", r"\:")))
        assert constraint_of(refused.value) == constraint, change


async def test_the_database_refuses_a_second_engagement_and_a_version_told_twice(projects: Database) -> None:
    engagement = await given_engagement(projects)
    copies = {
        "engagement_once_per_application": """
            insert into engagement (engagement_id, application_id, coach_id, state, starts_on, planned_end_on, version)
            select uuidv7(), application_id, coach_id, state, starts_on, planned_end_on, version from engagement""",
        "outbox_aggregate_type_aggregate_id_aggregate_version_key": """
            insert into outbox (event_id, aggregate_type, aggregate_id, aggregate_version, subject, headers, payload, occurred_at)
            select uuidv7(), aggregate_type, aggregate_id, aggregate_version, subject, headers, payload, occurred_at from outbox""",
    }
    for constraint, statement in copies.items():
        with pytest.raises(IntegrityError) as refused:
            async with projects.begin() as tx:
                await tx.execute(text(statement))
        assert constraint_of(refused.value) == constraint
    assert await told(projects, engagement.engagement_id) == [("engagement_started", 1)]


async def test_C9_the_database_lets_an_abandoned_one_close_untold_from_the_15th_day_on_in_Paris(projects: Database) -> None:
    await given_engagement(projects)
    change = closing(lessons_learned="null", outcome="'abandoned'", closed_at="'2027-03-15 23:00Z'")
    async with projects.begin() as tx:
        assert (await tx.execute(text(f"update {change}".replace(":", r"\:")))).rowcount == 1


async def test_C1_postgres_counts_months_as_the_rule_does(projects: Database) -> None:
    statement = """
        select cast(day as date), cast(day + interval '3 months' as date), cast(day + interval '6 months' as date)
        from generate_series(timestamp '2027-01-01', '2031-12-31', '1 day') as day
    """
    async with projects.connect() as connection:
        days: Sequence[tuple[date, date, date]] = [tuple(row) for row in await connection.execute(text(statement))]

    assert len(days) == 1826
    assert days == [(day, domain.add_months(day, 3), domain.add_months(day, 6)) for day, _, _ in days]

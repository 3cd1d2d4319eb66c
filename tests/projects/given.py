"""What the tests of projects start from, and how they speak to it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text

from services.projects.calls import domain as calls_domain
from services.projects.calls import handlers as calls
from services.projects.engagements import domain, handlers
from shared import clock
from shared.bus import Caller
from shared.contracts.projects import (
    AddLogbookEntry,
    Application,
    CloseEngagement,
    DecideApplication,
    Decision,
    Engagement,
    EntryKind,
    Outcome,
    StartEngagement,
    SubmitApplication,
)
from shared.database import Database

DEMONSTRATION = datetime(2027, 3, 1, 8, 0, tzinfo=UTC)  # Monday 1 March 2027, 09:00 in Paris
STARTS_ON, ENDS_ON = date(2027, 3, 1), date(2027, 8, 1)
LEAD_ID, COACH_ID, STRANGER_ID = uuid4(), uuid4(), uuid4()


def an_agent(agent_id: UUID, *roles: str) -> Caller:
    return Caller(actor=str(agent_id), roles=frozenset({"agent", *roles}))


LEAD = an_agent(LEAD_ID)
COACH = an_agent(COACH_ID, "coach")
STRANGER = an_agent(STRANGER_ID)
ANOTHER_COACH = an_agent(uuid4(), "coach")
COMMITTEE = an_agent(uuid4(), "committee")
LAB_TEAM = an_agent(uuid4(), "lab_team")
OPERATOR = an_agent(uuid4(), "operator")
PROGRAM = Caller(actor="operator", roles=frozenset({"operator"}))  # `labo`, which is nobody

PROBLEM = "Les aidants remplissent neuf formulaires."
REASON = "Le besoin est partagé par quatre services."
REX = "Commencer par deux communes.\nLes écouter."
TEXTS = (PROBLEM, REASON, REX, "Formation du 6 avril", "Une ligne du journal", "Un guichet pour les aidants", "L'essai a convaincu.")


# --- orders ------------------------------------------------------------------------------------------------------------------------------


def an_application(**changed: Any) -> SubmitApplication:
    given: dict[str, Any] = {
        "application_id": uuid4(),
        "project_lead_id": LEAD_ID,
        "title": "Un guichet pour les aidants",
        "problem": PROBLEM,
    }
    return SubmitApplication(**given | changed)


def a_decision(application_id: UUID, decision: Decision = "accepted", **changed: Any) -> DecideApplication:
    redirection = "Formation du 6 avril" if decision in {"redirected", "declined"} else ""
    given: dict[str, Any] = {"decision": decision, "reason": REASON, "redirection": redirection}
    return DecideApplication(application_id=application_id, **given | changed)


def a_start(application_id: UUID, **changed: Any) -> StartEngagement:
    given: dict[str, Any] = {
        "engagement_id": uuid4(),
        "coach_id": COACH_ID,
        "starts_on": STARTS_ON,
        "planned_end_on": ENDS_ON,
    }
    return StartEngagement(application_id=application_id, **given | changed)


def an_entry(engagement_id: UUID, **changed: Any) -> AddLogbookEntry:
    given: dict[str, Any] = {"entry_id": uuid4(), "kind": EntryKind.DECISION, "text": "Une ligne du journal"}
    return AddLogbookEntry(engagement_id=engagement_id, **given | changed)


def a_closing(engagement_id: UUID, **changed: Any) -> CloseEngagement:
    given: dict[str, Any] = {"outcome": Outcome.ADOPTED, "reason": "L'essai a convaincu.", "lessons_learned": REX}
    return CloseEngagement(engagement_id=engagement_id, **given | changed)


# --- states, for pure rules --------------------------------------------------------------------------------------------------------------


def submitted(**changed: Any) -> Application:
    return calls_domain.submit(an_application(**changed), DEMONSTRATION)[0]


def decided(decision: Decision = "accepted") -> Application:
    application = submitted()
    return calls_domain.decide(application, a_decision(application.application_id, decision), DEMONSTRATION)[0]


def started(**changed: Any) -> Engagement:
    application = decided()
    return domain.start(a_start(application.application_id, **changed), application)[0]


def closed(**changed: Any) -> Engagement:
    engagement = started()
    return domain.close(engagement, a_closing(engagement.engagement_id, **changed), DEMONSTRATION)[0]


# --- on a real Postgres ------------------------------------------------------------------------------------------------------------------


async def ask(projects: Database, command: Callable[..., Awaitable[Any]], request: Any, caller: Caller) -> Any:
    """An order in a transaction of its own, as the kernel carries it out."""
    async with projects.begin() as tx:
        return await command(request, caller, tx)


async def given_application(projects: Database, decision: Decision | None = None, **changed: Any) -> Application:
    application = await ask(projects, calls.submit_application, an_application(**changed), LAB_TEAM)
    if decision is None:
        return application
    return await ask(projects, calls.decide_application, a_decision(application.application_id, decision), LAB_TEAM)


async def given_engagement(projects: Database, lead_id: UUID = LEAD_ID, **changed: Any) -> Engagement:
    application = await given_application(projects, "accepted", project_lead_id=lead_id)
    return await ask(projects, handlers.start_engagement, a_start(application.application_id, **changed), LAB_TEAM)


async def told(projects: Database, aggregate_id: UUID) -> list[tuple[str, int]]:
    """What the outbox says of one aggregate, in order: the fact and the version."""
    statement = "select split_part(subject, '.', 3), aggregate_version from outbox where aggregate_id = :aggregate_id order by id"
    async with projects.connect() as connection:
        return [(fact, version) for fact, version in await connection.execute(text(statement), {"aggregate_id": aggregate_id})]


async def everything_told(projects: Database) -> list[dict[str, Any]]:
    """The bodies and headers of the outbox, in order."""
    async with projects.connect() as connection:
        rows = await connection.execute(text("select convert_from(payload, 'UTF8'), cast(headers as text) from outbox order by id"))
        return [json.loads(body) | {"headers": json.loads(headers)} for body, headers in rows]


def shift_to(moment: datetime) -> None:
    clock.shift(moment - datetime.now(UTC), "embedded")

"""Projects on a real Postgres: what it keeps, what it says, and whom it lets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.projects.calls import domain as calls_domain
from services.projects.calls import handlers as calls
from services.projects.engagements import domain, handlers, queries
from shared.bus import Caller
from shared.contracts.projects import ApplicationState, Engagement, EntryKind, GetEngagement, GetPortfolio, Outcome
from shared.database import Database
from shared.errors import NotAllowed, Refused
from tests.projects.given import (
    ANOTHER_COACH,
    COACH,
    COACH_ID,
    COMMITTEE,
    LAB_TEAM,
    LEAD,
    LEAD_ID,
    OPERATOR,
    PROGRAM,
    REX,
    STRANGER,
    STRANGER_ID,
    TEXTS,
    a_closing,
    a_decision,
    a_start,
    an_application,
    an_entry,
    ask,
    everything_told,
    given_application,
    given_engagement,
    told,
)

CALLERS = {
    "lead": LEAD,
    "coach": COACH,
    "lab_team": LAB_TEAM,
    "operator": OPERATOR,
    "program": PROGRAM,
    "committee": COMMITTEE,
    "another_coach": ANOTHER_COACH,
    "stranger": STRANGER,
}


async def answer(projects: Database, command: Callable[..., Awaitable[Any]], request: Any, caller: Caller) -> str:
    """`ok`, or the code of the refusal."""
    try:
        await ask(projects, command, request, caller)
    except Refused as refusal:
        return refusal.code
    return "ok"


async def read(projects: Database, engagement_id: UUID, caller: Caller = OPERATOR) -> Engagement:
    return await handlers.get_engagement(GetEngagement(engagement_id=engagement_id), caller, projects)


# --- the whole path ----------------------------------------------------------------------------------------------------------------------


async def test_an_application_becomes_an_engagement_that_is_told_and_closed(projects: Database) -> None:
    order = an_application()
    submitted = await ask(projects, calls.submit_application, order, LEAD)
    decided = await ask(projects, calls.decide_application, a_decision(order.application_id), LAB_TEAM)
    engagement = await ask(projects, handlers.start_engagement, a_start(order.application_id), LAB_TEAM)
    for caller, kind in ((LEAD, EntryKind.DECISION), (COACH, EntryKind.LEARNING)):
        engagement = await ask(projects, handlers.add_logbook_entry, an_entry(engagement.engagement_id, kind=kind), caller)
        assert engagement == await read(projects, engagement.engagement_id)
    closed = await ask(projects, handlers.close_engagement, a_closing(engagement.engagement_id), COACH)

    assert closed == await read(projects, engagement.engagement_id)
    assert (closed.outcome, closed.lessons_learned, [entry.author_id for entry in closed.logbook]) == (
        Outcome.ADOPTED, REX, [COACH_ID, LEAD_ID],
    )  # fmt: skip
    portfolio = await handlers.get_portfolio(GetPortfolio(agent_id=LEAD_ID), LEAD, projects)
    assert portfolio.applications == (decided.model_copy(update={"engagement_id": closed.engagement_id}),)
    assert portfolio.engagements == (closed,)
    assert submitted.submitted_at == decided.submitted_at
    assert await told(projects, order.application_id) == [("application_submitted", 1), ("application_decided", 2)]
    assert await told(projects, engagement.engagement_id) == [
        ("engagement_started", 1), ("logbook_entry_added", 2), ("logbook_entry_added", 3), ("engagement_closed", 4),
    ]  # fmt: skip


async def test_C8_P4_no_text_leaves_with_an_event_and_who_did_it_is_an_opaque_id(projects: Database) -> None:
    engagement = await given_engagement(projects)
    await given_application(projects, "declined")
    await ask(projects, handlers.add_logbook_entry, an_entry(engagement.engagement_id), LEAD)
    await ask(projects, handlers.close_engagement, a_closing(engagement.engagement_id), COACH)

    everything = await everything_told(projects)

    assert len(everything) == 7
    assert not [part for part in TEXTS if part in str(everything)]
    assert [each["headers"]["ce-actor"] for each in everything[-2:]] == [str(LEAD_ID), str(COACH_ID)]


# --- what is asked twice is done once ----------------------------------------------------------------------------------------------------


async def test_an_application_submitted_twice_is_one_and_its_id_is_taken(projects: Database) -> None:
    order = an_application()
    first = await ask(projects, calls.submit_application, order, LEAD)

    assert await ask(projects, calls.submit_application, order, LEAD) == first
    with pytest.raises(calls_domain.ApplicationExists):
        await ask(projects, calls.submit_application, order.model_copy(update={"problem": "Tout autre chose."}), LEAD)
    with pytest.raises(calls_domain.ApplicationExists):
        await ask(projects, calls.submit_application, order.model_copy(update={"project_lead_id": STRANGER_ID}), STRANGER)

    await ask(projects, calls.decide_application, a_decision(order.application_id, "declined"), LAB_TEAM)
    again = await ask(projects, calls.submit_application, order, LEAD)
    assert (again.state, again.version) == (ApplicationState.DECLINED, 2)
    assert len(await told(projects, order.application_id)) == 2


async def test_an_engagement_started_twice_is_one_and_its_id_is_taken(projects: Database) -> None:
    application, other = await given_application(projects, "accepted"), await given_application(projects, "accepted")
    order = a_start(application.application_id)
    first = await ask(projects, handlers.start_engagement, order, LAB_TEAM)

    assert await ask(projects, handlers.start_engagement, order, LAB_TEAM) == first
    for changed in ({"engagement_id": uuid4()}, {"coach_id": uuid4()}, {"planned_end_on": date(2027, 8, 2)}):
        assert await answer(projects, handlers.start_engagement, order.model_copy(update=changed), LAB_TEAM) == "engagement_exists"
    stolen = order.model_copy(update={"application_id": other.application_id})
    assert await answer(projects, handlers.start_engagement, stolen, LAB_TEAM) == "engagement_exists"
    assert await told(projects, order.engagement_id) == [("engagement_started", 1)]


async def test_an_entry_written_twice_is_one_and_its_id_is_taken(projects: Database) -> None:
    engagement, other = await given_engagement(projects), await given_engagement(projects)
    order = an_entry(engagement.engagement_id)
    first = await ask(projects, handlers.add_logbook_entry, order, LEAD)

    assert await ask(projects, handlers.add_logbook_entry, order, LEAD) == first
    for changed in ({"text": "Autre chose"}, {"kind": EntryKind.OBSTACLE}, {"engagement_id": other.engagement_id}):
        assert await answer(projects, handlers.add_logbook_entry, order.model_copy(update=changed), LEAD) == "entry_exists"
    assert await answer(projects, handlers.add_logbook_entry, order, COACH) == "entry_exists"

    await ask(projects, handlers.close_engagement, a_closing(engagement.engagement_id), COACH)
    assert (await ask(projects, handlers.add_logbook_entry, order, LEAD)).logbook == first.logbook
    assert await answer(projects, handlers.add_logbook_entry, an_entry(engagement.engagement_id), LEAD) == "engagement_is_closed"
    assert await answer(projects, handlers.close_engagement, a_closing(engagement.engagement_id), COACH) == "engagement_is_closed"


# --- refusals leave nothing behind -------------------------------------------------------------------------------------------------------


async def test_what_does_not_exist_is_said_so(projects: Database) -> None:
    assert await answer(projects, calls.decide_application, a_decision(uuid4()), LAB_TEAM) == "application_unknown"
    assert await answer(projects, handlers.start_engagement, a_start(uuid4()), LAB_TEAM) == "application_unknown"
    assert await answer(projects, handlers.add_logbook_entry, an_entry(uuid4()), OPERATOR) == "engagement_unknown"
    assert await answer(projects, handlers.close_engagement, a_closing(uuid4()), OPERATOR) == "engagement_unknown"
    with pytest.raises(domain.EngagementUnknown):
        await read(projects, uuid4())
    assert await everything_told(projects) == []


async def test_a_refused_order_writes_nothing_and_the_right_one_is_served_next(projects: Database) -> None:
    application = await given_application(projects)
    engagement = await given_engagement(projects)
    before = len(await everything_told(projects))

    refused = [
        await answer(projects, calls.decide_application, a_decision(application.application_id, reason=""), LAB_TEAM),
        await answer(projects, calls.decide_application, a_decision(application.application_id, "declined", redirection=""), LAB_TEAM),
        await answer(projects, handlers.start_engagement, a_start(application.application_id), LAB_TEAM),
        await answer(projects, handlers.close_engagement, a_closing(engagement.engagement_id, lessons_learned=" "), COACH),
    ]

    assert refused == ["reason_required", "redirection_required", "application_not_accepted", "lessons_learned_required"]
    assert len(await everything_told(projects)) == before
    assert await answer(projects, calls.decide_application, a_decision(application.application_id), LAB_TEAM) == "ok"
    too_long = a_start(application.application_id, planned_end_on=date(2027, 9, 2))
    assert await answer(projects, handlers.start_engagement, too_long, LAB_TEAM) == "duration_out_of_bounds"
    assert await answer(projects, handlers.start_engagement, a_start(application.application_id), LAB_TEAM) == "ok"


# --- who may what, on which object -------------------------------------------------------------------------------------------------------

LAB = {"lab_team": "ok", "operator": "ok", "program": "ok"}
OTHERS = ("committee", "another_coach", "stranger")


async def test_an_agent_applies_for_themselves_and_the_lab_for_anybody(projects: Database) -> None:
    answers = {name: await answer(projects, calls.submit_application, an_application(), caller) for name, caller in CALLERS.items()}

    assert answers == {"lead": "ok", **LAB, "coach": "not_allowed"} | dict.fromkeys(OTHERS, "not_allowed")


async def test_only_the_lab_records_decisions_and_starts_engagements(projects: Database) -> None:
    decisions, starts = {}, {}
    for name, caller in CALLERS.items():
        waiting, accepted = await given_application(projects), await given_application(projects, "accepted")
        decisions[name] = await answer(projects, calls.decide_application, a_decision(waiting.application_id), caller)
        starts[name] = await answer(projects, handlers.start_engagement, a_start(accepted.application_id), caller)

    assert decisions == starts == LAB | dict.fromkeys(("lead", "coach", *OTHERS), "not_allowed")


async def test_the_lead_the_coach_and_people_of_the_lab_write_in_the_logbook(projects: Database) -> None:
    engagement_id = (await given_engagement(projects)).engagement_id

    answers = {
        name: await answer(projects, handlers.add_logbook_entry, an_entry(engagement_id), caller) for name, caller in CALLERS.items()
    }

    assert answers == {"lead": "ok", "coach": "ok", **LAB, "program": "not_allowed"} | dict.fromkeys(OTHERS, "engagement_unknown")


async def test_the_coach_and_the_lab_close_an_engagement_its_lead_does_not(projects: Database) -> None:
    answers = {}
    for name, caller in CALLERS.items():
        engagement_id = (await given_engagement(projects)).engagement_id
        answers[name] = await answer(projects, handlers.close_engagement, a_closing(engagement_id), caller)

    assert answers == {"lead": "not_allowed", "coach": "ok", **LAB} | dict.fromkeys(OTHERS, "engagement_unknown")


async def test_who_has_no_part_in_an_engagement_cannot_tell_it_from_one_that_does_not_exist(projects: Database) -> None:
    engagement = await given_engagement(projects)

    for name in ("lead", "coach", *LAB):
        assert await read(projects, engagement.engagement_id, CALLERS[name]) == engagement
    for name in OTHERS:
        with pytest.raises(domain.EngagementUnknown):
            await read(projects, engagement.engagement_id, CALLERS[name])


async def test_a_portfolio_is_read_by_its_agent_and_the_lab(projects: Database) -> None:
    request = GetPortfolio(agent_id=LEAD_ID)

    for name in ("lead", *LAB):
        assert (await handlers.get_portfolio(request, CALLERS[name], projects)).applications == ()
    for name in ("coach", *OTHERS):
        with pytest.raises(NotAllowed):
            await handlers.get_portfolio(request, CALLERS[name], projects)


# --- reads -------------------------------------------------------------------------------------------------------------------------------


async def test_a_portfolio_holds_what_an_agent_leads_or_coaches_newest_first(projects: Database) -> None:
    led = await given_engagement(projects)
    coached = await given_engagement(projects, lead_id=STRANGER_ID, starts_on=date(2027, 4, 1), planned_end_on=date(2027, 9, 1))
    await given_engagement(projects, lead_id=STRANGER_ID, coach_id=uuid4())
    waiting = await given_application(projects)

    of_lead = await handlers.get_portfolio(GetPortfolio(agent_id=LEAD_ID), LEAD, projects)
    of_coach = await handlers.get_portfolio(GetPortfolio(agent_id=COACH_ID), COACH, projects)

    assert [each.application_id for each in of_lead.applications] == [waiting.application_id, led.application_id]
    assert [each.engagement_id for each in of_lead.engagements] == [led.engagement_id]
    assert of_coach.applications == ()
    assert [each.engagement_id for each in of_coach.engagements] == [coached.engagement_id, led.engagement_id]


async def test_a_long_logbook_is_answered_with_its_newest_entries_and_their_number(projects: Database) -> None:
    engagement = await given_engagement(projects)
    longest = "\N{OWL}" * 9_999  # 40 kB each
    for number in range(8):
        entry = an_entry(engagement.engagement_id, text=f"{number}{longest}")
        reply = await ask(projects, handlers.add_logbook_entry, entry, LEAD)
        assert len(reply.model_dump_json()) < 400_000

    found = await read(projects, engagement.engagement_id)

    assert [entry.text[0] for entry in found.logbook] == ["7", "6", "5", "4", "3", "2"]
    assert (found.logbook_total, found.version) == (8, 9)
    assert len(found.model_dump_json().encode()) < queries.LOGBOOK_BYTES + 10_000

"""Catalog on a real Postgres: what it keeps, what it says, whom it refuses, and what happens when two change one session."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.catalog.activities import domain, handlers
from shared.bus import Caller
from shared.contracts.catalog import (
    AddHost,
    AddVenue,
    CancelSession,
    DeliveryMode,
    GetSession,
    PublishActivity,
    RescheduleSession,
    SessionState,
)
from shared.database import Database, constraint_of
from shared.errors import NotAllowed, Refused, VersionConflict
from tests.catalog.givens import (
    AGENT,
    DEMONSTRATION,
    LAB_TEAM,
    OPERATOR,
    PITCH,
    a_draft,
    an_order,
    days,
    given_activity,
    given_session,
    given_venue,
    local,
    payloads,
    shift_to,
    told,
)

Open = Callable[[str], Awaitable[Database]]
NEXT_WEEK = local("2027-03-25", "14:00", "17:30")


@pytest.fixture
async def catalog(database: Open) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


async def ask(catalog: Database, command: Callable[..., Awaitable[Any]], request: Any, caller: Caller = OPERATOR) -> Any:
    async with catalog.begin() as tx:
        return await command(request, caller, tx)


# --- what is asked twice is done once --------------------------------------------------------------------------------------------------


async def test_a_host_asked_for_twice_is_made_once_and_its_id_is_taken(catalog: Database) -> None:
    host = AddHost(host_id=uuid4(), name="Atelier partagé", kind="fablab")

    first = await ask(catalog, handlers.add_host, host)
    assert await ask(catalog, handlers.add_host, host) == first
    with pytest.raises(domain.HostExists):
        await ask(catalog, handlers.add_host, host.model_copy(update={"kind": "tiers-lieu"}))


async def test_a_venue_asked_for_twice_is_made_once_and_its_id_is_taken(catalog: Database) -> None:
    host = AddHost(host_id=uuid4(), name="Atelier partagé", kind="fablab")
    venue = AddVenue(
        venue_id=uuid4(), host_id=host.host_id, name="Salle haute", address="1 rue du Test", city="Ajaccio", department="2A", capacity=8,
        step_free_access=False, closed_weekdays=(1, 7),
    )  # fmt: skip

    with pytest.raises(domain.HostUnknown):
        await ask(catalog, handlers.add_venue, venue)
    await ask(catalog, handlers.add_host, host)
    first = await ask(catalog, handlers.add_venue, venue)
    assert await ask(catalog, handlers.add_venue, venue) == first
    with pytest.raises(domain.VenueExists):
        await ask(catalog, handlers.add_venue, venue.model_copy(update={"capacity": 9}))


async def test_an_activity_asked_for_twice_is_made_once_and_its_id_is_taken(catalog: Database) -> None:
    draft = a_draft()

    first = await ask(catalog, handlers.draft_activity, draft)
    assert await ask(catalog, handlers.draft_activity, draft) == first
    with pytest.raises(domain.ActivityExists):
        await ask(catalog, handlers.draft_activity, draft.model_copy(update={"title": "Un autre titre"}))
    with pytest.raises(domain.HostUnknown):
        await ask(catalog, handlers.draft_activity, a_draft(host_id=uuid4()))


async def test_a_session_asked_for_twice_is_made_once_even_when_it_has_moved_or_passed(catalog: Database) -> None:
    order = an_order(activity_id=await given_activity(catalog), venue_id=await given_venue(catalog))
    made = await ask(catalog, handlers.schedule_session, order, LAB_TEAM)
    assert await ask(catalog, handlers.schedule_session, order, LAB_TEAM) == made

    moved = await ask(catalog, handlers.reschedule_session, RescheduleSession(session_id=order.session_id, periods=(NEXT_WEEK,)))
    shift_to(DEMONSTRATION + days(60))

    assert await ask(catalog, handlers.schedule_session, order, LAB_TEAM) == moved
    with pytest.raises(domain.SessionExists):
        await ask(catalog, handlers.schedule_session, order.model_copy(update={"capacity": 11}), LAB_TEAM)
    assert await told(catalog) == [("activity_published", 1), ("session_scheduled", 1), ("session_rescheduled", 2)]


async def test_the_same_session_asked_for_by_ten_at_once_is_made_once(catalog: Database) -> None:
    order = an_order(activity_id=await given_activity(catalog), venue_id=await given_venue(catalog))

    answers = await gather(*(ask(catalog, handlers.schedule_session, order) for _ in range(10)))

    assert {answer.version for answer in answers} == {1}
    assert [fact for fact, _ in await told(catalog)] == ["activity_published", "session_scheduled"]


async def test_one_session_id_for_two_activities_at_once_goes_to_one(catalog: Database) -> None:
    session_id, venue_id = uuid4(), await given_venue(catalog)
    orders = [an_order(session_id=session_id, venue_id=venue_id, activity_id=await given_activity(catalog)) for _ in range(2)]

    answers = await gather(*(ask(catalog, handlers.schedule_session, order) for order in orders), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["SessionExists", "SessionState"]


# --- a session's life ------------------------------------------------------------------------------------------------------------------


async def test_every_change_of_a_session_is_one_event_and_the_state_is_what_it_says(catalog: Database) -> None:
    session = await given_session(catalog)
    await ask(catalog, handlers.reschedule_session, RescheduleSession(session_id=session.session_id, periods=(PITCH, NEXT_WEEK)))
    cancelled = await ask(catalog, handlers.cancel_session, CancelSession(session_id=session.session_id, reason="formatrice souffrante"))

    assert await told(catalog) == [
        ("activity_published", 1), ("session_scheduled", 1), ("session_rescheduled", 2), ("session_cancelled", 3)
    ]  # fmt: skip
    assert SessionState.model_validate((await payloads(catalog))[-1]["session"]) == cancelled
    assert await handlers.get_session(GetSession(session_id=session.session_id), AGENT, catalog) == cancelled
    assert [period.local_start.day for period in cancelled.periods] == [18, 25]


async def test_M5_cancelling_twice_answers_the_same_and_says_nothing_again(catalog: Database) -> None:
    session = await given_session(catalog)

    first = await ask(catalog, handlers.cancel_session, CancelSession(session_id=session.session_id, reason="quorum non atteint"))
    again = await ask(catalog, handlers.cancel_session, CancelSession(session_id=session.session_id, reason="autre motif"))

    assert first == again
    assert [fact for fact, _ in await told(catalog)].count("session_cancelled") == 1


async def test_E4_changes_made_at_the_same_time_follow_each_other_without_a_gap(catalog: Database) -> None:
    """Each sees the whole of the one before it, periods included: the lock is taken before the state is read."""
    session = await given_session(catalog)
    moves = [
        RescheduleSession(
            session_id=session.session_id, periods=tuple(local(f"2027-05-{10 + day:02}", "09:00", "12:00") for day in range(move + 1))
        )
        for move in range(1, 7)
    ]

    answers = await gather(*(ask(catalog, handlers.reschedule_session, move) for move in moves))

    assert sorted(answer.version for answer in answers) == [2, 3, 4, 5, 6, 7]
    said = (await payloads(catalog))[2:]
    assert [fact["version"] for fact in said] == [2, 3, 4, 5, 6, 7]
    for earlier, later in pairwise(said):
        assert later["previous_periods"] == earlier["session"]["periods"]


async def test_two_changes_made_from_the_same_version_at_once_let_one_pass(catalog: Database) -> None:
    session = await given_session(catalog)
    changes = [RescheduleSession(session_id=session.session_id, capacity=seats, expected_version=1) for seats in (8, 9)]

    answers = await gather(*(ask(catalog, handlers.reschedule_session, change) for change in changes), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["SessionState", "VersionConflict"]


async def test_a_refused_change_leaves_neither_state_nor_event(catalog: Database) -> None:
    session = await given_session(catalog, venue_id=await given_venue(catalog, capacity=12))
    before = await told(catalog)

    with pytest.raises(domain.VenueTooSmall):
        await ask(catalog, handlers.reschedule_session, RescheduleSession(session_id=session.session_id, capacity=13))
    with pytest.raises(VersionConflict):
        await ask(catalog, handlers.reschedule_session, RescheduleSession(session_id=session.session_id, capacity=11, expected_version=7))

    assert await told(catalog) == before
    assert await handlers.get_session(GetSession(session_id=session.session_id), AGENT, catalog) == session


async def test_a_session_moves_to_another_venue_and_says_where_it_was(catalog: Database) -> None:
    session = await given_session(catalog)
    elsewhere = await given_venue(catalog, city="Mende", department="48", closed_weekdays=(1,))

    moved = await ask(catalog, handlers.reschedule_session, RescheduleSession(session_id=session.session_id, venue_id=elsewhere))

    assert (moved.venue.city, moved.periods) == ("Mende", session.periods)
    with pytest.raises(domain.VenueClosed):
        monday = RescheduleSession(session_id=session.session_id, periods=(local("2027-03-22", "14:00", "16:00"),))
        await ask(catalog, handlers.reschedule_session, monday)


async def test_what_is_not_there_is_said_so(catalog: Database) -> None:
    activity_id = await given_activity(catalog)
    refusals = [
        (handlers.publish_activity, PublishActivity(activity_id=uuid4()), domain.ActivityUnknown),
        (handlers.publish_activity, PublishActivity(activity_id=activity_id), domain.ActivityAlreadyPublished),
        (handlers.schedule_session, an_order(), domain.ActivityUnknown),
        (handlers.schedule_session, an_order(activity_id=activity_id, venue_id=uuid4()), domain.VenueUnknown),
        (handlers.reschedule_session, RescheduleSession(session_id=uuid4()), domain.SessionUnknown),
        (handlers.cancel_session, CancelSession(session_id=uuid4(), reason="aucune"), domain.SessionUnknown),
    ]
    for command, request, refusal in refusals:
        with pytest.raises(refusal):
            await ask(catalog, command, request)
    with pytest.raises(domain.SessionUnknown):
        await handlers.get_session(GetSession(session_id=uuid4()), AGENT, catalog)


async def test_a_draft_gets_no_date_and_a_remote_session_no_room(catalog: Database) -> None:
    draft_id = await given_activity(catalog, published=False)
    remote_id = await given_activity(catalog, delivery_mode=DeliveryMode.REMOTE)

    with pytest.raises(domain.ActivityNotPublished):
        await ask(catalog, handlers.schedule_session, an_order(activity_id=draft_id))
    session = await ask(catalog, handlers.schedule_session, an_order(activity_id=remote_id, capacity=300))

    assert session.venue is None
    assert await handlers.get_session(GetSession(session_id=session.session_id), AGENT, catalog) == session


# --- who may ---------------------------------------------------------------------------------------------------------------------------


async def test_an_agent_changes_nothing_in_the_programme(catalog: Database) -> None:
    session = await given_session(catalog)
    before = await told(catalog)
    attempts = [
        (handlers.add_host, AddHost(host_id=uuid4(), name="Chez moi", kind="fablab")),
        (handlers.draft_activity, a_draft()),
        (handlers.publish_activity, PublishActivity(activity_id=session.activity_id)),
        (handlers.schedule_session, an_order(activity_id=session.activity_id)),
        (handlers.reschedule_session, RescheduleSession(session_id=session.session_id, capacity=1)),
        (handlers.cancel_session, CancelSession(session_id=session.session_id, reason="pas envie")),
    ]

    for command, request in attempts:
        with pytest.raises(NotAllowed):
            await ask(catalog, command, request, AGENT)
    assert await told(catalog) == before


async def test_the_lab_team_writes_but_does_not_record_the_past(catalog: Database) -> None:
    activity_id, venue_id = await given_activity(catalog), await given_venue(catalog)
    january = an_order(activity_id=activity_id, venue_id=venue_id, periods=(local("2027-01-14", "12:30", "13:30"),))

    with pytest.raises(domain.SessionInPast):
        await ask(catalog, handlers.schedule_session, january, LAB_TEAM)
    assert (await ask(catalog, handlers.schedule_session, january, OPERATOR)).starts_at.year == 2027


# --- what the database swears to -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("update session set capacity = 0", "session_capacity_check"),
        ("update session set quorum = capacity + 1", "session_check"),
        ("update session set status = 'moved'", "session_status_check"),
        ("update session set status = 'cancelled'", "session_cancelled_with_reason"),
        ("update session set version = 0", "session_version_check"),
        ("update session set activity_id = uuidv7()", "session_activity_id_fkey"),
        ("update session set venue_id = uuidv7()", "session_venue_id_fkey"),
        ("update activity set status = 'draft'", "activity_draft_said_nothing"),
        ("update activity set activity_type = 'party'", "activity_activity_type_check"),
        ("update venue set capacity = -1", "venue_capacity_check"),
        ("update venue set department = '976'", "venue_department_check"),
        ("update venue set closed_weekdays = '{8}'", "venue_closed_weekdays_check"),
        ("update period set ends_at = starts_at", "period_not_empty"),
        (
            "insert into period select session_id, 2, local_start, local_end, zone, starts_at + '1 minute', ends_at, false from period",
            "period_no_overlap",
        ),
    ],
)
async def test_the_database_swears_to_what_the_rules_check(catalog: Database, statement: str, constraint: str) -> None:
    await given_session(catalog)

    with pytest.raises(IntegrityError) as broken:
        async with catalog.begin() as tx:
            await tx.execute(text(statement))

    assert constraint_of(broken.value) == constraint


async def test_refusals_are_answers_with_a_code_a_status_and_a_french_title() -> None:
    refusals = [
        kind
        for kind in vars(domain).values()
        if isinstance(kind, type) and issubclass(kind, Refused) and kind.__module__ == domain.__name__
    ]

    assert len(refusals) >= 19
    for kind in refusals:
        problem = kind("detail").problem
        assert problem.code != "refused"
        assert problem.status in {403, 404, 409, 412, 422}
        assert problem.title.endswith(".")

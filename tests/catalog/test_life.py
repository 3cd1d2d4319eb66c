"""The life of an activity: a draft is edited in silence, what is published is edited aloud, and what is archived has nothing to come."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from services.catalog.activities import domain
from services.catalog.activities import handlers as activities
from services.catalog.activities.queries import list_sessions
from services.catalog.life import handlers
from services.catalog.life.domain import NAMED, ActivityHasSessions, archive
from shared.bus import Caller
from shared.contracts.activities import ActivityState, ArchiveActivity, EditActivity, GetActivity
from shared.contracts.catalog import CancelSession, GetSession, ListSessions, PublishActivity, RescheduleSession, SessionState
from shared.contracts.details import CoachingDetails, TrainingDetails
from shared.contracts.feedback import Improvement
from shared.database import Database
from shared.errors import NotAllowed, Refused, VersionConflict
from tests.catalog.givens import (
    AGENT,
    DEMONSTRATION,
    LAB_TEAM,
    OPERATOR,
    a_draft,
    a_draft_only,
    an_activity,
    an_order,
    given_activity,
    given_session,
    given_venue,
    local,
    payloads,
    shift_to,
    told,
)

AFTER_THE_PITCH = datetime(2027, 3, 18, 17, tzinfo=UTC)
IN_JUNE = local("2027-06-10", "14:00", "17:30")


@pytest.fixture
async def catalog(database: Callable[[str], Awaitable[Database]]) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


async def ask(catalog: Database, command: Callable[..., Awaitable[Any]], request: Any, caller: Caller = LAB_TEAM) -> Any:
    async with catalog.begin() as tx:
        return await command(request, caller, tx)


async def edit(catalog: Database, activity_id: UUID, revision: int, **changed: Any) -> ActivityState:
    return await ask(catalog, handlers.edit_activity, EditActivity(activity_id=activity_id, expected_revision=revision, **changed))


async def archived(catalog: Database, activity_id: UUID) -> ActivityState:
    return await ask(catalog, handlers.archive_activity, ArchiveActivity(activity_id=activity_id))


async def read(catalog: Database, activity_id: UUID) -> ActivityState:
    return await handlers.get_activity(GetActivity(activity_id=activity_id), LAB_TEAM, catalog)


# --- editing ---------------------------------------------------------------------------------------------------------------------------


async def test_a_draft_is_edited_in_silence_and_published_as_it_is_then(catalog: Database) -> None:
    activity_id = await given_activity(catalog, published=False)

    first = await edit(catalog, activity_id, 1, title="Un meilleur titre", audience="Agents d'accueil")
    second = await edit(catalog, activity_id, 2, details=TrainingDetails(objectives=("Convaincre",), duration_hours=3))
    assert [(each.revision, each.version, each.status) for each in (first, second)] == [(2, 0, "draft"), (3, 0, "draft")]
    assert await told(catalog) == []
    await ask(catalog, activities.publish_activity, PublishActivity(activity_id=activity_id))

    (said,) = await payloads(catalog)
    assert (said["title"], said["audience"], said["details"]["objectives"]) == ("Un meilleur titre", "Agents d'accueil", ["Convaincre"])


async def test_E4_what_is_published_is_edited_aloud_whole_and_with_the_next_version(catalog: Database) -> None:
    session = await given_session(catalog)

    state = await edit(catalog, session.activity_id, 1, summary="En deux heures.")

    assert (state.summary, state.version, state.revision) == ("En deux heures.", 2, 2)
    assert await told(catalog) == [("activity_published", 1), ("session_scheduled", 1), ("activity_edited", 2)]
    said = (await payloads(catalog))[-1]
    assert (said["summary"], said["title"]) == ("En deux heures.", session.title)
    shown = await activities.get_session(GetSession(session_id=session.session_id), AGENT, catalog)
    assert (shown.summary, shown.version) == ("En deux heures.", 1)


async def test_who_has_read_an_older_revision_is_refused_and_overwrites_nothing(catalog: Database) -> None:
    activity_id = await given_activity(catalog)
    await edit(catalog, activity_id, 1, title="Le titre de l'une")

    with pytest.raises(VersionConflict) as refused:
        await edit(catalog, activity_id, 1, title="Le titre de l'autre")

    assert refused.value.members["revision"] == 2
    assert (await read(catalog, activity_id)).title == "Le titre de l'une"


async def test_of_ten_who_edit_the_same_revision_at_once_one_does(catalog: Database) -> None:
    activity_id = await given_activity(catalog)

    answers = await gather(*(edit(catalog, activity_id, 1, title=f"Titre {n}") for n in range(10)), return_exceptions=True)

    (kept,) = [each for each in answers if isinstance(each, ActivityState)]
    assert sum(isinstance(each, VersionConflict) for each in answers) == 9
    assert (await read(catalog, activity_id)) == kept
    assert await told(catalog) == [("activity_published", 1), ("activity_edited", 2)]


async def test_what_participants_said_and_the_lab_did_is_published_and_taken_back(catalog: Database) -> None:
    activity_id = await given_activity(catalog)
    improvement = Improvement(said="Trop court", done="Une demi-heure de plus", since=date(2026, 10, 1))

    stated = await edit(catalog, activity_id, 1, improvements=(improvement,))
    kept = await edit(catalog, activity_id, 2, title="Un meilleur titre")
    silent = await edit(catalog, activity_id, 3, improvements=())

    assert [each.improvements for each in (stated, kept, silent)] == [(improvement,), (improvement,), ()]
    assert [each["improvements"] for each in await payloads(catalog)][1:] == [[improvement.model_dump(mode="json")]] * 2 + [[]]
    with pytest.raises(ValidationError):
        EditActivity(activity_id=activity_id, expected_revision=4, improvements=(improvement,) * 11)


async def test_an_edit_that_changes_nothing_says_nothing(catalog: Database) -> None:
    activity_id = await given_activity(catalog)
    before = await read(catalog, activity_id)

    assert await edit(catalog, activity_id, 1, title=before.title) == before
    assert await told(catalog) == [("activity_published", 1)]


async def test_an_edit_takes_no_fields_of_another_type(catalog: Database) -> None:
    activity_id = await given_activity(catalog)

    with pytest.raises(domain.DetailsOfAnotherType):
        await edit(catalog, activity_id, 1, details=CoachingDetails(rhythm="Tous les jours"))


async def test_a_draft_asked_for_again_after_its_edit_is_recognised(catalog: Database) -> None:
    draft = a_draft()
    await ask(catalog, activities.draft_activity, draft)
    await edit(catalog, draft.activity_id, 1, title="Un autre titre")

    assert (await ask(catalog, activities.draft_activity, draft)).version == 0
    assert (await read(catalog, draft.activity_id)).title == "Un autre titre"


# --- archiving -------------------------------------------------------------------------------------------------------------------------


async def test_what_is_archived_leaves_the_programme_and_its_past_sessions_remain(catalog: Database) -> None:
    session = await given_session(catalog)
    shift_to(AFTER_THE_PITCH)

    state = await archived(catalog, session.activity_id)

    assert (state.status, state.version) == ("archived", 2)
    assert await archived(catalog, session.activity_id) == state
    assert await told(catalog) == [("activity_published", 1), ("session_scheduled", 1), ("activity_archived", 2)]
    assert await activities.get_session(GetSession(session_id=session.session_id), AGENT, catalog) == session
    async with catalog.connect() as connection:
        assert (await list_sessions(connection, ListSessions())).sessions == ()


async def test_an_activity_with_a_session_to_come_is_not_archived_until_it_is_cancelled_or_over(catalog: Database) -> None:
    activity_id, venue_id = await given_activity(catalog), await given_venue(catalog)
    first = await given_session(catalog, activity_id, venue_id)
    second = await given_session(catalog, activity_id, venue_id, periods=(IN_JUNE,))

    with pytest.raises(ActivityHasSessions) as refused:
        await archived(catalog, activity_id)
    assert refused.value.members["sessions"] == sorted(str(each.session_id) for each in (first, second))
    await ask(catalog, activities.cancel_session, CancelSession(session_id=second.session_id, reason="grève"))
    shift_to(datetime(2027, 3, 18, 14, tzinfo=UTC))  # the first has begun
    with pytest.raises(ActivityHasSessions):
        await archived(catalog, activity_id)
    shift_to(AFTER_THE_PITCH)

    assert (await archived(catalog, activity_id)).status == "archived"


async def test_nothing_new_happens_to_what_is_archived(catalog: Database) -> None:
    session = await given_session(catalog)
    shift_to(AFTER_THE_PITCH)
    await archived(catalog, session.activity_id)
    before = await told(catalog)
    order = an_order(activity_id=session.activity_id, periods=(IN_JUNE,))
    attempts: list[tuple[Any, Any]] = [
        (activities.schedule_session, order),
        (activities.reschedule_session, RescheduleSession(session_id=session.session_id, periods=(IN_JUNE,))),
        (activities.publish_activity, PublishActivity(activity_id=session.activity_id)),
        (handlers.edit_activity, EditActivity(activity_id=session.activity_id, expected_revision=1, title="Encore")),
    ]

    for command, request in attempts:
        with pytest.raises(domain.ActivityIsArchived):
            await ask(catalog, command, request, OPERATOR)
    assert await told(catalog) == before


async def test_archiving_and_a_new_session_at_once_leave_no_session_to_come_of_what_is_archived(catalog: Database) -> None:
    venue_id = await given_venue(catalog)
    for _ in range(8):
        activity_id = await given_activity(catalog)
        past = await given_session(catalog, activity_id, venue_id, periods=(local("2027-02-18", "14:00", "17:30"),))
        order = an_order(session_id=uuid4(), activity_id=activity_id, venue_id=venue_id, periods=(IN_JUNE,))
        moved = RescheduleSession(session_id=past.session_id, periods=(IN_JUNE,))

        answers = await gather(
            archived(catalog, activity_id),
            ask(catalog, activities.schedule_session, order),
            ask(catalog, activities.reschedule_session, moved),
            return_exceptions=True,
        )

        done = [type(each) for each in answers if not isinstance(each, Refused)]
        assert done in ([ActivityState], [SessionState, SessionState]), answers


def test_a_draft_is_not_archived_and_a_refusal_names_twenty_sessions_at_most() -> None:
    activity = an_activity()

    with pytest.raises(domain.ActivityNotPublished):
        archive(a_draft_only(activity), ())
    with pytest.raises(ActivityHasSessions) as refused:
        archive(activity, [uuid4() for _ in range(30)])
    assert len(refused.value.members["sessions"]) == NAMED


# --- who may ---------------------------------------------------------------------------------------------------------------------------


async def test_an_agent_neither_sees_a_draft_nor_edits_nor_archives(catalog: Database) -> None:
    activity_id = await given_activity(catalog, published=False)

    with pytest.raises(NotAllowed):
        await handlers.get_activity(GetActivity(activity_id=activity_id), AGENT, catalog)
    for command, request in (
        (handlers.edit_activity, EditActivity(activity_id=activity_id, expected_revision=1, title="Le mien")),
        (handlers.archive_activity, ArchiveActivity(activity_id=activity_id)),
    ):
        with pytest.raises(NotAllowed):
            await ask(catalog, command, request, AGENT)


async def test_what_does_not_exist_is_neither_seen_nor_edited_nor_archived(catalog: Database) -> None:
    with pytest.raises(domain.ActivityUnknown):
        await read(catalog, uuid4())
    with pytest.raises(domain.ActivityUnknown):
        await edit(catalog, uuid4(), 1, title="Rien")
    with pytest.raises(domain.ActivityUnknown):
        await archived(catalog, uuid4())

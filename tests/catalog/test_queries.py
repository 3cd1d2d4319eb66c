"""What people read of the programme."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import event

from services.catalog.activities import handlers
from services.catalog.activities.queries import CursorInvalid, read_cursor, write_cursor
from shared.contracts.catalog import ActivityType, ListSessions, RescheduleSession, SessionList
from shared.database import Database
from shared.errors import InvalidRequest
from tests.catalog.givens import AGENT, OPERATOR, given_activity, given_session, given_venue, local

Open = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def catalog(database: Open) -> Database:
    return await database("catalog")


async def given_days(catalog: Database, *march_days: int, activity_type: ActivityType = ActivityType.TRAINING) -> None:
    activity_id, venue_id = await given_activity(catalog, activity_type=activity_type), await given_venue(catalog)
    for day in march_days:
        await given_session(catalog, activity_id, venue_id, periods=(local(f"2027-03-{day:02}", "14:00", "17:00"),))


async def listed(catalog: Database, **wanted: object) -> SessionList:
    return await handlers.list_sessions(ListSessions.model_validate(wanted), AGENT, catalog)


def march_days(page: SessionList) -> list[int]:
    return [session.starts_at.day for session in page.sessions]


async def test_sessions_are_listed_oldest_first_from_a_date_on_that_date_included(catalog: Database) -> None:
    await given_days(catalog, 18, 4, 11)

    assert march_days(await listed(catalog)) == [4, 11, 18]
    assert march_days(await listed(catalog, starts_after=datetime(2027, 3, 11, 13, tzinfo=UTC))) == [11, 18]
    assert march_days(await listed(catalog, starts_after=datetime(2027, 3, 11, 13, 0, 0, 1, tzinfo=UTC))) == [18]


async def test_sessions_are_listed_by_type(catalog: Database) -> None:
    await given_days(catalog, 4)
    await given_days(catalog, 11, activity_type=ActivityType.LABTOUR)

    assert march_days(await listed(catalog, activity_type="labtour")) == [11]


async def test_the_pages_of_a_list_hold_every_session_once_even_when_many_start_together(catalog: Database) -> None:
    await given_days(catalog, 4, 11, 11, 11, 18)
    whole = await listed(catalog)

    pages, cursor = list[SessionList](), None
    while not pages or cursor:
        pages.append(await listed(catalog, limit=2, cursor=cursor))
        cursor = pages[-1].next_cursor

    assert [len(page.sessions) for page in pages] == [2, 2, 1]
    assert [session for page in pages for session in page.sessions] == list(whole.sessions)
    assert whole.next_cursor is None


async def test_a_session_moved_while_somebody_turns_pages_hides_no_other(catalog: Database) -> None:
    await given_days(catalog, 4, 11, 18, 25)
    first = await listed(catalog, limit=2)

    async with catalog.begin() as tx:
        moved = RescheduleSession(session_id=first.sessions[0].session_id, periods=(local("2027-03-30", "14:00", "17:00"),))
        await handlers.reschedule_session(moved, OPERATOR, tx)

    assert march_days(await listed(catalog, cursor=first.next_cursor)) == [18, 25, 30]


async def test_a_page_of_sessions_is_one_query(catalog: Database) -> None:
    await given_days(catalog, 4, 11, 18)
    seen: list[str] = []
    event.listen(catalog.engine.sync_engine, "before_cursor_execute", lambda *given: seen.append(given[2]))

    assert len((await listed(catalog)).sessions) == 3
    assert len(seen) == 1


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "?",
        "é",
        "bm90IGEgY3Vyc29y",
        urlsafe_b64encode(b"2027-03-11T13:00:00 00000000-0000-0000-0000-000000000000").decode(),
        "AAAA" * 100,
    ],
)
async def test_a_cursor_that_is_none_is_refused(catalog: Database, cursor: str) -> None:
    with pytest.raises(CursorInvalid):
        await listed(catalog, cursor=cursor)


async def test_a_cursor_says_where_its_page_ended(catalog: Database) -> None:
    session = await given_session(catalog)

    assert read_cursor(write_cursor(session)) == (session.starts_at, session.session_id)


@pytest.mark.parametrize(
    "moment", [datetime.min.replace(tzinfo=timezone(timedelta(hours=14))), datetime.max.replace(tzinfo=timezone(-timedelta(hours=11)))]
)
async def test_a_date_beyond_every_calendar_is_refused_rather_than_failing(catalog: Database, moment: datetime) -> None:
    with pytest.raises(InvalidRequest):
        await listed(catalog, starts_after=moment)

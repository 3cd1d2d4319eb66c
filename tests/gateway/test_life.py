"""The life of an activity as agents and the lab see it: a preview before, new words everywhere at once, and an end that keeps the past."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from services.gateway.programme import queries
from services.gateway.programme.queries import Filters
from shared import clock
from shared.contracts.activities import ActivityArchived, ActivityEdited, ArchiveActivity, EditActivity
from shared.contracts.catalog import ActivityPublished, ActivityType, DeliveryMode, DraftActivity, GetSession
from shared.contracts.details import CoachingDetails
from shared.database import Database
from tests.gateway.conftest import ALICE, LAB, OPERATOR, House, add_session
from tests.gateway.given import at
from tests.gateway.test_programme import NOW, a_session, hear, listed, scheduled

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def gateway(database: Callable[[str], Awaitable[Database]]) -> Database:
    return await database("gateway")


# --- the projection --------------------------------------------------------------------------------------------------------------------


def said(kind: type[ActivityPublished], activity_id: UUID, version: int, **changed: Any) -> ActivityPublished:
    given: dict[str, Any] = {
        "activity_type": ActivityType.TRAINING,
        "title": "Pitcher en 5 minutes",
        "summary": "",
        "description": "",
        "theme": "Oral",
        "delivery_mode": DeliveryMode.IN_PERSON,
    }
    return kind(activity_id=activity_id, version=version, **given | changed)


async def test_E4_new_words_reach_sessions_of_before_and_those_that_come_late(gateway: Database) -> None:
    activity_id = uuid4()
    before = await scheduled(gateway, activity_id=activity_id)
    await hear(gateway, said(ActivityEdited, activity_id, 2, title="Convaincre vite", theme="Récit"))
    late = await scheduled(gateway, activity_id=activity_id)  # says « Pitcher », as it was when it was made
    assert await hear(gateway, said(ActivityPublished, activity_id, 1)) != "applied"
    both = sorted([before.session_id, late.session_id])

    assert sorted(await listed(gateway, words="convaincre")) == both
    assert sorted(await listed(gateway, words="convaincrons Nîmes")) == both  # by its stem
    assert sorted(await listed(gateway, words="halle formation")) == both
    assert sorted(await listed(gateway, theme="Récit")) == both
    assert await listed(gateway, words="pitcher") == []
    assert await listed(gateway, theme="Oral") == []
    async with gateway.connect() as connection:
        page = await queries.list_sessions(connection, Filters(since=NOW), limit=5)
        assert {each.session.title for each in page.sessions} == {"Convaincre vite"}
        assert (await queries.read_facets(connection, Filters(since=NOW))).themes == {"Récit": 2}
        assert await queries.themes(connection) == ["Récit"]


async def test_what_is_archived_is_in_no_list_and_no_count_and_its_page_remains(gateway: Database) -> None:
    session = await scheduled(gateway)
    await hear(gateway, said(ActivityArchived, session.activity_id, 2))

    assert await listed(gateway) == []
    assert await listed(gateway, words="pitcher") == []
    assert await listed(gateway, words="pitchre") == []  # nothing near it either
    async with gateway.connect() as connection:
        assert (await queries.read_facets(connection, Filters(since=NOW))).activity_types == {}
        assert await queries.count_hidden(connection, Filters(since=NOW)) == 0
        assert list(await queries.read_sessions(connection, [session.session_id])) == [session.session_id]


async def test_a_session_whose_activity_was_not_heard_of_is_found_by_its_own_words(gateway: Database) -> None:
    session = a_session(theme="Récit")
    await scheduled(gateway, **session.model_dump(include={"session_id", "theme"}))

    assert await listed(gateway, words="pitcher récit nimes") == [session.session_id]
    assert await listed(gateway, theme="Récit") == [session.session_id]


# --- the house -------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def open_house(house: House) -> House:
    clock.shift(datetime(2027, 3, 1, 8, tzinfo=UTC) - datetime.now(UTC), "embedded")
    await house.start("catalog")
    await house.register(ALICE, LAB)
    return house


async def test_the_lab_previews_a_draft_and_nobody_else_does(open_house: House) -> None:
    draft = DraftActivity(
        activity_id=uuid4(),
        activity_type=ActivityType.COACHING,
        title="Un brouillon <secret>",
        summary="Pas encore.",
        theme="Essais",
        delivery_mode=DeliveryMode.REMOTE,
        details=CoachingDetails(rhythm="Tous les quinze jours"),
    )
    await open_house.bus.ask(draft, OPERATOR)
    path = f"/apercu/{draft.activity_id}"

    shown = await (await open_house.script(LAB)).get(path)
    assert shown.status_code == 200
    assert shown.headers["x-robots-tag"] == "noindex, nofollow"
    assert '<meta name="robots" content="noindex, nofollow">' in shown.text
    assert "Un brouillon &lt;secret&gt;" in shown.text
    assert "n’est pas encore publiée" in shown.text
    assert "<dd>Tous les quinze jours</dd>" in shown.text
    refused = await (await open_house.script(ALICE)).get(path)
    assert (refused.status_code, "secret" in refused.text) == (403, False)
    stranger = await open_house.browser().get(path)
    assert (stranger.status_code, stranger.headers["location"].partition("?")[0]) == (303, "/connexion")
    for unknown in (uuid4(), "rien"):
        assert (await (await open_house.script(LAB)).get(f"/apercu/{unknown}")).status_code == 404
    assert (await open_house.browser().get("/", params={"q": "brouillon", "places": "toutes"})).text.count("secret") == 0


async def test_an_edit_is_on_the_page_in_the_search_and_in_the_feeds_and_archiving_takes_it_out(
    open_house: House, eventually: Eventually
) -> None:
    session_id = await add_session(open_house, title="Un vieux titre", periods=(at("2027-03-18", "14:00", "17:00"),))
    activity_id = (await open_house.bus.ask(GetSession(session_id=session_id), OPERATOR)).activity_id
    browser = open_house.browser()

    async def found(words: str) -> bool:
        return any(item["session_id"] == str(session_id) for item in await sessions(browser, words))

    await eventually(lambda: found("vieux"))
    await open_house.bus.ask(EditActivity(activity_id=activity_id, expected_revision=1, title="Un titre neuf"), OPERATOR)
    await eventually(lambda: found("neuf"))
    assert not await found("vieux")
    assert "<h1>Un titre neuf</h1>" in (await browser.get(f"/seances/{session_id}")).text
    assert "Un titre neuf" in (await browser.get("/api/v1/programme.ics")).text

    clock.shift(datetime(2027, 3, 18, 18, tzinfo=UTC) - datetime.now(UTC), "embedded")
    await open_house.bus.ask(ArchiveActivity(activity_id=activity_id), OPERATOR)

    async def gone() -> bool:
        return not await sessions(browser, "neuf")

    await eventually(gone)
    assert "Un titre neuf" not in (await browser.get("/api/v1/programme.ics")).text
    assert (await browser.get(f"/seances/{session_id}")).status_code == 200
    assert (await browser.get(f"/api/v1/sessions/{session_id}")).json()["title"] == "Un titre neuf"


async def sessions(browser: httpx2.AsyncClient, words: str) -> list[dict[str, Any]]:
    return (await browser.get("/api/v1/sessions", params={"q": words, "from": "2027-03-01"})).json()["sessions"]

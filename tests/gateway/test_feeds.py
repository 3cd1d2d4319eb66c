"""Public feeds of the programme, read as other programs would: vobject for calendars, expat for Atom, a schema for JSON Feed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from xml.dom import minidom

import httpx2
import jsonschema
import pytest
import vobject
from sqlalchemy import text

from services.gateway.feeds.atom import atom
from services.gateway.feeds.queries import Feed
from services.gateway.programme.domain import ListedSession
from shared import clock
from shared.contracts.catalog import ActivityType, CancelSession, DeliveryMode, DraftActivity, RescheduleSession, SessionState
from tests.gateway.conftest import ALICE, OPERATOR, House, add_session
from tests.gateway.given import at
from tests.gateway.test_programme import a_session

Eventually = Callable[..., Awaitable[Any]]
FEEDS = ("ics", "atom", "json")
SUNDAY_OF_SUMMER_TIME = at("2027-03-27", "22:00", "23:00"), at("2027-03-28", "14:00", "15:00")
HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"

JSON_FEED: dict[str, Any] = {  # jsonfeed.org/version/1.1
    "type": "object",
    "required": ["version", "title", "items"],
    "properties": {
        "version": {"const": "https://jsonfeed.org/version/1.1"},
        "title": {"type": "string", "minLength": 1},
        "home_page_url": {"type": "string", "format": "uri"},
        "feed_url": {"type": "string", "format": "uri"},
        "language": {"const": "fr"},
        "authors": {"type": "array", "items": {"type": "object", "minProperties": 1}},
        "items": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["id", "content_text"],
                "properties": {
                    "id": {"type": "string", "minLength": 1},
                    "url": {"type": "string", "format": "uri"},
                    "date_modified": {"type": "string", "format": "date-time"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}


@pytest.fixture
async def open_house(house: House) -> House:
    clock.shift(datetime(2027, 3, 1, 8, tzinfo=UTC) - datetime.now(UTC), "embedded")
    await house.start("catalog")
    return house


async def read(house: House, name: str, **choices: str) -> httpx2.Response:
    answer = await house.browser().get(f"/api/v1/programme.{name}", params=choices)
    assert answer.status_code == 200, answer.text
    return answer


async def calendar(house: House, **choices: str) -> list[Any]:
    found = vobject.readOne((await read(house, "ics", **choices)).text)
    assert found.validate(raiseException=True)
    assert found.method.value == "PUBLISH"
    return found.contents.get("vevent", [])


async def titles(house: House, **choices: str) -> set[str]:
    """What all three feeds agree that they hold."""
    listed = {item["title"] for item in (await read(house, "json", **choices)).json()["items"]}
    assert {event.summary.value for event in await calendar(house, **choices)} == listed
    assert {each["title"] for each in entries((await read(house, "atom", **choices)).content)} == listed
    return listed


def entries(document: bytes) -> list[dict[str, str]]:
    """The entries of an Atom document that has what RFC 4287 says a feed and an entry must have."""
    feed: Any = minidom.parseString(document).documentElement  # noqa: S318 - our own
    assert (feed.localName, feed.namespaceURI) == ("feed", "http://www.w3.org/2005/Atom")
    found = [_required(feed), *(_required(each) for each in feed.childNodes if each.localName == "entry")]
    assert [each.getAttribute("rel") for each in feed.childNodes if each.localName == "link"] == ["self", "alternate"]
    assert [each.localName for each in feed.childNodes].count("author") == 1
    assert len({each["id"] for each in found}) == len(found)
    return found[1:]


def _required(parent: Any) -> dict[str, str]:
    """`id`, `title` and `updated`, exactly once each, and the date with its offset."""
    found: dict[str, str] = {}
    for name in ("id", "title", "updated"):
        (element,) = [each for each in parent.childNodes if each.localName == name]
        found[name] = "".join(text.data for text in element.childNodes)
    assert datetime.fromisoformat(found["updated"]).tzinfo is not None
    assert any(each.localName == "link" and each.getAttribute("rel") == "alternate" for each in parent.childNodes)
    return found


async def test_the_three_feeds_hold_the_public_programme_and_no_draft_and_no_private_session(
    open_house: House, eventually: Eventually
) -> None:
    await add_session(open_house, title="Ouverte à tous")
    await add_session(open_house, title="Pour un groupe", private=True)
    await add_session(open_house, title="Hier", periods=(at("2027-02-25", "09:00", "10:00"),))
    draft = DraftActivity(
        activity_id=uuid4(),
        activity_type=ActivityType.TRAINING,
        title="Brouillon",
        summary="",
        theme="x",
        delivery_mode=DeliveryMode.REMOTE,
    )
    await open_house.bus.ask(draft, OPERATOR)
    await add_session(open_house, title="Ouverte aussi")

    async def both() -> bool:
        return await titles(open_house) == {"Ouverte à tous", "Ouverte aussi"}

    await eventually(both)
    answer = (await read(open_house, "json")).json()
    jsonschema.Draft202012Validator(JSON_FEED, format_checker=jsonschema.FormatChecker()).validate(answer)
    kinds = [(await read(open_house, name)).headers["content-type"].partition(";")[0] for name in FEEDS]
    assert kinds == ["text/calendar", "application/atom+xml", "application/feed+json"]


async def test_feeds_take_the_choices_of_the_programme_page_and_the_page_leads_to_them(open_house: House, eventually: Eventually) -> None:
    await add_session(open_house, title="Visite du Gard", activity_type=ActivityType.LABTOUR, department="30", theme="Données & cartes")
    await add_session(open_house, title="Formation du Gard", department="30", theme="Oral")
    await add_session(open_house, title="Formation de Toulouse", theme="Données & cartes")
    both = {"Formation du Gard", "Visite du Gard"}

    async def heard() -> bool:
        return len(await titles(open_house)) == 3

    await eventually(heard)
    assert await titles(open_house, department="30") == both
    assert await titles(open_house, activity_type="labtour") == {"Visite du Gard"}
    assert await titles(open_house, theme="Données & cartes", activity_type="training") == {"Formation de Toulouse"}
    assert await titles(open_house, q="toulousain") == set()  # near is for people
    assert (await open_house.browser().get("/api/v1/programme.atom?department=ici")).status_code == 422

    page = (await open_house.browser().get("/?departement=30&theme=Donn%C3%A9es+%26+cartes&type=labtour&places=toutes")).text
    address = "/api/v1/programme.atom?activity_type=labtour&amp;department=30&amp;theme=Donn%C3%A9es+%26+cartes"
    assert f'<link rel="alternate" type="application/atom+xml" href="{address}"' in page
    assert page.count(address) == 2
    entry = entries((await open_house.browser().get(address.replace("&amp;", "&"))).content)
    assert [each["title"] for each in entry] == ["Visite du Gard"]


async def test_K1_a_session_that_moves_and_is_cancelled_keeps_its_uids_with_a_rising_sequence(
    open_house: House, eventually: Eventually
) -> None:
    session_id = await add_session(open_house, title="Deux rendez-vous", periods=SUNDAY_OF_SUMMER_TIME)
    uids: set[str] = set()
    events: list[Any] = []
    for sequence in range(3):

        async def shown(expected: int = sequence) -> list[Any] | None:
            events = await calendar(open_house)
            return events if [int(each.sequence.value) for each in events] == [expected] * 2 else None

        events = await eventually(shown)
        uids |= {each.uid.value for each in events}
        if sequence == 0:
            later = at("2027-03-27", "20:00", "21:00"), SUNDAY_OF_SUMMER_TIME[1]
            await open_house.bus.ask(RescheduleSession(session_id=session_id, periods=later), OPERATOR)
        if sequence == 1:
            assert [each.dtstart.value.astimezone(UTC).hour for each in events] == [19, 12]  # K3: an hour changed overnight
            await open_house.bus.ask(CancelSession(session_id=session_id, reason="grève"), OPERATOR)

    assert len(uids) == 2
    assert {each.status.value for each in events} == {"CANCELLED"}
    assert {each.summary.value for each in events} == {"Annulé : Deux rendez-vous"}
    assert await titles(open_house) == {"Annulé : Deux rendez-vous"}


async def settle(house: House, ago: timedelta) -> None:
    """As if what was heard had been so long ago."""
    async with house.database.begin() as tx:
        for table in ("programme_session", "programme_activity"):
            await tx.execute(text(f"update {table} set heard_at = clock_timestamp() - cast(:ago as interval)"), {"ago": ago})


@pytest.mark.parametrize("name", FEEDS)
async def test_what_has_not_changed_is_not_sent_again(open_house: House, eventually: Eventually, name: str) -> None:
    session_id = await add_session(open_house)
    await eventually(lambda: heard_of(open_house, session_id))
    await settle(open_house, timedelta(minutes=5))
    browser, path = open_house.browser(), f"/api/v1/programme.{name}"
    first = await browser.get(path)
    tag, date = first.headers["etag"], first.headers["last-modified"]

    async def asked(**headers: str) -> int:
        return (await browser.get(path, headers={each.replace("_", "-"): said for each, said in headers.items()})).status_code

    earlier = (datetime.strptime(date, HTTP_DATE).replace(tzinfo=UTC) - timedelta(seconds=1)).strftime(HTTP_DATE)
    assert [await asked(if_none_match=tag), await asked(if_none_match=f'"x", W/{tag}'), await asked(if_none_match="*")] == [304] * 3
    assert [await asked(if_modified_since=date), await asked(if_modified_since=earlier), await asked(if_modified_since="x")] == [
        304,
        200,
        200,
    ]
    assert await asked(if_none_match='"x"', if_modified_since=date) == 200  # the tag decides (RFC 9110, 13.1.3)
    await open_house.register(ALICE)
    assert (await (await open_house.script(ALICE)).get(path)).headers["etag"] == tag  # the same for everybody

    await open_house.bus.ask(RescheduleSession(session_id=session_id, periods=(at("2027-04-02", "09:00", "10:00"),)), OPERATOR)

    async def sent_again() -> httpx2.Response | None:
        answer = await browser.get(path, headers={"if-none-match": tag})
        return answer if answer.status_code == 200 else None

    changed = await eventually(sent_again)
    assert "last-modified" not in changed.headers  # within the minute its date says too little
    assert await asked(if_modified_since=date) == 200
    assert await asked(if_modified_since=datetime.now(UTC).strftime(HTTP_DATE)) == 200


async def heard_of(house: House, session_id: UUID) -> bool:
    return (await house.browser().get("/api/v1/sessions?limit=100")).text.find(str(session_id)) >= 0


def test_a_sign_that_xml_cannot_write_does_not_break_the_feed() -> None:
    odd: SessionState = a_session(title="Cloche \x07 & <balise> \ufffe", summary="]]> \x00 « fin »")
    listed = ListedSession(odd, heard_at=datetime(2026, 11, 23, tzinfo=UTC))
    feed = Feed("https://lab-o.exemple.invalid/x?a=1&b=2", "https://lab-o.exemple.invalid/", (listed,), datetime(2026, 11, 23, tzinfo=UTC))

    (entry,) = entries(atom(feed))

    assert entry["title"] == "Cloche  & <balise> "
    assert "]]&gt;" in atom(feed).decode()


def test_a_feed_of_nothing_is_still_a_feed() -> None:
    assert (
        entries(atom(Feed("https://lab-o.exemple.invalid/x", "https://lab-o.exemple.invalid/", (), datetime(2026, 11, 23, tzinfo=UTC))))
        == []
    )

"""The API as programs see it: reading the programme, booking, cancelling, and being told no."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest

from deploy.child import free_port
from services.gateway.web.application import build
from shared import clock
from shared.bus import Caller
from shared.contracts.catalog import ActivityType, CancelSession, RescheduleSession
from shared.contracts.projects import SubmitApplication
from shared.database import Database
from shared.service import Context
from tests.gateway.conftest import ALICE, BOB, OPERATOR, OTHERS, House, add_session
from tests.gateway.given import refusal

Eventually = Callable[..., Awaitable[Any]]


@pytest.fixture
async def open_house(house: House) -> House:
    """The gateway with its neighbours, and two agents."""
    await house.start("catalog", "booking", "projects")
    await house.register(ALICE, BOB)
    return house


async def bookable(house: House, eventually: Eventually, **changed: Any) -> UUID:
    """A session that booking and the programme have heard of."""
    session_id = await add_session(house, **changed)
    reader = house.browser()

    async def heard() -> bool:
        return any(each["session_id"] == str(session_id) for each in (await reader.get("/api/v1/sessions")).json()["sessions"])

    await eventually(heard)
    return session_id


async def book(script: httpx2.AsyncClient, session_id: UUID, **headers: str) -> httpx2.Response:
    """Booking, once its own copy of the session is there (E1: until then it says so)."""
    for _ in range(50):
        answer = await script.post(f"/api/v1/sessions/{session_id}/bookings", headers=headers)
        if answer.json().get("code") != "session_not_ready":
            return answer
        await asyncio.sleep(0.05)
    raise AssertionError("booking never heard of the session")


# --- the programme -----------------------------------------------------------------------------------------------------------------------


async def test_anybody_reads_the_programme(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually, title="Événement à Nîmes", city="Nîmes", department="30")

    reader = open_house.browser()
    found = (await reader.get("/api/v1/sessions", params={"q": "evenement nimes", "department": "30"})).json()["sessions"]
    one = (await reader.get(f"/api/v1/sessions/{session_id}")).json()

    assert [each["session_id"] for each in found] == [str(session_id)]
    assert one["availability"] == {"capacity": 12, "seats_left": 12, "waiting": 0, "words": "12 places restantes", "remote": None}
    assert one["venue"]["city"] == "Nîmes"
    assert one["description"] == "Exercices en petits groupes."


async def test_a_session_that_has_not_changed_is_not_sent_again(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    reader = open_house.browser()
    first = await reader.get(f"/api/v1/sessions/{session_id}")

    again = await reader.get(f"/api/v1/sessions/{session_id}", headers={"If-None-Match": f'"other", W/{first.headers["etag"]}'})
    await open_house.bus.ask(RescheduleSession(session_id=session_id, capacity=13), OPERATOR)

    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])

    async def changed() -> bool:
        return (await reader.get(f"/api/v1/sessions/{session_id}", headers={"If-None-Match": first.headers["etag"]})).status_code == 200

    await eventually(changed)


async def test_a_list_is_read_page_by_page_to_its_end(open_house: House, eventually: Eventually) -> None:
    wanted = {str(await bookable(open_house, eventually, days=10 + number)) for number in range(5)}
    reader = open_house.browser()
    seen: list[str] = []
    cursor: str | None = ""

    while cursor is not None:
        page = (await reader.get("/api/v1/sessions", params={"limit": "2"} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [each["session_id"] for each in page["sessions"]]
        cursor = page["next_cursor"]

    assert len(seen) == 5
    assert set(seen) == wanted


async def test_only_sessions_of_a_type_from_a_day_on_with_a_seat(open_house: House, eventually: Eventually) -> None:
    talk = await bookable(open_house, eventually, activity_type=ActivityType.INNOVATION_THURSDAY, days=20)
    await bookable(open_house, eventually, days=5)
    reader = open_house.browser()

    async def found(**asked: str) -> list[str]:
        return [each["session_id"] for each in (await reader.get("/api/v1/sessions", params=asked)).json()["sessions"]]

    tenth = (clock.now().astimezone(clock.PARIS) + timedelta(days=10)).date().isoformat()
    assert await found(activity_type="innovation_thursday") == [str(talk)]
    assert await found(**{"from": tenth}) == [str(talk)]
    assert len(await found(free="true")) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"activity_type": "party"},
        {"from": "yesterday"},
        {"from": "0001-01-01"},
        {"department": "'; --"},
        {"q": "a" * 201},
    ],
)
async def test_wrong_filters_are_named(house: House, wrong: dict[str, str]) -> None:
    answer = await house.browser().get("/api/v1/sessions", params=wrong)

    assert refusal(answer) == (422, "invalid_request")
    assert next(iter(wrong)) in answer.json()["errors"][0]["where"]
    assert next(iter(wrong.values())) not in answer.text or wrong == {"limit": "0"}


async def test_a_foreign_cursor_is_refused(house: House) -> None:
    assert refusal(await house.browser().get("/api/v1/sessions", params={"cursor": "xyz"})) == (400, "cursor_invalid")


async def test_words_that_no_database_can_hold_find_nothing(house: House) -> None:
    answer = await house.browser().get("/api/v1/sessions?q=%00%ff%ed%a0%80")

    assert answer.status_code == 200


async def test_E1_a_session_of_which_only_catalog_knows_is_found(open_house: House) -> None:
    session_id = await add_session(open_house)

    assert (await open_house.browser().get(f"/api/v1/sessions/{session_id}")).status_code == 200


async def test_a_session_that_does_not_exist_is_a_404_and_one_nobody_can_know_of_a_503(open_house: House) -> None:
    reader = open_house.browser()

    assert refusal(await reader.get(f"/api/v1/sessions/{uuid4()}")) == (404, "session_unknown")
    assert refusal(await reader.get("/api/v1/sessions/12")) == (422, "invalid_request")
    await open_house.stop("catalog")
    answer = await reader.get(f"/api/v1/sessions/{uuid4()}")
    assert refusal(answer) == (503, "unavailable")
    assert answer.headers["retry-after"] == str(answer.json()["retry_after"])


# --- booking -----------------------------------------------------------------------------------------------------------------------------


async def test_a_booking_is_created_and_can_be_read(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    alice = await open_house.script(ALICE)

    made = await book(alice, session_id)

    assert (made.status_code, made.json()["state"], made.json()["agent_id"]) == (201, "confirmed", str(ALICE.agent_id))
    read = await alice.get(made.headers["location"])
    assert read.json() == made.json()
    assert read.headers["etag"] == made.headers["etag"] == '"1"'
    assert [each["booking_id"] for each in (await alice.get("/api/v1/me/bookings")).json()["bookings"]] == [made.json()["booking_id"]]


async def test_W1_whoever_finds_no_seat_is_told_their_rank(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually, capacity=1)
    await book(await open_house.script(ALICE), session_id)

    second = await book(await open_house.script(BOB), session_id)

    assert (second.status_code, second.json()["state"], second.json()["rank"]) == (201, "waiting", 1)


async def test_B3_the_same_key_has_the_same_answer_and_another_is_refused_with_the_link(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    alice = await open_house.script(ALICE)
    first = await book(alice, session_id, **{"Idempotency-Key": "one"})

    again = await book(alice, session_id, **{"Idempotency-Key": "one"})
    other = await book(alice, session_id, **{"Idempotency-Key": "two"})

    assert (again.status_code, again.json()) == (201, first.json())
    assert refusal(other) == (409, "already_booked")
    assert other.json()["booking_id"] == first.json()["booking_id"]
    assert (await alice.get(other.json()["location"])).json() == first.json()


async def test_the_same_key_for_another_session_is_refused(open_house: House, eventually: Eventually) -> None:
    one, two = await bookable(open_house, eventually), await bookable(open_house, eventually, days=30)
    alice = await open_house.script(ALICE)
    await book(alice, one, **{"Idempotency-Key": "one"})

    assert refusal(await book(alice, two, **{"Idempotency-Key": "one"})) == (422, "idempotency_key_reused")


async def test_the_same_key_five_times_at_once_books_once(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    alice = await open_house.script(ALICE)
    await book(await open_house.script(BOB), session_id)

    answers = await asyncio.gather(
        *(alice.post(f"/api/v1/sessions/{session_id}/bookings", headers={"Idempotency-Key": "one"}) for _ in range(5))
    )

    made = {answer.json()["booking_id"] for answer in answers if answer.status_code == 201}
    others = {refusal(answer) for answer in answers if answer.status_code != 201}
    assert len(made) == 1
    assert others <= {(409, "idempotency_key_in_use")}


@pytest.mark.parametrize("key", ["", "a" * 201, "é"])
async def test_a_key_that_is_none_is_refused(house: House, key: str) -> None:
    await house.register(ALICE)
    script = await house.script(ALICE)

    answer = await script.post(f"/api/v1/sessions/{uuid4()}/bookings", headers={b"Idempotency-Key": key.encode("latin-1")})

    assert refusal(answer) == (422, "invalid_request")


@pytest.mark.parametrize("body", [b'{"agent_id": "x"}', b"[]", b"{", b"1", b'"x"'])
async def test_a_booking_takes_no_members(house: House, body: bytes) -> None:
    await house.register(ALICE)
    script = await house.script(ALICE)

    assert refusal(await script.post(f"/api/v1/sessions/{uuid4()}/bookings", content=body)) == (422, "invalid_request")
    cancelled = await script.post(f"/api/v1/bookings/{uuid4()}/cancel", content=body, headers={"Content-Type": "application/json"})
    assert refusal(cancelled) == (422, "invalid_request")


async def test_an_empty_object_is_a_body_too(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    alice = await open_house.script(ALICE)
    booked = await book(alice, session_id)

    assert (await alice.post(f"/api/v1/bookings/{booked.json()['booking_id']}/cancel", json={})).status_code == 200


async def test_E1_not_ready_is_said_until_catalog_says_that_there_is_no_such_session(open_house: House) -> None:
    alice = await open_house.script(ALICE)

    unknown = await alice.post(f"/api/v1/sessions/{uuid4()}/bookings")
    await open_house.stop("catalog")
    perhaps = await alice.post(f"/api/v1/sessions/{uuid4()}/bookings")

    assert refusal(unknown) == (404, "session_unknown")
    assert refusal(perhaps) == (409, "session_not_ready")
    assert perhaps.json()["retryable"] is True
    assert perhaps.headers["retry-after"]


async def test_B1_150_agents_at_once_on_10_seats(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually, capacity=10)
    await book(await open_house.script(BOB), session_id)
    await open_house.register(*OTHERS[:150])
    tokens = await asyncio.gather(*(open_house.token(agent) for agent in OTHERS[:150]))
    crowd = open_house.browser(limits=httpx2.Limits(max_connections=150))

    answers = await asyncio.gather(
        *(crowd.post(f"/api/v1/sessions/{session_id}/bookings", headers={"Authorization": f"Bearer {token}"}) for token in tokens)
    )

    states = [answer.json()["state"] for answer in answers]
    assert {answer.status_code for answer in answers} == {201}
    assert (states.count("confirmed"), states.count("waiting")) == (9, 141)
    assert sorted(answer.json()["rank"] for answer in answers if answer.json()["state"] == "waiting") == list(range(1, 142))


# --- cancelling --------------------------------------------------------------------------------------------------------------------------


async def test_a_cancellation_serves_the_next_and_a_stale_one_is_refused(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually, capacity=1, activity_type=ActivityType.INNOVATION_THURSDAY)
    alice, bob = await open_house.script(ALICE), await open_house.script(BOB)
    seat, rank = await book(alice, session_id), await book(bob, session_id)
    waiting = await bob.get(rank.headers["location"])

    given_back = await alice.post(f"{seat.headers['location']}/cancel", headers={"If-Match": seat.headers["etag"]})
    promoted = await bob.get(rank.headers["location"])
    stale = await bob.post(f"{rank.headers['location']}/cancel", headers={"If-Match": waiting.headers["etag"]})

    assert (given_back.status_code, given_back.json()["state"]) == (200, "cancelled_by_agent")
    assert (promoted.json()["state"], promoted.json()["reason"] is not None) == ("confirmed", True)
    assert promoted.headers["etag"] != waiting.headers["etag"]
    assert refusal(stale) == (412, "version_conflict")
    assert (await bob.post(f"{rank.headers['location']}/cancel", headers={"If-Match": promoted.headers["etag"]})).status_code == 200


async def test_what_is_not_mine_or_over_cannot_be_cancelled(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    alice, bob = await open_house.script(ALICE), await open_house.script(BOB)
    seat = await book(alice, session_id)
    cancel = f"{seat.headers['location']}/cancel"

    assert refusal(await bob.post(cancel)) == (404, "booking_unknown")
    assert refusal(await bob.get(seat.headers["location"])) == (404, "booking_unknown")
    assert refusal(await alice.post(cancel, headers={"If-Match": '"nonsense"'})) == (412, "version_conflict")
    assert (await alice.post(cancel)).status_code == 200
    assert refusal(await alice.post(cancel)) == (409, "booking_not_active")


async def test_E2_a_cancelled_session_takes_no_booking(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    await open_house.bus.ask(CancelSession(session_id=session_id, reason="Grève des transports"), OPERATOR)
    reader, alice = open_house.browser(), await open_house.script(ALICE)

    async def seen() -> bool:
        return (await reader.get(f"/api/v1/sessions/{session_id}")).json()["availability"]["words"] == "séance annulée"

    await eventually(seen)

    async def refused() -> bool:
        return refusal(await book(alice, session_id)) == (409, "session_is_cancelled")

    await eventually(refused)


async def test_my_list_that_has_not_changed_is_not_sent_again(open_house: House, eventually: Eventually) -> None:
    session_id = await bookable(open_house, eventually)
    alice = await open_house.script(ALICE)
    empty = await alice.get("/api/v1/me/bookings")

    assert (await alice.get("/api/v1/me/bookings", headers={"If-None-Match": empty.headers["etag"]})).status_code == 304
    await book(alice, session_id)
    assert (await alice.get("/api/v1/me/bookings", headers={"If-None-Match": empty.headers["etag"]})).status_code == 200


async def test_my_projects_are_mine(open_house: House) -> None:
    order = SubmitApplication(
        application_id=uuid4(), project_lead_id=ALICE.agent_id, title="Cartes des friches", problem="Personne ne sait où."
    )
    await open_house.bus.ask(order, Caller(str(ALICE.agent_id), frozenset({"agent"})))

    mine = (await (await open_house.script(ALICE)).get("/api/v1/me/projects")).json()
    theirs = (await (await open_house.script(BOB)).get("/api/v1/me/projects")).json()

    assert [each["title"] for each in mine["applications"]] == ["Cartes des friches"]
    assert theirs["applications"] == []


# --- everything else ---------------------------------------------------------------------------------------------------------------------


async def test_an_unknown_address_or_method_is_a_problem_too(house: House) -> None:
    reader = house.browser()

    assert refusal(await reader.get("/api/v1/nothing")) == (404, "not_found")
    assert refusal(await reader.get("/api/v2/sessions")) == (404, "not_found")
    wrong = await reader.delete("/api/v1/sessions")
    assert refusal(wrong) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "GET"
    assert (await reader.post("/api/v1/me/preferences")).headers["allow"] == "GET, PUT"  # of two routes
    assert refusal(await reader.put(f"/api/v1/sessions/{uuid4()}/bookings")) == (405, "method_not_allowed")


async def test_a_bug_is_a_500_without_its_text(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret of the machine")

    monkeypatch.setattr("services.gateway.programme.queries.list_sessions", broken)
    reader = house.browser()

    answer, page = await reader.get("/api/v1/sessions"), await reader.get("/")

    assert refusal(answer) == (500, "internal_error")
    assert page.status_code == 500
    assert "Une erreur s’est produite" in page.text
    assert "secret of the machine" not in answer.text + page.text


async def test_with_the_database_away_everybody_is_told_to_come_back(house: House) -> None:
    settings = house.settings.model_copy(update={"postgres_port": free_port()})
    database = Database.of(settings)
    transport = httpx2.ASGITransport(app=build(Context(settings, database, house.bus)))

    async with httpx2.AsyncClient(transport=transport, base_url=house.url) as reader:
        answer, page = await reader.get("/api/v1/sessions"), await reader.get("/")
    await database.dispose()

    assert refusal(answer) == (503, "unavailable")
    assert page.status_code == 503
    assert page.headers["retry-after"]
    assert "momentanément" in page.text

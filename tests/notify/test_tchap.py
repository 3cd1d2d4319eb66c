"""The bot that tells a room of the public programme, against a server at the edge that answers as Matrix does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.notify.settings import NotifySettings
from services.notify.tchap import handlers, store
from services.notify.tchap.sender import Bot, tell_the_room
from shared.contracts.messages import Event
from shared.service import Context
from tests.conftest import eventually
from tests.notify.conftest import Office, cancelled
from tests.notify.given import FRIDAY, IN_APRIL, LIBRARY, a_session, changed, rescheduled, scheduled, session_cancelled
from tests.notify.receiver import Receiver, answer

ROOM = "!abc:exemple.invalid"
OK = answer(200, '{"event_id": "$1"}')


@dataclass
class Room:
    """What the people in it read, and who speaks to it."""

    office: Office
    server: Receiver

    def speak(self, **settings: Any) -> asyncio.Task[None]:
        told = self.office.settings.model_copy(update=settings)
        assert told.tchap is not None
        task = asyncio.create_task(Bot(told, told.tchap, self.office.database).run())
        self.office.stack.push_async_callback(cancelled, task)
        return task

    async def hear(self, *events: Event) -> None:
        if self.office.heard is not handlers.events.all:
            self.office.listen(handlers.events.all)
        await self.office.publish(*events)
        await self.office.consumed()

    async def sql(self, statement: str) -> None:
        async with self.office.database.engine.begin() as tx:
            await tx.exec_driver_sql(statement)

    async def state_is(self, *states: str) -> None:
        async def check() -> bool:
            return [row.state for row in await self.office.rows("select state from tchap_post order by post_id")] == list(states)

        await eventually(check)

    @property
    def messages(self) -> list[dict[str, str]]:
        """A transaction id that comes again is the message that is there already."""
        return list({post.asked: json.loads(post.body) for post in self.server.posts}.values())


@pytest.fixture
async def room(office: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Room]:
    async with Receiver().listening() as server:
        server.answers += [OK] * 3
        told = {"tchap_homeserver": f"http://127.0.0.1:{server.port}", "tchap_token": "very secret", "tchap_room": ROOM}
        for name, value in told.items():
            monkeypatch.setenv(f"LABO_{name.upper()}", value)
        office.settings = office.settings.model_copy(update=told | {"tchap_token": SecretStr("very secret"), "tchap_gather": 0})
        yield Room(office, server)


async def test_a_series_of_twelve_is_one_message_with_a_link_to_each(room: Room) -> None:
    sessions = [a_session() for _ in range(12)]
    await room.hear(*map(scheduled, sessions))
    async with room.office.database.engine.begin() as tx:
        assert await store.gather(tx, timedelta(minutes=5)) == []
    room.speak(tchap_gather=300)
    await room.sql("update tchap_news set heard_at = heard_at - interval '5 minutes'")

    await room.state_is("sent")
    (post,) = room.server.posts
    (row,) = await room.office.rows("select post_id from tchap_post")
    path = f"/_matrix/client/v3/rooms/%21abc%3Aexemple.invalid/send/m.room.message/{row.post_id}"
    assert (post.asked, post.headers["authorization"]) == (f"PUT {path}", "Bearer very secret")
    (message,) = room.messages
    assert (message["msgtype"], message["format"]) == ("m.notice", "org.matrix.custom.html")
    assert message["body"].startswith("Nouvelles séances au Lab-O :\n- Pitcher en 5 minutes, jeudi 18 mars 2027 de 14 h à 17 h 30, ")
    for session in sessions:
        link = f"https://lab-o.exemple.invalid/seances/{session.session_id}"
        assert link in message["body"]
        assert f'<a href="{link}">Pitcher en 5 minutes</a>' in message["formatted_body"]


async def test_moves_and_cancellations_are_told_private_sessions_and_seats_are_not(room: Room) -> None:
    moving, off, more_seats, in_one_go = a_session(title="<b>Pitcher</b> & dire"), a_session(), a_session(), a_session()
    private = a_session(private=True)
    await room.hear(
        rescheduled(moving, changed(moving, periods=(FRIDAY, IN_APRIL), venue=LIBRARY), reason="Madame X est souffrante"),
        session_cancelled(off, reason="Madame X est souffrante"),
        rescheduled(more_seats, changed(more_seats, capacity=40)),
        *(scheduled(in_one_go), session_cancelled(in_one_go)),
        *(scheduled(private), rescheduled(private, changed(private, venue=LIBRARY)), session_cancelled(private)),
    )
    room.speak()

    await room.state_is("sent")
    (message,) = room.messages
    home = "https://lab-o.exemple.invalid/seances"
    assert message["body"] == (
        "Séance déplacée :\n"
        "- <b>Pitcher</b> & dire, vendredi 19 mars 2027 de 9 h à 12 h 30 (et une autre date), Médiathèque, Rodez"
        f" : {home}/{moving.session_id}\n"
        "Séance annulée :\n"
        f"- Pitcher en 5 minutes, jeudi 18 mars 2027 de 14 h à 17 h 30, Fablab de la Halle, Toulouse : {home}/{off.session_id}"
    )
    assert "&lt;b&gt;Pitcher&lt;/b&gt; &amp; dire</a>" in message["formatted_body"]


async def test_stopped_between_sending_and_noting_it_is_sent_again_under_the_same_transaction_id(room: Room) -> None:
    room.server.answering.clear()
    await room.hear(scheduled(a_session()))
    first = room.speak()
    await eventually(lambda: room.server.posts)
    await cancelled(first)
    room.server.answering.set()
    await room.sql("update tchap_post set leased_until = clock_timestamp() - interval '1 second'")
    room.speak()

    await room.state_is("sent")
    assert len(room.server.posts) == 2
    assert len(room.messages) == 1


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        pytest.param(answer(429, '{"errcode": "M_LIMIT_EXCEEDED", "retry_after_ms": 1200000}'), 1200, 3000, id="as the server says"),
        pytest.param(answer(403, '{"errcode": "M_FORBIDDEN"}'), 3600, 7200, id="seldom, when a person has to help"),
        pytest.param(answer(502, "<html>"), 10, 1000, id="soon, when the network is in the way"),
    ],
)
async def test_what_was_not_taken_is_tried_again_later_and_holds_back_what_follows(room: Room, said: bytes, least: int, most: int) -> None:
    room.server.answers.insert(0, said)
    await room.hear(scheduled(a_session()))
    task = room.speak()

    async def waits() -> bool:
        due = "next_attempt_at - created_at between interval '1 second' * :least and interval '1 second' * :most"
        return bool(await room.office.rows(f"select 1 from tchap_post where attempts = 1 and {due}", least=least, most=most))

    await eventually(waits)
    await cancelled(task)
    await room.sql("update tchap_post set next_attempt_at = clock_timestamp() + interval '1 hour'")
    await room.hear(scheduled(a_session()))
    room.speak()
    await room.state_is("waiting", "waiting")
    assert len(room.server.posts) == 1

    await room.sql("update tchap_post set next_attempt_at = clock_timestamp()")
    await room.state_is("sent", "sent")
    assert (len(room.server.posts), len(room.messages)) == (3, 2)


async def test_a_message_that_the_server_refuses_or_that_is_three_days_old_is_given_up(room: Room) -> None:
    room.server.answers.insert(0, answer(413, '{"errcode": "M_TOO_LARGE"}'))
    await room.hear(scheduled(a_session()))
    task = room.speak()
    await room.state_is("failed")
    await cancelled(task)
    await room.sql(
        "insert into tchap_post (body, formatted_body, created_at) values ('old', 'old', clock_timestamp() - interval '73 hours')"
    )
    room.speak()
    await room.state_is("failed", "failed")
    assert len(room.server.posts) == 1


async def test_without_a_bot_nothing_is_kept_and_the_durable_drains(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOMESERVER", "TOKEN", "ROOM"):
        monkeypatch.delenv(f"LABO_TCHAP_{name}")
    office = room.office
    off = office.settings.model_copy(update={"tchap_homeserver": ""})
    office.stack.push_async_callback(cancelled, asyncio.create_task(tell_the_room(Context(off, office.database, office.bus))))
    await room.hear(scheduled(a_session()))

    assert await office.rows("select 1 from tchap_news") == []
    assert room.server.posts == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"tchap_token": ""},
        {"tchap_homeserver": ""},
        {"tchap_room": ""},
        {"tchap_room": "#alias:exemple.invalid"},
        {"tchap_homeserver": "http://exemple.invalid"},
        {"tchap_homeserver": "http://localhost.exemple.invalid"},
        {"tchap_homeserver": "https://user:word@exemple.invalid"},
    ],
)
def test_its_settings_are_all_three_or_none_and_only_https(wrong: dict[str, Any]) -> None:
    told: dict[str, Any] = {"tchap_homeserver": "https://exemple.invalid", "tchap_token": "very secret", "tchap_room": ROOM}
    assert NotifySettings(**told).tchap is not None
    with pytest.raises(ValidationError, match="LABO_TCHAP"):
        NotifySettings(**{**told, **wrong})

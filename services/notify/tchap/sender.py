"""The loop that gathers the news and tells the room, through the Client-Server API of Matrix. One message at a time, in order."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any, cast
from urllib.parse import quote

import httpx2
from prometheus_client import Counter

from services.notify import rounds
from services.notify.mail.letters import Links
from services.notify.mail.patience import pause_before_retry
from services.notify.settings import NotifySettings, TchapRoom
from services.notify.tchap import store
from services.notify.tchap.domain import LONGEST_PAUSE, SELDOM, Answer, Verdict, gathered
from services.notify.tchap.store import Post
from services.notify.tchap.words import message
from shared import clock, telemetry
from shared.database import Database
from shared.service import Context

log = telemetry.log

ATTEMPT_SECONDS = 10.0
RETRY_BASE = timedelta(seconds=10)

ATTEMPTS = Counter(
    "labo_tchap_attempts", "Attempts to tell the room, by what came of them: sent, again, limited, not_allowed, failed", ["outcome"]
)


async def tell_the_room(context: Context) -> None:
    if not isinstance(context.settings, NotifySettings):
        raise TypeError("notify runs with NotifySettings")
    if (room := context.settings.tchap) is None:
        await asyncio.Event().wait()  # no bot
    else:
        await Bot(context.settings, room, context.database).run()


class Bot:
    """One per process; of several, one has the message that is under way."""

    def __init__(self, settings: NotifySettings, room: TchapRoom, database: Database) -> None:
        self._room, self._database = room, database
        self._wait = timedelta(seconds=settings.tchap_gather)
        self._links = Links.of(settings.portal_url, settings.link_secret)
        self._client = httpx2.AsyncClient(trust_env=False, follow_redirects=False, timeout=ATTEMPT_SECONDS)

    async def run(self) -> None:
        async with self._client:
            await rounds.keep_looking(self._database, self._round, asyncio.Event(), "tchap")

    async def _round(self) -> None:
        async with self._database.engine.begin() as tx:
            if told := gathered(await store.gather(tx, self._wait), clock.now()):
                words = message(told, self._links)
                await store.write(tx, words.body, words.formatted_body)
            if lost := await store.give_up(tx):
                ATTEMPTS.labels(Verdict.FAILED).inc(lost)
                log.error("tchap_given_up", posts=lost)
        async with self._database.engine.begin() as tx:
            post = await store.claim(tx)
        if post is not None:
            await self._tell(post)

    async def _tell(self, post: Post) -> None:
        answer = await self._put(post)
        pause = _pause(answer, post.attempts + 1)
        await rounds.commit(self._database.engine.begin, lambda tx: store.settle(tx, post, answer, pause))
        ATTEMPTS.labels(answer.verdict).inc()
        if answer.verdict is not Verdict.SENT:
            say = log.error if answer.verdict in {Verdict.NOT_ALLOWED, Verdict.FAILED} else log.info
            say("tchap_not_told", post_id=str(post.post_id), status=answer.status, code=answer.code, outcome=answer.verdict.value)

    async def _put(self, post: Post) -> Answer:
        """Under the same transaction id each time: the server takes a repeat for the first one."""
        url = f"{self._room.homeserver}/_matrix/client/v3/rooms/{quote(self._room.room, safe='')}/send/m.room.message/{post.post_id}"
        content = {
            "msgtype": "m.notice",  # what programs say, and no other program answers
            "body": post.body,
            "format": "org.matrix.custom.html",
            "formatted_body": post.formatted_body,
        }
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                response = await self._client.put(
                    url, json=content, headers={"Authorization": f"Bearer {self._room.token.get_secret_value()}"}
                )
        except (httpx2.HTTPError, OSError):  # a time-out is an OSError
            return Answer(None)
        return _read(response)


def _read(response: httpx2.Response) -> Answer:
    try:
        found: Any = response.json()
    except ValueError:
        found = None
    said = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    code, wait = said.get("errcode"), said.get("retry_after_ms")
    known = code[:50] if isinstance(code, str) and code.startswith("M_") else ""
    seconds = response.headers.get("retry-after", "")  # newer than the member, and before it
    milliseconds = int(seconds) * 1000 if seconds.isdecimal() else wait if isinstance(wait, int) else None
    pause = None if milliseconds is None else timedelta(milliseconds=max(1000, min(milliseconds, 86_400_000)))
    return Answer(response.status_code, known, pause)


def _pause(answer: Answer, attempts: int) -> timedelta:
    if answer.verdict is Verdict.NOT_ALLOWED:
        return SELDOM
    if answer.verdict is Verdict.LIMITED and answer.retry_after is not None:
        return answer.retry_after
    return pause_before_retry(attempts, RETRY_BASE, LONGEST_PAUSE)

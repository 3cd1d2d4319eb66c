"""People and programs in front of the whole system: a browser without JavaScript, an API client with a token, a reader of mails."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx2
import nats
from nats.aio.client import Client
from sqlalchemy import text

from deploy.accounts import TOPOLOGY
from deploy.agents import read_agents
from deploy.stack import Stack
from shared.bus import Bus, Caller, connection_options
from shared.contracts.catalog import (
    ActivityType,
    DeliveryMode,
    DraftActivity,
    LocalPeriod,
    PublishActivity,
    ScheduleSession,
)
from shared.contracts.gateway import IssueDemoToken, RegisterAgent

OPERATOR = Caller("operator", frozenset({"operator"}))
PARIS = ZoneInfo("Europe/Paris")
BEGINS = datetime(2027, 6, 3, 14)  # noqa: DTZ001 - wall-clock time in Paris
OPEN_SINCE = datetime(2026, 1, 1, tzinfo=PARIS)
FIELD = re.compile(r'name="cle" value="([^"]+)"')


async def a_session(bus: Bus, *, capacity: int, title: str = "Une séance pour essayer") -> UUID:
    """A talk at a distance, with this many seats, on Thursday 3 June 2027."""
    activity_id, session_id = uuid4(), uuid4()
    await bus.ask(
        DraftActivity(
            activity_id=activity_id, activity_type=ActivityType.INNOVATION_THURSDAY, title=title,
            summary="Tout le monde la veut.", theme="Essais", delivery_mode=DeliveryMode.REMOTE,
        ),
        OPERATOR,
    )  # fmt: skip
    await bus.ask(PublishActivity(activity_id=activity_id), OPERATOR)
    period = LocalPeriod(local_start=BEGINS, local_end=BEGINS + timedelta(hours=1))
    order = ScheduleSession(session_id=session_id, activity_id=activity_id, periods=(period,), capacity=capacity, opens_at=OPEN_SINCE)
    await bus.ask(order, OPERATOR)
    return session_id


async def tokens(bus: Bus, subs: Sequence[str]) -> list[str]:
    few = asyncio.Semaphore(8)  # it is not the tokens that these tests are about

    async def issue(sub: str) -> str:
        async with few:
            return (await bus.ask(IssueDemoToken(sub=sub), OPERATOR, timeout=30)).token

    return await asyncio.gather(*map(issue, subs))


@dataclass
class Api:
    """The JSON API with one agent's token. A retryable answer is asked again with the same key, as the documentation tells clients to."""

    http: httpx2.AsyncClient
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def book(self, session_id: UUID, key: str | None = None) -> httpx2.Response:
        headers = self.headers | {"Idempotency-Key": key or str(uuid4())}
        return await self.http.post(f"/api/v1/sessions/{session_id}/bookings", headers=headers)

    async def book_patiently(self, session_id: UUID, key: str) -> httpx2.Response:
        while True:
            try:
                answer = await self.book(session_id, key)
            except httpx2.TransportError:
                await asyncio.sleep(0.2)
                continue
            if answer.status_code < 400 or not answer.json().get("retryable"):
                return answer
            await asyncio.sleep(0.2)

    async def cancel(self, booking_id: str) -> httpx2.Response:
        return await self.http.post(f"/api/v1/bookings/{booking_id}/cancel", headers=self.headers | {"Idempotency-Key": str(uuid4())})

    async def bookings(self) -> list[dict[str, Any]]:
        return (await self.http.get("/api/v1/me/bookings", headers=self.headers)).json()["bookings"]


@asynccontextmanager
async def browser(stack: Stack, sub: str) -> AsyncGenerator[httpx2.AsyncClient]:
    """Signed in through the identity provider, as a person would be: code flow with PKCE, then a session cookie."""
    async with httpx2.AsyncClient(base_url=stack.portal_url, timeout=20, headers={"Sec-Fetch-Site": "same-origin"}) as client:
        leave = await client.get("/connexion", params={"suite": "/mes-inscriptions"})
        choose = await client.post(leave.headers["location"], data={"sub": sub})
        back = await client.get(choose.headers["location"])
        assert back.headers["location"] == "/mes-inscriptions"
        yield client


async def mails_to(stack: Stack, address: str, subject: str = "") -> list[dict[str, Any]]:
    """Newest first, whole."""
    async with httpx2.AsyncClient(base_url=stack.mail_url, timeout=20) as client:
        found = (await client.get("/api/messages", params={"to": address, "subject": subject})).json()
        return [(await client.get(f"/api/messages/{each['id']}")).json() for each in found]


def address_of(sub: str) -> str:
    return next(agent.email for agent in read_agents() if agent.sub == sub)


async def register_visitors(bus: Bus, subs: Sequence[str]) -> None:
    """More people than the demonstration has."""
    for sub in subs:
        person = RegisterAgent(
            agent_id=uuid4(), sub=sub, given_name="Visite", usual_name=sub, email=f"{sub}@exemple.invalid", org_unit="sgar"
        )  # fmt: skip
        await bus.ask(person, OPERATOR)


async def topology_client(stack: Stack) -> Client:
    """The hand that deletes a stream."""
    return await nats.connect(**connection_options(stack.installation.settings(TOPOLOGY, stack.ports), TOPOLOGY))


async def is_open(stack: Stack, session_id: UUID) -> bool:
    return await one(stack, "select count(*) from booking.session where session_id = :session_id", session_id=session_id) == 1


async def all_quiet(stack: Stack) -> bool:
    """Nothing is left to publish or to send."""
    unpublished = await one(stack, "select count(*) from booking.outbox where published_at is null")
    unsent = await one(stack, "select count(*) from notify.mail where state in ('new', 'sending', 'deferred')")
    return not unpublished and not unsent


async def rows(stack: Stack, query: str, **values: Any) -> list[Any]:
    """What the database says, to its owner."""
    engine = stack.admin_engine()
    try:
        async with engine.connect() as connection:
            return list((await connection.execute(text(query), values)).all())
    finally:
        await engine.dispose()


async def one(stack: Stack, query: str, **values: Any) -> Any:
    return (await rows(stack, query, **values))[0][0]

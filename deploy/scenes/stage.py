"""What the scenes of `labo demo show` stand on: the public doors of a running demonstration, people of their own, and its clock."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

import httpx2

from deploy import kept
from deploy.asking import OPERATOR
from deploy.installation import mail_url
from deploy.mailbox import in_french
from deploy.target import Target
from deploy.unprivileged import SetupError
from shared.bus import Bus
from shared.clock import PARIS
from shared.contracts.availability import GetAvailability
from shared.contracts.catalog import (
    ActivityType,
    DeliveryMode,
    DraftActivity,
    LocalPeriod,
    PublishActivity,
    ScheduleSession,
)
from shared.contracts.gateway import IssueDemoToken, RegisterAgent

T = TypeVar("T")
AT_ONCE = 16  # registrations in flight; it is not they that are shown
PATIENCE = 40.0  # seconds; a process that did not hear of a shifted clock reads it within 30


class SceneFailed(Exception):
    """One French sentence for whoever watches."""


def expect(holds: object, otherwise: str) -> None:
    """What was just said must be so."""
    if not holds:
        raise SceneFailed(otherwise)


def say(words: str = "") -> None:
    print(words, flush=True)


@dataclass(frozen=True, slots=True)
class Person:
    """An invented agent of one showing, with a token for the API."""

    agent_id: UUID
    email: str
    token: str


@dataclass(frozen=True, slots=True)
class Stage:
    target: Target
    bus: Bus
    portal: httpx2.AsyncClient
    mails: httpx2.AsyncClient
    showing: str
    """Tells the people and the titles of this showing from those of any other."""

    # --- time ------------------------------------------------------------------------------------------------------------------------

    async def it_is(self, moment: datetime) -> None:
        """Make it this moment of Paris for the whole stack; it runs on from there."""
        await kept.set_clock(self.target, kept.offset_for(moment.isoformat()))
        say(f"  L'horloge de la démonstration est mise au {in_french(moment)}.")

    async def until(self, look: Callable[[], Awaitable[T | None]], otherwise: str) -> T:
        """What `look` finds as soon as it finds something."""
        deadline = time.monotonic() + PATIENCE
        while not (found := await look()):
            expect(time.monotonic() < deadline, otherwise)
            await asyncio.sleep(0.2)
        return found

    # --- people ----------------------------------------------------------------------------------------------------------------------

    async def people(self, number: int) -> list[Person]:
        """People whom nobody has met yet: no booking, no absence, no mail."""
        few = asyncio.Semaphore(AT_ONCE)

        async def arrive() -> Person:
            async with few:
                agent_id = uuid4()
                sub = f"scene-{agent_id}"
                email = f"{sub}@exemple.invalid"
                person = RegisterAgent(agent_id=agent_id, sub=sub, given_name="Figurant", usual_name=sub[:14], email=email, org_unit="sgar")
                await self.bus.ask(person, OPERATOR, timeout=30)
                token = (await self.bus.ask(IssueDemoToken(sub=sub), OPERATOR, timeout=30)).token
                return Person(agent_id, email, token)

        return await asyncio.gather(*(arrive() for _ in range(number)))

    # --- the programme -----------------------------------------------------------------------------------------------------------------

    async def activity(self, kind: ActivityType, title: str) -> UUID:
        """A published activity at a distance, so that it takes nobody's room and clashes with nothing."""
        activity_id = uuid4()
        draft = DraftActivity(
            activity_id=activity_id, activity_type=kind, title=f"{title} ({self.showing})", theme="Démonstration",
            summary="Une séance de la démonstration commentée.", delivery_mode=DeliveryMode.REMOTE,
        )  # fmt: skip
        await self.bus.ask(draft, OPERATOR)
        await self.bus.ask(PublishActivity(activity_id=activity_id), OPERATOR)
        return activity_id

    async def session(self, kind: ActivityType, title: str, start: datetime, capacity: int, *, private: bool = False) -> UUID:
        """A session that agents can book now."""
        order = ScheduleSession(
            session_id=uuid4(), activity_id=await self.activity(kind, title), periods=(period(start),), capacity=capacity, private=private
        )  # fmt: skip
        await self.bus.ask(order, OPERATOR)

        async def is_open() -> bool:
            return bool((await self.bus.ask(GetAvailability(session_ids=(order.session_id,)), OPERATOR)).sessions)

        await self.until(is_open, "La séance créée dans le programme n'est pas arrivée jusqu'aux inscriptions.")
        return order.session_id

    def page(self, session_id: UUID) -> str:
        return f"{self.portal.base_url}/seances/{session_id}"

    # --- what a person does and reads --------------------------------------------------------------------------------------------------

    async def post(self, person: Person, path: str, body: dict[str, Any] | None = None) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {person.token}", "Idempotency-Key": str(uuid4())}
        return await self.portal.post(f"/api/v1{path}", headers=headers, json=body)

    async def done(self, person: Person, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """The API's answer to what nothing should refuse."""
        answer = await self.post(person, path, body)
        told = answer.json()
        expect(answer.status_code < 400, f"L'API a refusé {path} : {told.get('title')} ({told.get('code')}).")
        return told

    async def book(self, person: Person, session_id: UUID) -> dict[str, Any]:
        return await self.done(person, f"/sessions/{session_id}/bookings")

    async def read(self, person: Person, path: str) -> dict[str, Any]:
        answer = await self.portal.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {person.token}"})
        expect(answer.status_code == 200, f"L'API n'a pas répondu à {path} (statut {answer.status_code}).")
        return answer.json()

    async def mail(self, person: Person, subject: str) -> dict[str, Any]:
        """The newest mail whose subject has these words, once it is there."""

        async def arrived() -> dict[str, Any] | None:
            found = (await self.mails.get("/api/messages", params={"to": person.email, "subject": subject})).json()
            return (await self.mails.get(f"/api/messages/{found[0]['id']}")).json() if found else None

        return await self.until(arrived, f"Le courriel « {subject} » n'est pas arrivé.")

    def shown(self, mail: dict[str, Any]) -> str:
        return f"Courriel « {mail['subject']} » : {self.mails.base_url}/message/{mail['id']}"


@asynccontextmanager
async def stage(target: Target) -> AsyncGenerator[Stage]:
    """The stage on a running demonstration, whose clock is afterwards what it was, whatever happened."""
    if not (target.embedded and target.running):
        raise SetupError("the scenes are played on the embedded stack only: start it with `make run`")
    limits = httpx2.Limits(max_connections=250, max_keepalive_connections=250)
    portal = httpx2.AsyncClient(base_url=target.running.portal_url, timeout=60, limits=limits)
    mails = httpx2.AsyncClient(base_url=mail_url(target.running.ports), timeout=30)
    async with target.database() as engine:
        before = await kept.domain_offset(engine)
    async with target.bus() as bus, portal, mails:
        try:
            yield Stage(target, bus, portal, mails, uuid4().hex[:6])
        finally:
            await kept.set_clock(target, before)
            say("L'horloge de la démonstration est remise comme elle était.")


def paris(day: int, month: int, hour: int, minute: int = 0) -> datetime:
    """A moment of 2027, the year of the demonstration."""
    return datetime(2027, month, day, hour, minute, tzinfo=PARIS)


def period(start: datetime) -> LocalPeriod:
    """An hour and a half on the wall clock."""
    begins = start.replace(tzinfo=None)
    return LocalPeriod(local_start=begins, local_end=begins + timedelta(minutes=90))


def link_in(mail: dict[str, Any], page: str) -> str:
    """The signed link of a mail to this page."""
    found = re.search(rf"https?://\S+/{page}/[\w-]+", mail["text"])
    expect(found, f"Le courriel « {mail['subject']} » n'a pas de lien vers la page /{page}.")
    return found[0] if found else ""


def moment_of(written: str) -> datetime:
    """An instant of the API, in Paris."""
    return datetime.fromisoformat(written).astimezone(PARIS)

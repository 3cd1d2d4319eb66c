"""Lab-O as it is measured: the whole embedded stack with every rule on, its people and its sessions, and the account of every booking.

What differs from `make run`: no demonstration; all requests come from one address, so its limit is lifted (that of each agent is not);
mails wait an hour, so that what is measured ends at the row that notify commits; PostgreSQL notes the time of each commit.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded import POSTGRES_SETTINGS
from deploy.installation import Installation, Ports
from deploy.stack import Stack
from shared.bus import Caller
from shared.contracts.catalog import ActivityType, DeliveryMode, DraftActivity, LocalPeriod, PublishActivity, ScheduleSession
from tests.bench.load import Plan, Result, run_load

OPERATOR = Caller("operator", frozenset({"operator"}))
SETTINGS = {"LABO_UNKNOWN_REQUESTS_PER_MINUTE": "1000000000", "LABO_CONFIRMATION_DELAY": "3600"}
OPEN_SINCE = datetime(2026, 1, 1, tzinfo=UTC)  # the sessions measured are further away than six weeks
SESSIONS = 1000
SEATS = 10_000
REGULARS = 1000  # agents who book on the spread sessions
AGENTS = 9_000  # on a hot session nobody books twice, so each request there shows a token that the gateway has not seen lately

POSTGRES_SETTINGS["track_commit_timestamp"] = "on"

_AGENTS = """
insert into gateway.agents (agent_id, sub, given_name, usual_name, email, org_unit, roles, version)
select agent_id, 'bench-' || place, 'Essai', 'N' || place, 'n' || place || '@exemple.invalid', 'sgar', array['agent'], 1
from unnest(cast(:ids as uuid[])) with ordinality as new(agent_id, place)
"""
_TOKENS = """
insert into gateway.api_token (token_hash, agent_id, expires_at)
select token_hash, agent_id, clock_timestamp() + interval '1 day'
from unnest(cast(:hashes as bytea[]), cast(:ids as uuid[])) as new(token_hash, agent_id)
"""
_OPEN = "select count(*) from booking.session where session_id = any(:ids)"
_COUNTS = """
select (select count(*) from booking.booking) as bookings,
       (select sum(held + waiting)::bigint from booking.session) as seats,
       (select count(*) from notify.mail where booking_id is not null) as mails,
       (select count(distinct booking_id) from notify.mail) as mailed,
       (select count(*) from booking.outbox where published_at is null) as unpublished,
       (select count(*) from booking.session where held > capacity) as oversold,
       (select count(*) from notify.dead_letter) as parked
"""


@dataclass(frozen=True)
class Counts:
    """Across booking and notify; seats include ranks in the queue."""

    bookings: int
    seats: int
    mails: int
    mailed: int
    unpublished: int
    oversold: int
    parked: int


class WrongCount(AssertionError):
    """The rows do not agree with the answers: a figure would be worthless."""


@dataclass
class House:
    stack: Stack
    admin: AsyncEngine
    agents: list[UUID] = field(default_factory=list[UUID])
    tokens: list[str] = field(default_factory=list[str])
    sessions: list[UUID] = field(default_factory=list[UUID])
    filler: int = 0
    """Bookings that were laid into the tables by SQL, without mail."""
    _next: int = 0

    # --- people and sessions ---------------------------------------------------------------------------------------------------------

    async def furnish(self, *, sessions: int = SESSIONS, agents: int = AGENTS) -> None:
        """Agents with tokens by SQL, sessions through catalog as an operator would schedule them."""
        self.agents = [uuid4() for _ in range(agents)]
        self.tokens = [f"bench-token-{number:06}" for number in range(agents)]
        async with self.admin.begin() as tx:
            await tx.execute(text(_AGENTS), {"ids": self.agents})
            hashes = [hashlib.sha256(token.encode()).digest() for token in self.tokens]
            await tx.execute(text(_TOKENS), {"ids": self.agents, "hashes": hashes})
        self.sessions = await self.schedule(sessions)

    async def schedule(self, number: int) -> list[UUID]:
        """So many sessions of 10,000 seats, open for bookings."""
        activity_id, sessions = uuid4(), [uuid4() for _ in range(number)]
        bus = await self.stack.operator_bus()
        try:
            draft = DraftActivity(
                activity_id=activity_id, activity_type=ActivityType.INNOVATION_THURSDAY, title="Une séance pour mesurer",
                summary="Beaucoup la veulent.", theme="Essais", delivery_mode=DeliveryMode.REMOTE,
            )  # fmt: skip
            await bus.ask(draft, OPERATOR)
            await bus.ask(PublishActivity(activity_id=activity_id), OPERATOR)
            begins = datetime(2027, 6, 3, 14)  # noqa: DTZ001 - wall-clock time in Paris
            hours = [begins + timedelta(hours=turn) for turn in range(number)]  # one after the other: no agent is warned of an overlap
            for start in range(0, number, 16):
                orders = [
                    ScheduleSession(
                        session_id=each, activity_id=activity_id, capacity=SEATS, opens_at=OPEN_SINCE,
                        periods=(LocalPeriod(local_start=hour, local_end=hour + timedelta(hours=1)),),
                    )
                    for each, hour in list(zip(sessions, hours, strict=True))[start : start + 16]
                ]  # fmt: skip
                await asyncio.gather(*(bus.ask(order, OPERATOR, timeout=30) for order in orders))
        finally:
            await bus.close()
        await self.until(lambda: self._are_open(sessions), 120)
        return sessions

    async def _are_open(self, sessions: Sequence[UUID]) -> bool:
        return await self.scalar(_OPEN, ids=list(sessions)) == len(sessions)

    # --- load ------------------------------------------------------------------------------------------------------------------------

    async def book(self, callers: int, *, hot: bool = False, seconds: float = 3.0, rate: float = 0.0) -> Result:
        """One slice of load, with its account; then the mails are taken away."""
        result = await self.load(callers, hot=hot, seconds=seconds, rate=rate)
        await self.take_mails_away()
        return result

    async def load(self, callers: int, *, hot: bool = False, seconds: float = 3.0, rate: float = 0.0) -> Result:
        """Answers = bookings = seats = mails, nothing twice, nothing left in the outbox; or it raises."""
        sessions = await self.schedule(1) if hot else self.sessions
        agents = self.tokens if hot else self.tokens[:REGULARS]
        before = await self.settled()
        plan = Plan(
            port=self.stack.ports.portal, callers=callers, seconds=seconds, rate=rate, first=0 if hot else self._next,
            sessions=[str(each) for each in sessions], agents=agents,
        )  # fmt: skip
        result = await run_load(plan)
        if not hot:
            self._next = result.next
        self.check(result, before, await self.settled())
        return result

    def check(self, result: Result, before: Counts, after: Counts) -> None:
        accepted = result.answered
        news = {
            "bookings": after.bookings - before.bookings,
            "seats": after.seats - before.seats,
            "mails": after.mails - before.mails,
            "bookings with a mail": after.mailed - before.mailed,
            "different ids in answers": result.ids,
        }
        wrong = {name: number for name, number in news.items() if number != accepted}
        if wrong or result.other or after.oversold or after.parked:
            raise WrongCount(f"{accepted} accepted; {wrong or 'all counted'}; other answers {result.other}; {after}")

    async def settled(self, within: float = 60.0) -> Counts:
        """The counts once every booking has its mail and the outbox is empty."""
        deadline = time.monotonic() + within
        while True:
            counts = await self.counts()
            if counts.unpublished == 0 and counts.mails >= counts.bookings - self.filler:
                return counts
            if time.monotonic() > deadline:
                raise WrongCount(f"not settled after {within} s: {counts}")
            await asyncio.sleep(0.2)

    async def counts(self) -> Counts:
        async with self.admin.connect() as connection:
            row = (await connection.execute(text(_COUNTS))).one()
        return Counts(*(int(number or 0) for number in row))

    async def take_mails_away(self) -> None:
        """Sending is not measured: mails that would wait an hour are called sent."""
        await self.execute("update notify.mail set state = 'sent', sent_at = clock_timestamp() where state = 'new'")

    # --- database ------------------------------------------------------------------------------------------------------------------------

    async def scalar(self, query: str, **values: Any) -> Any:
        async with self.admin.connect() as connection:
            return await connection.scalar(text(query), values)

    async def execute(self, statement: str, **values: Any) -> None:
        async with self.admin.begin() as tx:
            await tx.execute(text(statement), values)

    async def maintain(self) -> None:
        """VACUUM, ANALYZE and CHECKPOINT, so that none of them falls into a slice by chance."""
        async with self.admin.connect() as plain:
            connection = await plain.execution_options(isolation_level="AUTOCOMMIT")
            for table in ("booking.booking", "booking.outbox", "booking.session", "notify.mail", "notify.booking", "notify.inbox"):
                await connection.execute(text(f"vacuum analyze {table}"))
            await connection.execute(text("checkpoint"))

    @staticmethod
    async def until(check: Any, within: float) -> None:
        deadline = time.monotonic() + within
        while not await check():
            if time.monotonic() > deadline:
                raise WrongCount(f"still not so after {within} s")
            await asyncio.sleep(0.05)


@asynccontextmanager
async def empty_folder() -> AsyncGenerator[Path]:
    """Reachable by the account that runs PostgreSQL."""
    folder = Path(tempfile.mkdtemp(prefix="labo-bench-"))
    folder.chmod(0o755)  # noqa: ASYNC240
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def open_house() -> AsyncGenerator[House]:
    """A stack of its own, without people or sessions yet."""
    async with empty_folder() as folder:
        installation = Installation(folder)
        async with Stack(installation, Ports.free(), demonstration=False, settings=SETTINGS) as stack:
            admin = stack.admin_engine()
            try:
                yield House(stack, admin)
            finally:
                await admin.dispose()

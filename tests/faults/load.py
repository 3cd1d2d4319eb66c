"""Clients as the gateway is one: they ask with a key, ask again with the same key while the answer says so, and write everything down."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Self, TypeVar
from uuid import UUID

from shared.bus import Caller
from shared.contracts.booking import Booking, BookSeat, CancelBooking
from shared.contracts.messages import Message, Request
from shared.errors import Refused
from tests.conftest import eventually
from tests.faults.checker import History
from tests.faults.stage import Stage, agent_of

ReplyT = TypeVar("ReplyT", bound=Message)

PROCESSES = 8
OPEN_AT_MOST = 60  # orders that wait for an answer; beyond, the clients would only measure this machine
PATIENCE = 90.0  # seconds after which a client that still gets no answer is a violation (I9)
HOT, REPEATED, CANCELLED = 0.2, 0.1, 0.2  # shares of the orders


@dataclass
class Load:
    """`async with load: …` Orders in open loop: slow answers do not slow the clients down. 40 a second saturate two shared cores."""

    stage: Stage
    seed: int = 1
    rate: float = 15.0
    timeout: float = 3.0
    patience: float = PATIENCE
    dice: random.Random = field(init=False)
    history: History = field(default_factory=History)
    _orders: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    _ticking: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    async def start(self, *, hot: int = 1, cold: int = 3) -> None:
        await self.stage.open_sessions(*[20] * hot, *[500] * cold)
        self._hot, self._cold = self.stage.sessions[-hot - cold : -cold], self.stage.sessions[-cold:]
        self._ticking = asyncio.create_task(self._tick())

    async def stop(self) -> None:
        """No new orders; those under way end with an answer or with a violation."""
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        if self._orders:
            await asyncio.wait(self._orders, timeout=self.patience + 5)
        for unanswered in list(self._orders):
            unanswered.cancel()

    async def __aenter__(self) -> Self:
        await self.start()
        await eventually(lambda: len(self.history.acknowledged) > 10, 60)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def flows(self, within: float = 45.0) -> float:
        """Seconds until an order that begins now, or later, is acknowledged."""
        began, known = time.monotonic(), len(self.history.acknowledged)
        await eventually(lambda: len(self.history.acknowledged) > known + 2, within)
        return time.monotonic() - began

    # --- orders -------------------------------------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(1 / self.rate)
            if len(self._orders) >= OPEN_AT_MOST:
                continue
            number += 1
            value = f"p{number % PROCESSES}-{number}"
            session_id = self.dice.choice(self._hot if self.dice.random() < HOT else self._cold)
            habits = self.dice.random() < REPEATED, self.dice.random() < CANCELLED
            order = asyncio.create_task(self._order(value, session_id, *habits), name=value)
            self._orders.add(order)
            order.add_done_callback(self._orders.discard)

    async def _order(self, value: str, session_id: UUID, repeats: bool, cancels: bool) -> None:
        history, agent_id, began = self.history, agent_of(value), time.monotonic()
        self.stage.people[agent_id] = value
        history.attempted.add(value)
        request = BookSeat(session_id=session_id, agent_id=agent_id)
        booking: Booking | None = None
        for _ in range(1 + repeats):
            booking = await self.until_answered(request, value, agent_id)
            if booking is None:
                return
            history.acknowledge(value, str(booking.booking_id), time.monotonic() - began)
        if cancels and booking:
            ended = await self.until_answered(CancelBooking(booking_id=booking.booking_id), f"{value}/cancel", agent_id)
            if ended is not None:
                history.cancelled.add(value)

    async def until_answered(self, request: Request[ReplyT], key: str, agent_id: UUID) -> ReplyT | None:
        """Ask again, with the same key, as long as the answer says that one may."""
        caller = Caller(str(agent_id), frozenset({"agent"}), idempotency_key=key)
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            try:
                return await self.stage.gateway.ask(request, caller, timeout=self.timeout)
            except Refused as refusal:
                if not refusal.retryable:
                    self.history.wrong.append(f"{key} was refused: {refusal.code}")
                    return None
                self.history.retries[refusal.code] += 1
            await asyncio.sleep(random.uniform(0.1, 0.3))
        self.history.wrong.append(f"{key} got no answer in {self.patience:g} s")
        return None

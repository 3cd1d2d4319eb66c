"""The load generator: raw HTTP/1.1 over kept-alive connections, in a process of its own.

    python -m tests.bench.load < plan.json > result.json

Closed loop: each caller sends its next request when the last one is answered. With `rate`, requests are sent at fixed times instead,
whatever is still unanswered, and latency counts from the time at which a request should have been sent.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop


@dataclass
class Plan:
    port: int
    callers: int = 1
    seconds: float = 3.0
    warm: float = 0.5
    """Seconds at the beginning that are not counted."""
    style: str = "labo"
    """`labo` books through the API with a token, `monolith` with a JSON body, `pretix` orders at `path`, `ping` asks for it."""
    path: str = "/"
    sessions: list[str] = field(default_factory=list[str])
    agents: list[str] = field(default_factory=list[str])
    """Tokens (labo) or ids (monolith). No (session, agent) is used twice. For pretix one product, and its token."""
    first: int = 0
    """Number of the first request: goes on where the last slice ended."""
    rate: float = 0.0


@dataclass
class Result:
    answered: int = 0
    """Requests answered with success, those of the warm-up included."""
    other: dict[str, int] = field(default_factory=dict[str, int])
    """Other answers, by status or name of error."""
    per_second: float = 0.0
    p50: float = 0.0
    p99: float = 0.0
    """Milliseconds."""
    ids: int = 0
    """Different booking ids among the answers."""
    next: int = 0


class Book:
    """Writes request number n: session n mod S, and an agent who has not asked for that session before."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        sessions, agents = len(plan.sessions) or 1, len(plan.agents) or 1
        self._sessions, self._agents = sessions, agents
        self.limit = sessions * agents if plan.style in {"labo", "monolith"} else sys.maxsize

    def request(self, number: int) -> bytes:
        plan = self._plan
        if plan.style == "ping":
            return f"GET {plan.path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
        if plan.style == "pretix":
            body = f'{{"email":"n{number}@exemple.invalid","locale":"en","positions":[{{"item":{plan.sessions[0]}}}]}}'
            return (
                f"POST {plan.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Token {plan.agents[0]}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
            ).encode()
        turn, place = divmod(number, self._sessions)
        session, agent = plan.sessions[place], plan.agents[(turn + 7 * place) % self._agents]
        if plan.style == "labo":
            return (
                f"POST /api/v1/sessions/{session}/bookings HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {agent}\r\n"
                f"Idempotency-Key: {session[:8]}-{number}\r\nContent-Length: 0\r\n\r\n"
            ).encode()
        body = f'{{"session_id":"{session}","agent_id":"{agent}"}}'
        return (
            f"POST /bookings HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()


class Caller(asyncio.Protocol):
    """One connection, one request at a time. Callbacks instead of tasks: what the generator takes of the machine, the measured lack."""

    def __init__(self, answered: Callable[[Caller, int, bytes], None], lost: Callable[[Exception | None], None]) -> None:
        self._answered, self._lost = answered, lost
        self._buffer = b""
        self._transport: Any = None
        self.started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def ask(self, request: bytes, started: float) -> None:
        self.started = started
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        whole = end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
        if len(self._buffer) >= whole:
            body, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            self._answered(self, int(head[9:12]), body)


class Load:
    def __init__(self, plan: Plan) -> None:
        self.plan, self.result, self._book = plan, Result(next=plan.first), Book(plan)
        self._samples: list[float] = []
        self._counted_from = self._until = self._last = 0.0
        self._ids: set[bytes] = set()
        self._callers: list[Caller] = []
        self._free: list[Caller] = []
        self._late: deque[tuple[bytes, float]] = deque()
        """Requests whose time has come while all callers wait (with `rate`)."""
        self._over = asyncio.Event()
        self._sending = True

    async def run(self) -> Result:
        loop, plan = asyncio.get_running_loop(), self.plan
        for _ in range(plan.callers):
            _, caller = await loop.create_connection(lambda: Caller(self._answered, self._lost), "127.0.0.1", plan.port)
            self._callers.append(caller)
        began = time.perf_counter()
        self._counted_from, self._until = began + plan.warm, began + plan.warm + plan.seconds
        if plan.rate:
            self._free = list(self._callers)
            await self._steadily(began)
        else:
            for caller in self._callers:
                self._give(caller, time.perf_counter())
        await self._over.wait()
        return self._told()

    def _told(self) -> Result:
        counted, elapsed = len(self._samples), min(self._last, self._until) - self._counted_from
        self.result.per_second = counted / elapsed if counted else 0.0
        self._samples.sort()
        if self._samples:
            self.result.p50, self.result.p99 = (1000 * self._samples[int(counted * share)] for share in (0.5, 0.99))
        self.result.ids = len(self._ids)
        return self.result

    def _next(self) -> bytes | None:
        number = self.result.next
        if number >= self._book.limit:
            return None
        self.result.next += 1
        return self._book.request(number)

    async def _steadily(self, began: float) -> None:
        due = began
        while due < self._until and (request := self._next()) is not None:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            if self._free:
                self._free.pop().ask(request, due)
            else:
                self._late.append((request, due))
            due += 1 / self.plan.rate
        self._sending = False
        self._look()

    def _give(self, caller: Caller, now: float) -> None:
        """The next request for a caller that is free."""
        if self._late:
            caller.ask(*self._late.popleft())
        elif not self.plan.rate and now < self._until and (request := self._next()) is not None:
            caller.ask(request, now)
        else:
            self._sending = self._sending and bool(self.plan.rate)
            self._free.append(caller)
            self._look()

    def _look(self) -> None:
        if not self._sending and len(self._free) == len(self._callers):
            self._over.set()

    def _answered(self, caller: Caller, status: int, body: bytes) -> None:
        now = time.perf_counter()
        if status in {200, 201}:
            self.result.answered += 1
            if (at := body.find(b'"booking_id":')) >= 0:
                self._ids.add(body[at + 13 : at + 51])
            if self._counted_from <= caller.started and now <= self._until:
                self._samples.append(now - caller.started)
                self._last = now
        else:
            self._other(str(status))
        self._give(caller, now)

    def _lost(self, error: Exception | None) -> None:
        self._other(type(error or ConnectionResetError()).__name__)
        self._over.set()

    def _other(self, name: str) -> None:
        self.result.other[name] = self.result.other.get(name, 0) + 1


async def run_load(plan: Plan) -> Result:
    """From the benchmark: in a process of its own, as real callers would be."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    assert process.returncode == 0, "the load generator failed"
    return Result(**json.loads(told))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(Load(Plan(**json.load(sys.stdin))).run()))))

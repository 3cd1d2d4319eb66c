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
    """`labo` books through the API with a token, `monolith` with a JSON body, `ping` asks for `path`."""
    path: str = "/"
    sessions: list[str] = field(default_factory=list[str])
    agents: list[str] = field(default_factory=list[str])
    """Tokens (labo) or ids (monolith). No (session, agent) is used twice."""
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
        self.limit = sessions * agents if plan.style != "ping" else sys.maxsize

    def request(self, number: int) -> bytes:
        plan = self._plan
        if plan.style == "ping":
            return f"GET {plan.path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
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
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError())

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) >= end + 4 + length and self._answer and not self._answer.done():
            body, self._buffer = self._buffer[end + 4 : end + 4 + length], self._buffer[end + 4 + length :]
            self._answer.set_result((int(head[9:12]), body))


class Load:
    def __init__(self, plan: Plan) -> None:
        self.plan, self.result, self._book = plan, Result(next=plan.first), Book(plan)
        self._samples: list[float] = []
        self._counted_from = self._until = 0.0
        self._last = 0.0
        self._ids: set[bytes] = set()

    async def run(self) -> Result:
        loop, plan = asyncio.get_running_loop(), self.plan
        callers = [(await loop.create_connection(Caller, "127.0.0.1", plan.port))[1] for _ in range(plan.callers)]
        began = time.perf_counter()
        self._counted_from, self._until = began + plan.warm, began + plan.warm + plan.seconds
        if plan.rate:
            await self._steadily(callers, began)
        else:
            await asyncio.gather(*(self._call(caller) for caller in callers))
        counted, elapsed = len(self._samples), min(self._last, self._until) - self._counted_from
        self.result.per_second = counted / elapsed if counted else 0.0
        self._samples.sort()
        if self._samples:
            self.result.p50, self.result.p99 = (1000 * self._samples[int(counted * share)] for share in (0.5, 0.99))
        self.result.ids = len(self._ids)
        return self.result

    def _next(self) -> int | None:
        number = self.result.next
        if number >= self._book.limit:
            return None
        self.result.next += 1
        return number

    async def _call(self, caller: Caller) -> None:
        while time.perf_counter() < self._until and (number := self._next()) is not None:
            if not await self._one(caller, number, time.perf_counter()):
                return

    async def _steadily(self, callers: list[Caller], began: float) -> None:
        free = asyncio.Queue[Caller]()
        for caller in callers:
            free.put_nowait(caller)
        tasks: list[asyncio.Task[None]] = []

        async def ask(due: float, number: int) -> None:
            caller = await free.get()
            await self._one(caller, number, due)
            free.put_nowait(caller)

        due = began
        while due < self._until and (number := self._next()) is not None:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(due, number)))
            due += 1 / self.plan.rate
        await asyncio.gather(*tasks)

    async def _one(self, caller: Caller, number: int, started: float) -> bool:
        try:
            status, body = await caller.ask(self._book.request(number))
        except OSError as error:
            self._other(type(error).__name__)
            return False
        if status not in {200, 201}:
            self._other(str(status))
            return True
        now = time.perf_counter()
        self.result.answered += 1
        if (at := body.find(b'"booking_id":')) >= 0:
            self._ids.add(body[at + 13 : at + 51])
        if self._counted_from <= started and now <= self._until:
            self._samples.append(now - started)
            self._last = now
        return True

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

"""How orders are carried out: one transaction each, or grouped commits that callers share; keys are settled in that transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import faults, idempotency, telemetry
from shared.bus import Caller
from shared.contracts.messages import Message, Request
from shared.database import Database, constraint_of, is_infrastructure, is_lock_timeout
from shared.errors import Refused
from shared.idempotency import Claim
from shared.outbox import Cause

log = telemetry.log

RequestT = TypeVar("RequestT", bound=Request[Any])


@dataclass(frozen=True, slots=True)
class Order(Generic[RequestT]):
    """One request of a group that shares a commit."""

    request: RequestT
    caller: Caller
    claim: Claim | None = None

    @property
    def cause(self) -> Cause:
        return self.caller.cause


Query = Callable[[RequestT, Caller, Database], Awaitable[Message]]
Command = Callable[[RequestT, Caller, AsyncConnection], Awaitable[Message]]
GroupedCommand = Callable[[Sequence[Order[RequestT]], AsyncConnection], Awaitable[Sequence[Message | Refused]]]


async def run_command(command: Command[Any], order: Order[Any], database: Database) -> str:
    """One order, one transaction, its key included; the reply as JSON. Raises `Refused`, or what went wrong."""
    if order.claim is None:
        async with database.begin() as tx:
            return (await command(order.request, order.caller, tx)).model_dump_json()
    async with database.begin() as tx:
        (earlier,) = await idempotency.claim(tx, [order.claim])
        if isinstance(earlier, Refused):
            raise earlier
        if earlier is not None:
            return earlier
        reply = (await command(order.request, order.caller, tx)).model_dump_json()
        faults.point("command.mid_handler")
        await idempotency.store(tx, [(order.claim, reply)])
        faults.point("command.before_commit")
    faults.point("command.after_commit")
    return reply


async def stored_reply(claim: Claim, database: Database) -> str | None:
    """The reply (JSON) that is kept under a key, if the same order was carried out."""
    async with database.begin() as tx:
        (earlier,) = await idempotency.claim(tx, [claim])
    return earlier if isinstance(earlier, str) else None


async def run_group(handler: GroupedCommand[Any], orders: Sequence[Order[Any]], database: Database) -> list[str | Refused]:
    """Several orders, one transaction; one answer each: the reply as JSON, or a refusal."""
    async with database.begin() as tx:
        claims = [order.claim for order in orders if order.claim is not None]
        earlier = iter(await idempotency.claim(tx, claims))
        answers: list[str | Refused | None] = [next(earlier) if order.claim is not None else None for order in orders]
        open_places = [place for place, answer in enumerate(answers) if answer is None]
        if open_places:
            replies = await handler([orders[place] for place in open_places], tx)
            faults.point("command.mid_handler")
            done: list[tuple[Claim, str]] = []
            for place, reply in zip(open_places, replies, strict=True):
                if isinstance(reply, Refused):
                    answers[place] = reply
                else:
                    answers[place] = body = reply.model_dump_json()
                    if (claim := orders[place].claim) is not None:
                        done.append((claim, body))
            await idempotency.store(tx, done)
        faults.point("command.before_commit")
    faults.point("command.after_commit")
    return cast("list[str | Refused]", answers)


class Group:
    """Grouped commits: while one commit is under way the next orders gather. No timer, so one alone waits for nobody."""

    def __init__(self, handler: GroupedCommand[Any], largest: int, database: Database, operation: str) -> None:
        self._handler, self._largest, self._database, self._operation = handler, largest, database, operation
        self._waiting: list[tuple[Order[Any], asyncio.Future[str]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, order: Order[Any]) -> str:
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((order, answer))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[: self._largest], self._waiting[self._largest :]
                telemetry.GROUP_SIZE.labels(self._operation).observe(len(taken))
                for (_, answer), outcome in zip(taken, await self._commit([order for order, _ in taken]), strict=True):
                    if answer.done():  # its caller is gone
                        continue
                    if isinstance(outcome, BaseException):
                        answer.set_exception(outcome)
                    else:
                        answer.set_result(outcome)
        finally:
            self._worker = None

    async def _commit(self, orders: list[Order[Any]]) -> Sequence[str | BaseException]:
        try:
            return await run_group(self._handler, orders, self._database)
        except Exception as error:
            if len(orders) == 1 and constraint_of(error) != idempotency.CONSTRAINT:
                return [error]
            if is_infrastructure(error) and not is_lock_timeout(error):
                return [error] * len(orders)
            log.warning("group_split", operation=self._operation, size=len(orders), error=type(error).__name__)
        outcomes: list[str | BaseException] = []
        for order in orders:
            try:
                outcomes += await run_group(self._handler, [order], self._database)
            except Exception as error:
                outcomes.append(error)
        return outcomes

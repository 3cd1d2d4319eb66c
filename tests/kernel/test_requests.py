"""Requests: never silence, never twice, nothing lost while draining."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.embedded import NatsServer
from shared import outbox
from shared.bus import Caller
from shared.contracts.booking import Booking, BookSeat, CancelBooking, GetBooking
from shared.database import Database
from shared.errors import Busy, Refused
from shared.idempotency import Claim, fingerprint, store
from shared.requests import Order, Requests
from tests.conftest import eventually
from tests.kernel.conftest import Kernel
from tests.kernel.facts import an_agent, confirmed, count, on_the_wire, reply_of


class SessionFull(Refused):
    code, status, title = "session_full_in_a_test", 409, "Complet."


def booking_that_records() -> Requests:
    """A command and a grouped command, each with one event as its effect."""
    requests = Requests()

    @requests.command(CancelBooking)
    async def cancel(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
        fact = confirmed(request.booking_id)
        await outbox.record(tx, fact, cause=caller)
        return reply_of(fact)

    @requests.grouped_command(BookSeat)
    async def book(orders: Sequence[Order[BookSeat]], tx: AsyncConnection) -> Sequence[Booking]:
        facts = [confirmed() for _ in orders]
        await outbox.record_each(tx, list(zip(facts, [order.caller for order in orders], strict=True)))
        return [reply_of(fact) for fact in facts]

    return requests


async def code_of(waiting: Awaitable[object]) -> str:
    with pytest.raises(Refused) as refused:
        await waiting
    return refused.value.code


# --- answers -------------------------------------------------------------------------------------------------------------------------


async def test_a_refusal_crosses_the_bus_with_its_code_its_french_title_and_its_members(kernel: Kernel) -> None:
    requests = Requests()
    booking_id = uuid4()

    @requests.query(GetBooking)
    async def refuse(request: GetBooking, caller: Caller, database: Database) -> Booking:
        raise SessionFull("for the log", booking_id=str(booking_id))

    await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")

    with pytest.raises(Refused) as refused:
        await gateway.ask(GetBooking(booking_id=booking_id), an_agent())

    assert (refused.value.code, refused.value.status, refused.value.title) == ("session_full_in_a_test", 409, "Complet.")
    assert refused.value.members == {"booking_id": str(booking_id)}


async def test_a_bug_is_answered_as_internal_error_and_tells_nothing_of_its_inside(kernel: Kernel) -> None:
    requests = Requests()

    @requests.query(GetBooking)
    async def broken(request: GetBooking, caller: Caller, database: Database) -> Booking:
        raise RuntimeError("secret of the inside")

    await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")

    with pytest.raises(Refused) as refused:
        await gateway.ask(GetBooking(booking_id=uuid4()), an_agent())

    assert refused.value.code == "internal_error"
    assert "secret" not in refused.value.problem.model_dump_json()


async def test_nobody_listens_means_unavailable_at_once_not_after_the_timeout(kernel: Kernel) -> None:
    gateway = await kernel.bus("gateway")

    async with asyncio.timeout(10):
        assert await code_of(gateway.ask(GetBooking(booking_id=uuid4()), an_agent(), timeout=60)) == "unavailable"


async def test_a_reply_too_large_for_a_message_is_a_problem_not_silence(kernel: Kernel) -> None:
    requests = Requests()

    @requests.query(GetBooking)
    async def boundless(request: GetBooking, caller: Caller, database: Database) -> Booking:
        return reply_of(confirmed(request.booking_id)).model_copy(update={"reason": "x" * 2_000_000})

    await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")

    assert await code_of(gateway.ask(GetBooking(booking_id=uuid4()), an_agent())) == "internal_error"


@pytest.mark.parametrize(
    ("body", "headers", "code", "where"),
    [
        (b"not json", {"labo-actor": "a"}, "invalid_request", ""),
        (b'{"booking_id": "nope"}', {"labo-actor": "a"}, "invalid_request", "booking_id"),
        (b"{}", {"labo-actor": "a"}, "invalid_request", "booking_id"),
        (b"{}", {}, "invalid_request", None),
        (b"{}", {"labo-actor": "a", "labo-deadline": "soon"}, "invalid_request", None),
        (b"{}", {"labo-actor": "a", "idempotency-key": "k" * 201}, "invalid_request", None),
        (b"{}", {"labo-actor": "a", "labo-deadline": "1.0"}, "deadline_exceeded", None),
    ],
)
async def test_a_bad_request_gets_a_code_and_its_neighbours_are_served(
    kernel: Kernel, body: bytes, headers: dict[str, str], code: str, where: str | None
) -> None:
    await kernel.serve("booking", booking_that_records())
    gateway = await kernel.bus("gateway")

    answer = await gateway.client.request(CancelBooking.subject, body, headers=headers or None, timeout=5)

    assert f'"code":"{code}"'.encode() in answer.data
    if where is not None:
        assert f'"where":"{where}"'.encode() in answer.data
    assert await gateway.ask(CancelBooking(booking_id=uuid4()), an_agent())


async def test_requests_run_side_by_side_a_task_each(kernel: Kernel) -> None:
    requests = Requests()
    all_in = asyncio.Barrier(50)

    @requests.query(GetBooking)
    async def wait_for_the_others(request: GetBooking, caller: Caller, database: Database) -> Booking:
        await all_in.wait()
        return reply_of(confirmed(request.booking_id))

    await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")

    replies = await asyncio.gather(*(gateway.ask(GetBooking(booking_id=uuid4()), an_agent()) for _ in range(50)))

    assert len(replies) == 50


async def test_beyond_the_limit_a_request_is_told_busy_instead_of_queueing(kernel: Kernel) -> None:
    requests = Requests()
    release = asyncio.Event()

    @requests.query(GetBooking)
    async def slow(request: GetBooking, caller: Caller, database: Database) -> Booking:
        await release.wait()
        return reply_of(confirmed(request.booking_id))

    await kernel.serve("booking", requests, at_once=3)
    gateway = await kernel.bus("gateway")

    waiting = [asyncio.create_task(gateway.ask(GetBooking(booking_id=uuid4()), an_agent())) for _ in range(5)]
    refused, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_EXCEPTION)
    error = next(iter(refused)).exception()
    release.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)

    assert isinstance(error, Refused)
    assert error.code == Busy.code
    assert error.retryable
    assert sum(isinstance(result, Booking) for result in results) == 3


async def test_a_row_lock_that_is_not_to_be_had_is_contended_and_retryable(kernel: Kernel) -> None:
    requests = Requests()

    @requests.command(CancelBooking)
    async def lock(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
        await tx.execute(text("set local lock_timeout = '50ms'"))
        await tx.execute(text("lock table heartbeat in access exclusive mode"))
        return reply_of(confirmed(request.booking_id))

    _, database = await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")
    async with database.begin() as other:
        await other.execute(text("lock table heartbeat in access exclusive mode"))

        assert await code_of(gateway.ask(CancelBooking(booking_id=uuid4()), an_agent())) == "contended"


async def test_F26_an_answer_cannot_be_steered_into_a_stream(kernel: Kernel, admin_nats: Client) -> None:
    _, database = await kernel.serve("booking", booking_that_records())
    gateway = await kernel.bus("gateway")
    body = CancelBooking(booking_id=uuid4()).model_dump_json().encode()

    await gateway.client.publish(CancelBooking.subject, body, reply=f"evt.booking.forged.v1.{uuid4()}", headers={"labo-actor": "a"})
    await gateway.ask(CancelBooking(booking_id=uuid4()), an_agent())

    assert (await admin_nats.jetstream().stream_info("EVT_BOOKING")).state.messages == 0
    assert await count(database, "outbox") == 1, "nor was it carried out"


# --- idempotency keys ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["command", "grouped"])
async def test_the_same_key_five_times_in_parallel_has_one_effect(kernel: Kernel, kind: str) -> None:
    _, database = await kernel.serve("booking", booking_that_records())
    gateway = await kernel.bus("gateway")
    caller, order = an_agent(key="K"), uuid4()
    request = CancelBooking(booking_id=order) if kind == "command" else BookSeat(session_id=order, agent_id=order)

    answers = await asyncio.gather(*(gateway.ask(request, caller) for _ in range(5)), return_exceptions=True)
    once_more = await gateway.ask(request, caller)

    assert await count(database, "outbox") == 1
    replies = [answer for answer in answers if isinstance(answer, Booking)]
    refusals = [answer for answer in answers if isinstance(answer, Refused)]
    assert replies
    assert all(reply == once_more for reply in replies)
    assert len(replies) + len(refusals) == 5
    assert {refusal.code for refusal in refusals} <= {"idempotency_key_in_use"}


async def test_another_body_under_the_same_key_is_refused_and_another_actor_is_not(kernel: Kernel) -> None:
    _, database = await kernel.serve("booking", booking_that_records())
    gateway = await kernel.bus("gateway")
    caller = an_agent(key="K")
    await gateway.ask(CancelBooking(booking_id=uuid4()), caller)

    assert await code_of(gateway.ask(CancelBooking(booking_id=uuid4()), caller)) == "idempotency_key_reused"
    await gateway.ask(CancelBooking(booking_id=uuid4()), an_agent(key="K"))
    assert await count(database, "outbox") == 2


async def test_a_key_whose_owner_still_works_is_in_use(kernel: Kernel) -> None:
    requests = Requests()
    inside, release = asyncio.Event(), asyncio.Event()

    @requests.command(CancelBooking)
    async def slow(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
        inside.set()
        await release.wait()
        return reply_of(confirmed(request.booking_id))

    await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")
    caller, request = an_agent(key="K"), CancelBooking(booking_id=uuid4())
    first = asyncio.create_task(gateway.ask(request, caller))
    await inside.wait()

    assert await code_of(gateway.ask(request, caller)) == "idempotency_key_in_use"
    release.set()
    reply = await first
    assert await gateway.ask(request, caller) == reply


async def test_a_twin_that_committed_meanwhile_gives_its_reply_not_a_refusal(kernel: Kernel) -> None:
    """The second look at the key: the order refused because its twin has done it is answered with what the twin answered."""
    requests, done = Requests(), list[Booking]()

    @requests.command(CancelBooking)
    async def once(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
        if done:
            raise SessionFull
        done.append(reply_of(confirmed(request.booking_id)))
        twin = Claim(caller.actor, "K", CancelBooking.subject, fingerprint(CancelBooking.subject, request.model_dump_json().encode()))
        async with database.begin() as other:  # it commits between our look at the key and our refusal
            await store(other, [(twin, done[0].model_dump_json())])
        raise SessionFull

    _, database = await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")

    assert await gateway.ask(CancelBooking(booking_id=uuid4()), an_agent(key="K")) == done[0]


async def test_a_refusal_is_not_kept_under_the_key(kernel: Kernel) -> None:
    requests = Requests()
    full = [True]

    @requests.command(CancelBooking)
    async def first_refuse(request: CancelBooking, caller: Caller, tx: AsyncConnection) -> Booking:
        if full.pop() if full else False:
            raise SessionFull
        return reply_of(confirmed(request.booking_id))

    await kernel.serve("booking", requests)
    gateway = await kernel.bus("gateway")
    caller, request = an_agent(key="K"), CancelBooking(booking_id=uuid4())

    assert await code_of(gateway.ask(request, caller)) == "session_full_in_a_test"
    assert (await gateway.ask(request, caller)).booking_id == request.booking_id


# --- grouped commits -------------------------------------------------------------------------------------------------------------------


def booking_with_moods(sizes: list[int]) -> Requests:
    """Refuses an order whose session and agent are the same; fails the whole group when the agent's id is zero."""
    requests = Requests()

    @requests.grouped_command(BookSeat, largest=16)
    async def book(orders: Sequence[Order[BookSeat]], tx: AsyncConnection) -> Sequence[Booking | Refused]:
        sizes.append(len(orders))
        answers: list[Booking | Refused] = []
        for order in orders:
            fact = confirmed(order.request.session_id)
            if order.request.agent_id.int == 0:
                raise RuntimeError("one bad order")
            answers.append(SessionFull() if order.request.agent_id == order.request.session_id else reply_of(fact))
            if isinstance(answers[-1], Booking):
                await outbox.record(tx, fact, cause=order.caller)
        return answers

    return requests


async def test_requests_that_arrive_during_a_commit_share_the_next_one(kernel: Kernel) -> None:
    sizes: list[int] = []
    _, database = await kernel.serve("booking", booking_with_moods(sizes))
    gateway = await kernel.bus("gateway")

    await asyncio.gather(*(gateway.ask(BookSeat(session_id=uuid4(), agent_id=uuid4()), an_agent()) for _ in range(100)))

    assert sum(sizes) == 100 == await count(database, "outbox")
    assert 1 < max(sizes) <= 16


async def test_one_refusal_or_one_failure_in_a_group_is_one_callers_answer(kernel: Kernel) -> None:
    _, database = await kernel.serve("booking", booking_with_moods([]))
    gateway = await kernel.bus("gateway")
    twin = uuid4()
    good = [BookSeat(session_id=uuid4(), agent_id=uuid4()) for _ in range(20)]
    bad = [BookSeat(session_id=twin, agent_id=twin), BookSeat(session_id=uuid4(), agent_id=UUID(int=0))]

    answers = await asyncio.gather(*(gateway.ask(order, an_agent(key="K")) for order in good + bad), return_exceptions=True)

    assert all(isinstance(answer, Booking) for answer in answers[:20])
    assert [answer.code for answer in answers[20:] if isinstance(answer, Refused)] == ["session_full_in_a_test", "internal_error"]
    assert await count(database, "outbox") == 20


# --- stopping, broker away ---------------------------------------------------------------------------------------------------------------


async def test_a_rolling_restart_loses_no_request(kernel: Kernel) -> None:
    """F20 in small: of two replicas one drains under load. Staying subscribed while stopping lost 43 of 200."""

    def slow() -> Requests:
        requests = Requests()

        @requests.query(GetBooking)
        async def answer(request: GetBooking, caller: Caller, database: Database) -> Booking:
            await asyncio.sleep(0.05)
            return reply_of(confirmed(request.booking_id))

        return requests

    leaving, _ = await kernel.serve("booking", slow())
    await kernel.serve("booking", slow())
    gateway = await kernel.bus("gateway")

    async def ask(number: int) -> Booking:
        await asyncio.sleep(number // 100 * 0.1)
        return await gateway.ask(GetBooking(booking_id=uuid4()), an_agent(), timeout=10)

    await ask(0)
    sent = gateway.client.stats["out_msgs"]
    asking = [asyncio.create_task(ask(number)) for number in range(200)]
    while gateway.client.stats["out_msgs"] < sent + 100:
        await asyncio.sleep(0)
    await leaving.drain()  # half of what was sent is on its way to it now, and more comes
    replies = await asyncio.gather(*asking)

    assert len(replies) == 200


async def test_a_flush_comes_after_what_was_written_before(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise its answer proves nothing, and a subscription that drains loses what the server still sends."""
    client, written = (await kernel.bus("booking")).client, list[bytes]()
    transport: Any = client._transport
    monkeypatch.setattr(transport, "write", lambda data, write=transport.write: (written.append(data), write(data)))
    monkeypatch.setattr(transport, "writelines", lambda lines, write=transport.writelines: (written.extend(lines), write(lines)))

    await client.subscribe("relay.booking.wake")
    await client.flush()

    assert [data.split()[0] for data in written] == [b"SUB", b"PING"]


async def test_without_a_broker_asking_fails_at_once_and_works_again_after(kernel: Kernel, nats: NatsServer) -> None:
    await kernel.serve("booking", booking_that_records())
    gateway = await kernel.bus("gateway")
    await gateway.ask(CancelBooking(booking_id=uuid4()), an_agent())

    nats.kill()
    await eventually(lambda: not gateway.client.is_connected)
    async with asyncio.timeout(10):
        assert await code_of(gateway.ask(CancelBooking(booking_id=uuid4()), an_agent(), timeout=60)) == "unavailable"
    assert not await gateway.round_trip()

    await asyncio.to_thread(nats.start)

    async def answered() -> bool:
        try:
            return bool(await gateway.ask(CancelBooking(booking_id=uuid4()), an_agent(), timeout=1))
        except Refused:
            return False

    await eventually(answered, 20)


async def test_an_event_is_no_answer(kernel: Kernel) -> None:
    """A reply that cannot be read is a refusal too, never an exception of the parser."""
    gateway = await kernel.bus("gateway")
    booking = await kernel.bus("booking")

    async def nonsense(message: Msg) -> None:
        await message.respond(on_the_wire(confirmed())[1])

    await booking.client.subscribe(GetBooking.subject, cb=nonsense)
    await booking.client.flush()

    assert await code_of(gateway.ask(GetBooking(booking_id=uuid4()), an_agent())) == "unavailable"

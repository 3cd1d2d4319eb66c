"""F22, F23: clients that ask again, ask at once, ask for something else under the same key, and fifty of them after one session."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from uuid import UUID, uuid4

from shared.bus import Caller
from shared.contracts.booking import Booking, BookingState, BookSeat
from shared.errors import DeadlineExceeded, KeyInUse, KeyReused, Refused
from tests.conftest import eventually
from tests.faults import reading
from tests.faults.proxy import UP
from tests.faults.stage import Stage
from tests.faults.table import Report

KEYS, UNANSWERED = 100, 20
CLIENTS, EACH, SEATS = 50, 40, 300


async def ask(stage: Stage, session_id: UUID, agent_id: UUID, key: str, timeout: float = 5.0) -> Booking | Refused:
    caller = Caller(str(agent_id), frozenset({"agent"}), idempotency_key=key)
    try:
        return await stage.gateway.ask(BookSeat(session_id=session_id, agent_id=agent_id), caller, timeout=timeout)
    except Refused as refusal:
        return refusal


async def insist(stage: Stage, session_id: UUID, agent_id: UUID, key: str) -> Booking | Refused:
    """Again with the same key while the answer says that one may."""
    while True:
        answer = await ask(stage, session_id, agent_id, key)
        if isinstance(answer, Booking) or not answer.retryable:
            return answer
        await asyncio.sleep(0.1)


async def open_session(stage: Stage, seats: int) -> UUID:
    (session_id,) = await stage.open_sessions(seats)

    async def heard() -> bool:
        return await reading.number(stage.booking, f"session where session_id = '{session_id}'") == 1

    await eventually(heard, 30)
    return session_id


async def test_F22_one_key_has_one_effect_however_often_it_is_asked(stage: Stage, report: Report) -> None:
    members = await stage.start("booking-1", "booking-2", wired=True)
    session_id, another = await open_session(stage, 500), await open_session(stage, 500)
    wrong: list[str] = []

    async def five_at_once(agent_id: UUID) -> None:
        key = f"click-{agent_id}"
        answers = await asyncio.gather(*(ask(stage, session_id, agent_id, key) for _ in range(5)))
        last = await insist(stage, session_id, agent_id, key)
        ids = {answer.booking_id for answer in (*answers, last) if isinstance(answer, Booking)}
        codes = {answer.code for answer in answers if isinstance(answer, Refused)} - {KeyInUse.code}
        other = await ask(stage, another, agent_id, key)
        wrong.extend([f"{key} was answered {ids} {codes}"] if len(ids) != 1 or codes else [])
        wrong.extend([f"{key} was taken for another order"] if not isinstance(other, Refused) or other.code != KeyReused.code else [])

    agents = [uuid4() for _ in range(KEYS)]
    for start in range(0, KEYS, 20):
        await asyncio.gather(*(five_at_once(agent_id) for agent_id in agents[start : start + 20]))

    late = [uuid4() for _ in range(UNANSWERED)]
    for member in members:
        member.nats.half_open(UP)  # orders arrive, are carried out, and the answers do not come back
    silent = await asyncio.gather(*(ask(stage, session_id, agent_id, "late", timeout=1.0) for agent_id in late))
    for member in members:
        member.nats.heal()
    wrong += [f"{answer!r} through a wire that carries no answers" for answer in silent if not isinstance(answer, DeadlineExceeded)]
    resolved = await asyncio.gather(*(insist(stage, session_id, agent_id, "late") for agent_id in late))
    wrong += [f"after a 504: {answer!r}" for answer in resolved if not isinstance(answer, Booking)]

    booked = Counter(row.agent_id for row in await reading.rows(stage.booking, "select agent_id from booking"))
    wrong += [f"{agent_id} has {booked[agent_id]} bookings" for agent_id in (*agents, *late) if booked[agent_id] != 1]
    report.fault(
        "F22 keys: 5 at once, other order, after 504", KEYS + UNANSWERED, wrong, f"{KEYS} x 5 at once, {UNANSWERED} unanswered, 2 replicas"
    )


async def test_F23_fifty_clients_on_one_session_never_overbook_and_queue_in_order(stage: Stage, report: Report) -> None:
    await stage.start("booking-1", "booking-2")
    session_id = await open_session(stage, SEATS)
    answers: list[Booking] = []
    seconds: list[float] = []
    wrong: list[str] = []

    async def client() -> None:
        for number in range(EACH):
            began = time.monotonic()
            answer = await insist(stage, session_id, uuid4(), f"order-{number}")
            seconds.append(time.monotonic() - began)
            if isinstance(answer, Booking):
                answers.append(answer)
            else:
                wrong.append(answer.code)

    began = time.monotonic()
    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    rate = len(seconds) / (time.monotonic() - began)

    in_order = sorted(answers, key=lambda answer: answer.session_sequence)
    wrong += ["I1 overbooked"] if any(answer.state is not BookingState.WAITING for answer in in_order[SEATS:]) else []
    wrong += ["I1 a seat was kept back"] if any(answer.state is not BookingState.CONFIRMED for answer in in_order[:SEATS]) else []
    wrong += ["W1 ranks are not 1, 2, 3…"] if [a.rank for a in in_order[SEATS:]] != list(range(1, CLIENTS * EACH - SEATS + 1)) else []
    wrong += [f"I1 {code}" for code in await reading.audit(stage)]
    late = sorted(seconds)[int(len(seconds) * 0.95)]
    wrong += reading.over("p95 of an answer", [late], 0.3)
    report.fault(
        "F23 50 clients, one session", len(seconds), wrong, f"{rate:.0f} orders/s, p95 {late * 1000:.0f} ms, {SEATS} seats, 0 overbooked"
    )

"""What is there when the load has stopped and all has healed: every place that an order leaves a trace, read and compared (I1-I9)."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any
from uuid import UUID

from nats.js.errors import Error as JetStreamError
from nats.js.errors import NotFoundError
from sqlalchemy import text

from services.booking.seats import queries
from services.notify.mail.kinds import kind_for
from shared import clock
from shared.contracts.messages import Event, read_event
from shared.database import Database
from tests.conftest import eventually
from tests.faults import notebook
from tests.faults.checker import History, Verdict, check, differences, order_of
from tests.faults.stage import Stage, agent_of, stage_topology

STREAM = "EVT_BOOKING"
UNSETTLED = ("new", "deferred", "sending")


@dataclass(frozen=True)
class Stored:
    """One message of the stream."""

    seq: int
    event_id: UUID
    aggregate_id: UUID
    version: int


async def rows(database: Database, statement: str) -> Sequence[Any]:
    async with database.connect() as connection:
        return (await connection.execute(text(statement))).all()


async def number(database: Database, what: str) -> int:
    return (await rows(database, f"select count(*) from {what}"))[0][0]


async def stored(stage: Stage) -> list[Stored]:
    js = stage.admin.jetstream()
    state = (await js.stream_info(STREAM)).state
    found: list[Stored] = []
    for first in range(max(state.first_seq, 1), state.last_seq + 1, 200):
        wanted = range(first, min(first + 200, state.last_seq + 1))
        for message in await asyncio.gather(*(js.get_msg(STREAM, seq) for seq in wanted)):
            envelope, event = read_event(message.headers or {}, message.data or b"")
            found.append(Stored(message.seq or 0, envelope.id, event.aggregate_id, event.version))
    return found


async def waiting(stage: Stage) -> list[str]:
    """What is still under way; empty when all is quiet."""
    found: list[str] = []
    for name, database in (("booking", stage.booking), ("notify", stage.notify), ("catalog", stage.catalog)):
        if unpublished := await number(database, "outbox where published_at is null"):
            found.append(f"{unpublished} events of {name} are not published")
    behind = "announcement join session using (session_id) where session_sequence < sequence"
    if unannounced := await number(stage.booking, behind):  # one per second and session: the last ones come after the load
        found.append(f"{unannounced} sessions have counters that are not announced yet")
    for durable in stage_topology().durables:
        if durable.service not in ("booking", "notify"):
            continue
        try:
            info = await stage.admin.jetstream().consumer_info(durable.stream, durable.name)
        except (JetStreamError, NotFoundError):
            found.append(f"{durable.name} is missing")
            continue
        if info.num_pending or info.num_ack_pending:
            found.append(f"{durable.name} has {info.num_pending} pending, {info.num_ack_pending} unacknowledged")
    if unsettled := await number(stage.notify, f"mail where state in {UNSETTLED}"):
        found.append(f"{unsettled} mails are not settled")
    return found


async def quiet(stage: Stage, within: float = 45.0) -> list[str]:
    """I8: all heals by itself, in time; else one line for each thing that did not."""

    async def nothing_waits() -> bool:
        for member in stage.members.values():
            assert not member.process or await member.ready(), f"{member.name} is not ready"
        found = await waiting(stage)
        assert not found, "; ".join(found)
        return True

    try:
        await eventually(nothing_waits, within)
    except Exception as not_healed:
        return [f"I8 not healed after {within:g} s: {not_healed}"]
    return []


async def violations(stage: Stage, history: History, within: float = 45.0, *, refilled: bool = False) -> list[str]:
    """Everything that is wrong after a run. The load has stopped. `refilled`: the stream was made anew, and its order with it."""
    return [
        *await quiet(stage, within),
        *await _bookings(stage, history),
        *await _events(stage, refilled=refilled),
        *await _effects(stage),
        *await _projections(stage),
        *await _mails(stage),
        *(f"I9 {each}" for each in history.wrong[:5]),
    ]


async def _bookings(stage: Stage, history: History) -> list[str]:
    values = {agent_of(value): value for value in history.attempted}
    found = await rows(stage.booking, "select booking_id, agent_id, state from booking")
    verdict: Verdict = check(
        "bookings", attempted=history.attempted, acknowledged=history.acknowledged, seen=[values.get(row.agent_id, "?") for row in found]
    )
    states = {values.get(row.agent_id): (str(row.booking_id), row.state) for row in found}
    wrong = list(verdict.violations)
    wrong += [f"I9 {value} was answered another id than {states[value][0]}" for value, answered in history.acknowledged.items()
              if value in states and states[value][0] != answered]  # fmt: skip
    wrong += [f"I9 {value} was told that it is cancelled" for value in history.cancelled if states[value][1] in ("confirmed", "waiting")]
    wrong += [f"I1 {code}" for code in await audit(stage)]
    seats = "select count(*) from booking where booking.session_id = session.session_id and state = 'confirmed'"
    return [*wrong, *(["I1 overbooked"] if await number(stage.booking, f"session where ({seats}) > capacity") else [])]


async def audit(stage: Stage) -> list[str]:
    """What booking itself finds wrong with its counters and its queue."""
    async with stage.booking.connect() as connection:
        return [finding.code for finding in await queries.audit(connection, clock.now())]


async def _events(stage: Stage, *, refilled: bool) -> list[str]:
    """I2, I5: the outbox and the stream hold the same events; each aggregate's versions stand in order.

    An event that was published to a new stream before the relay saw that it is new stands before its elders: data carries the order.
    """
    recorded = await rows(stage.booking, "select event_id, parked_at from outbox")
    found = await stored(stage)
    first_copies = {each.event_id: each for each in reversed(found)}
    lives: dict[object, list[int]] = defaultdict(list)
    for each in sorted(first_copies.values(), key=lambda each: each.seq):
        lives[each.aggregate_id].append(each.version)
    gone = await rows(
        stage.booking,
        "select booking_id from booking left join outbox on aggregate_id = booking_id group by 1, version having count(*) <> version",
    )
    return [
        *differences("I2 stream", [row.event_id for row in recorded], [each.event_id for each in found]),
        *(order_of("I5 stream", lives) if not refilled else ()),
        *([f"I2 {len(gone)} bookings changed without an event"] if gone else []),
        *([f"I2 {sum(1 for row in recorded if row.parked_at)} events are parked"] if any(row.parked_at for row in recorded) else []),
    ]


async def facts(stage: Stage) -> dict[UUID, Event]:
    """The events that notify hears of."""
    found = await rows(
        stage.booking, "select event_id, cast(headers as text) as headers, payload from outbox where aggregate_type = 'booking'"
    )
    return {UUID(str(row.event_id)): read_event(json.loads(row.headers), row.payload)[1] for row in found}


async def _effects(stage: Stage) -> list[str]:
    """I3: one effect per event, at every consumer, and nothing parked."""
    told = await facts(stage)
    wrong: list[str] = []
    for durable in (notebook.EFFECT, notebook.BATCH):
        done = await rows(stage.notify, f"select event_id from ledger where consumer = '{durable}'")
        wrong += differences(f"I3 effects of {durable}", told, [row.event_id for row in done])
    for durable in (notebook.EFFECT, notebook.BATCH, "notify-bookings"):
        seen = await rows(stage.notify, f"select event_id from inbox where consumer = '{durable}'")
        wrong += differences(f"I2 inbox of {durable}", told, [row.event_id for row in seen])
    for database in (stage.booking, stage.notify):
        if parked := await number(database, "dead_letter where resolved_at is null"):
            wrong.append(f"{parked} dead letters")
    return wrong


async def _projections(stage: Stage) -> list[str]:
    """I6: what notify knows of bookings is what booking says; a projection saw each version once at most, and never an older one."""
    columns = "select booking_id, version, state from"
    source = {tuple(row) for row in await rows(stage.booking, f"{columns} booking")}
    wrong: list[str] = []
    for table in ("latest", "booking"):
        wrong += differences(f"I6 notify.{table}", source, [tuple(row) for row in await rows(stage.notify, f"{columns} {table}")])
    return wrong + await projection_history(stage)


async def projection_history(stage: Stage) -> list[str]:
    """The gate of a projection: each version passes once at most, never after a newer one, and the newest passes (E4)."""
    told: Counter[UUID] = Counter()
    for row in await rows(stage.notify, "select booking_id, version from latest"):
        told[row.booking_id] = row.version
    wrong: list[str] = []
    for durable in (notebook.PROJECTION, notebook.NEWEST):
        lives: dict[UUID, list[int]] = defaultdict(list)
        for row in await rows(stage.notify, f"select booking_id, version from ledger where consumer = '{durable}' order by id"):
            lives[row.booking_id].append(row.version)
        if back := [life for life, found in lives.items() if any(later <= earlier for earlier, later in pairwise(found))]:
            wrong.append(f"I6 {durable}: {len(back)} went back or repeated a version, such as {lives[back[0]]}")
        wrong += differences(f"I6 {durable}", set(told.items()), [(life, max(found)) for life, found in lives.items()])
    return wrong


async def _mails(stage: Stage) -> list[str]:
    """I4: a mail for each fact that calls for one; sent once, or uncertain and shown; none on its own."""
    called_for = [f"{each.aggregate_id}/{each.version}" for each in (await facts(stage)).values() if kind_for(each) is not None]  # pyright: ignore[reportArgumentType]
    written = await rows(stage.notify, "select key, state, message_id from mail")
    wrong = differences("I4 mails", called_for, [row.key.removeprefix("booking/").rsplit("/", 1)[0] for row in written])
    left = Counter(str(message["Message-ID"]) for message in stage.sink.messages)
    sent = {row.message_id: row.state for row in written if row.state in ("sent", "uncertain")}
    wrong += [f"I4 {identity} left {times} times" for identity, times in left.items() if times > 1][:3]
    if lost := [identity for identity, state in sent.items() if state == "sent" and identity not in left]:
        wrong.append(f"I4 {len(lost)} mails are said to be sent and are not")
    if strange := left.keys() - sent.keys():
        wrong.append(f"I4 {len(strange)} mails left and are not said to be sent")
    if failed := [row.state for row in written if row.state in ("failed", "bounced")]:
        wrong.append(f"I4 {len(failed)} mails {failed[0]}")
    return wrong


async def uncertain(stage: Stage) -> int:
    return await number(stage.notify, "mail where state = 'uncertain'")


# --- figures ----------------------------------------------------------------------------------------------------------------------------


async def resumed(database: Database, table: str, column: str, moments: Sequence[float]) -> list[float]:
    """For each moment (seconds since 1970), how long after it the next row was stamped. Both clocks are this machine's."""
    found: list[float] = []
    for moment in moments:
        first = await rows(
            database, f"select extract(epoch from min({column})) as first from {table} where {column} > to_timestamp({moment})"
        )
        found.append(float(first[0].first or float("inf")) - moment)
    return found


async def journeys(stage: Stage) -> list[tuple[float, float]]:
    """When each event was published and when its effect was last written to the ledger, in seconds since 1970."""
    published = {row.event_id: row.published_at for row in await rows(stage.booking, "select event_id, published_at from outbox")}
    done = await rows(stage.notify, f"select event_id, at from ledger where consumer = '{notebook.EFFECT}'")
    return [(published[row.event_id].timestamp(), row.at.timestamp()) for row in done if published.get(row.event_id)]


def crowding() -> float:
    """How many processes wanted each core lately. Limits are those of a machine to itself; on a crowded one they stretch by this much."""
    return max(1.0, max(os.getloadavg()[:2]) / (os.cpu_count() or 1))


def over(name: str, found: Sequence[float], limit: float) -> list[str]:
    late = [each for each in found if each > limit * crowding()]
    return [f"I8 {name}: {len(late)} over {limit:g} s, the worst {max(late):.1f} s"] if late else []


def worst(found: Sequence[float]) -> str:
    return f"{max(found):.1f} s" if found else "-"

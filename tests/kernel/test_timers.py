"""Timers: each fires once, on domain time, in the transaction of what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import clock, telemetry
from shared.database import Database
from shared.errors import NotAllowed
from shared.timers import Timer, TimerPoller, Timers, beat, cancel_timer, release_timer, set_timer

A_SECOND_AGO = -timedelta(seconds=1)
TOMORROW = timedelta(days=1)


@pytest.fixture
async def booking(database: Callable[[str], Awaitable[Database]]) -> Database:
    """A service's database with a table that counts what timers did, in the timers' own transactions."""
    opened = await database("booking")
    async with opened.begin() as tx:
        await tx.execute(text("create table effect (key text not null)"))
    return opened


async def leave_effect(timer: Timer, tx: AsyncConnection) -> None:
    await tx.execute(text("insert into effect (key) values (:key)"), {"key": timer.key})


def timers_of(handler: Callable[[Timer, AsyncConnection], Awaitable[None]] = leave_effect) -> Timers:
    timers = Timers()
    timers.on("offer_expired")(handler)
    return timers


async def given_timer(database: Database, key: str, due_in: timedelta, kind: str = "offer_expired", **payload: Any) -> None:
    async with database.begin() as tx:
        await set_timer(tx, key, clock.now() + due_in, kind, payload)


async def effects(database: Database) -> Sequence[str]:
    async with database.connect() as connection:
        return (await connection.scalars(text("select key from effect order by key"))).all()


async def timer_row(database: Database, key: str) -> Any:
    async with database.connect() as connection:
        return (await connection.execute(text("select * from timer where key = :key"), {"key": key})).one_or_none()


@asynccontextmanager
async def running(*pollers: TimerPoller) -> AsyncGenerator[None]:
    tasks = [asyncio.create_task(poller.run()) for poller in pollers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


async def test_two_pollers_racing_fire_each_of_200_timers_exactly_once(
    booking: Database, database: Callable[[str], Awaitable[Database]], eventually: Callable[..., Awaitable[Any]]
) -> None:
    async with booking.begin() as tx:
        for number in range(200):
            await set_timer(tx, f"offer:{number:03}", clock.now() + A_SECOND_AGO, "offer_expired", {})
    other_replica = await database("booking")

    async with running(TimerPoller(booking, [timers_of()]), TimerPoller(other_replica, [timers_of()])):

        async def all_fired() -> bool:
            return len(await effects(booking)) >= 200

        await eventually(all_fired)

    assert await effects(booking) == [f"offer:{number:03}" for number in range(200)]
    assert await timer_row(booking, "offer:000") is None


async def test_a_poller_killed_before_the_commit_leaves_no_effect_and_the_timer_fires_again(booking: Database) -> None:
    await given_timer(booking, "offer:1", A_SECOND_AGO)
    in_the_middle = asyncio.Event()

    async def dies(timer: Timer, tx: AsyncConnection) -> None:
        await leave_effect(timer, tx)
        in_the_middle.set()
        await asyncio.sleep(60)

    async with running(TimerPoller(booking, [timers_of(dies)])):
        await asyncio.wait_for(in_the_middle.wait(), 5)
    assert await effects(booking) == []

    assert await TimerPoller(booking, [timers_of()]).fire_next()

    assert await effects(booking) == ["offer:1"]


async def test_setting_a_timer_again_moves_it_and_forgets_its_failures(booking: Database) -> None:
    async def fails(timer: Timer, tx: AsyncConnection) -> None:
        raise LookupError

    await given_timer(booking, "offer:1", A_SECOND_AGO)
    assert await TimerPoller(booking, [timers_of(fails)]).fire_next()
    assert (await timer_row(booking, "offer:1")).attempts == 1

    await given_timer(booking, "offer:1", TOMORROW, place=2)

    row = await timer_row(booking, "offer:1")
    assert (row.attempts, row.retry_at, row.last_error, row.payload) == (0, None, None, {"place": 2})
    assert not await TimerPoller(booking, [timers_of()]).fire_next()


async def test_a_cancelled_timer_never_fires_and_cancelling_nothing_is_no_error(booking: Database) -> None:
    await given_timer(booking, "offer:1", A_SECOND_AGO)

    async with booking.begin() as tx:
        await cancel_timer(tx, "offer:1")
        await cancel_timer(tx, "offer:1")

    assert not await TimerPoller(booking, [timers_of()]).fire_next()


async def test_a_timer_is_set_with_its_decision_or_not_at_all(booking: Database) -> None:
    with pytest.raises(NotAllowed):
        async with booking.begin() as tx:
            await set_timer(tx, "offer:1", clock.now(), "offer_expired", {})
            raise NotAllowed

    assert await timer_row(booking, "offer:1") is None


async def test_shifting_the_clock_by_a_day_fires_what_is_due_tomorrow_at_once(
    booking: Database, eventually: Callable[..., Awaitable[Any]]
) -> None:
    await given_timer(booking, "offer:1", TOMORROW)
    poller = TimerPoller(booking, [timers_of()])

    async with running(poller):
        await asyncio.sleep(0.1)
        assert await effects(booking) == []

        clock.shift(TOMORROW + timedelta(seconds=1), "embedded")
        poller.wake()

        async def fired() -> bool:
            return await effects(booking) == ["offer:1"]

        await eventually(fired, within=0.6)


async def test_a_timer_due_now_fires_right_after_its_commit_and_not_at_the_next_poll(
    booking: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.timers.POLL_SECONDS", 5.0)
    fired = asyncio.Event()

    async def tell(timer: Timer, tx: AsyncConnection) -> None:
        fired.set()

    async with running(TimerPoller(booking, [timers_of(tell)])):
        await asyncio.sleep(0.1)

        await given_timer(booking, "offer:1", timedelta(0))

        await asyncio.wait_for(fired.wait(), 1)


async def test_a_timer_fires_at_its_time_within_a_few_hundredths(booking: Database) -> None:
    fired_at: list[datetime] = []
    fired = asyncio.Event()

    async def note(timer: Timer, tx: AsyncConnection) -> None:
        fired_at.append(datetime.now(UTC))
        fired.set()

    await given_timer(booking, "offer:1", timedelta(seconds=0.5))
    due_at = (await timer_row(booking, "offer:1")).due_at

    async with running(TimerPoller(booking, [timers_of(note)])):
        await asyncio.wait_for(fired.wait(), 3)

    assert timedelta(0) <= fired_at[0] - due_at < timedelta(seconds=0.5)


async def test_a_handler_may_set_its_own_timer_again(booking: Database) -> None:
    async def every_day(timer: Timer, tx: AsyncConnection) -> None:
        await leave_effect(timer, tx)
        await set_timer(tx, timer.key, timer.due_at + TOMORROW, timer.kind, timer.payload)

    await given_timer(booking, "sweep", A_SECOND_AGO)
    poller = TimerPoller(booking, [timers_of(every_day)])

    assert await poller.fire_next()
    assert not await poller.fire_next()

    assert await effects(booking) == ["sweep"]
    assert (await timer_row(booking, "sweep")).due_at > clock.now()


async def test_a_failing_timer_waits_longer_each_time_and_its_neighbours_do_not_wait(booking: Database) -> None:
    async def fails_for_one(timer: Timer, tx: AsyncConnection) -> None:
        await leave_effect(timer, tx)
        if timer.key == "offer:1":
            raise LookupError("no such offer")

    await given_timer(booking, "offer:1", 2 * A_SECOND_AGO)
    await given_timer(booking, "offer:2", A_SECOND_AGO)
    poller = TimerPoller(booking, [timers_of(fails_for_one)])

    assert await poller.fire_next()
    assert await poller.fire_next()
    assert not await poller.fire_next()

    assert await effects(booking) == ["offer:2"]
    first = await timer_row(booking, "offer:1")
    assert (first.attempts, first.last_error, first.parked_at) == (1, "LookupError: no such offer", None)
    await asyncio.sleep(0.25)
    before = datetime.now(UTC)
    assert await poller.fire_next()
    second = await timer_row(booking, "offer:1")
    assert second.first_failed_at == first.first_failed_at
    assert timedelta(seconds=0.4) <= second.retry_at - before < timedelta(seconds=1.5)


@pytest.mark.parametrize("error", [LookupError("a bug"), NotAllowed("a rule said no, to nobody")])
async def test_a_timer_that_keeps_failing_is_parked_where_a_human_sees_it_and_released_by_hand(booking: Database, error: Exception) -> None:
    async def fails(timer: Timer, tx: AsyncConnection) -> None:
        raise error

    await given_timer(booking, "offer:1", A_SECOND_AGO)
    poller = TimerPoller(booking, [timers_of(fails)], patience=timedelta(seconds=0.1))

    assert await poller.fire_next()
    await asyncio.sleep(0.25)
    assert await poller.fire_next()
    await asyncio.sleep(0.5)
    assert not await poller.fire_next()
    assert (await timer_row(booking, "offer:1")).parked_at is not None

    async with booking.begin() as tx:
        assert await release_timer(tx, "offer:1")
        assert not await release_timer(tx, "offer:1")
    assert await TimerPoller(booking, [timers_of()]).fire_next()
    assert await effects(booking) == ["offer:1"]


async def test_trouble_with_the_database_never_counts_against_a_timer(booking: Database) -> None:
    async def unlucky(timer: Timer, tx: AsyncConnection) -> None:
        raise ConnectionRefusedError

    await given_timer(booking, "offer:1", A_SECOND_AGO)
    poller = TimerPoller(booking, [timers_of(unlucky)], patience=timedelta(0))

    for _ in range(3):
        assert await poller.fire_next()
        await asyncio.sleep(0.25)

    row = await timer_row(booking, "offer:1")
    assert (row.attempts, row.first_failed_at, row.parked_at) == (0, None, None)


async def test_a_timer_gives_way_to_a_request_that_holds_what_it_needs(booking: Database) -> None:
    async def locks_the_session(timer: Timer, tx: AsyncConnection) -> None:
        await tx.execute(text("lock table effect in exclusive mode"))
        await leave_effect(timer, tx)

    await given_timer(booking, "offer:1", A_SECOND_AGO)
    poller = TimerPoller(booking, [timers_of(locks_the_session)])

    async with booking.begin() as request:  # holds the session, and then wants the timer that is firing
        await request.execute(text("lock table effect in exclusive mode"))
        firing = asyncio.create_task(poller.fire_next())
        await asyncio.sleep(0.2)
        await cancel_timer(request, "offer:1")
    await firing

    assert await effects(booking) == []
    assert not await poller.fire_next()


async def test_a_handler_that_hangs_is_stopped_and_counted_as_a_bug(booking: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.timers.HANDLER_SECONDS", 0.1)

    async def hangs(timer: Timer, tx: AsyncConnection) -> None:
        await asyncio.sleep(60)

    await given_timer(booking, "offer:1", A_SECOND_AGO)
    assert await TimerPoller(booking, [timers_of(hangs)]).fire_next()

    row = await timer_row(booking, "offer:1")
    assert (row.attempts, row.last_error) == (1, "handler_too_slow: timer offer_expired: over 0.1 s")


async def test_a_timer_of_unknown_kind_is_parked_at_once_with_a_code(booking: Database) -> None:
    await given_timer(booking, "offer:1", A_SECOND_AGO, kind="of_a_newer_release")

    assert await TimerPoller(booking, [timers_of()]).fire_next()

    row = await timer_row(booking, "offer:1")
    assert row.parked_at is not None
    assert row.last_error.startswith("unknown_timer_kind")


async def test_a_poller_outlives_a_database_that_goes_away(
    booking: Database, eventually: Callable[..., Awaitable[Any]], monkeypatch: Any
) -> None:
    calls = 0
    connected = booking.begin

    def begin() -> Any:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise ConnectionRefusedError
        return connected()

    await given_timer(booking, "offer:1", A_SECOND_AGO)
    monkeypatch.setattr("shared.timers.POLL_SECONDS", 0.02)
    monkeypatch.setattr(booking, "begin", begin)
    async with running(TimerPoller(booking, [timers_of()])):

        async def fired() -> bool:
            return await effects(booking) == ["offer:1"]

        await eventually(fired)


async def test_a_timer_continues_the_trace_it_was_set_in(booking: Database) -> None:
    telemetry.configure_tracing("booking")
    seen: list[str | None] = []

    async def note(timer: Timer, tx: AsyncConnection) -> None:
        seen.append(telemetry.traceparent())

    with telemetry.tracer.start_as_current_span("book"):
        set_in = telemetry.traceparent() or ""
        await given_timer(booking, "offer:1", A_SECOND_AGO)
    await TimerPoller(booking, [timers_of(note)]).fire_next()

    assert (seen[0] or "").split("-")[1] == set_in.split("-")[1]


async def test_C7_the_poller_beats_at_once_and_says_how_many_timers_wait(
    booking: Database, eventually: Callable[..., Awaitable[Any]]
) -> None:
    await given_timer(booking, "offer:1", TOMORROW)

    async with running(TimerPoller(booking, [timers_of()])):

        async def beaten() -> Any:
            async with booking.connect() as connection:
                return await connection.scalar(
                    text("select beat_at > clock_timestamp() - interval '5 s' from heartbeat where name = 'timers'")
                )

        await eventually(beaten)
        await eventually(lambda: telemetry.TIMERS.labels("waiting")._value.get() == 1)


async def test_C7_a_daily_sweep_beats_under_its_own_name_again_and_again(booking: Database) -> None:
    await beat(booking, "stall_sweep")
    await beat(booking, "stall_sweep")

    async with booking.connect() as connection:
        assert await connection.scalar(text("select count(*) from heartbeat where name = 'stall_sweep'")) == 1


async def test_a_due_date_without_a_zone_is_refused(booking: Database) -> None:
    async with booking.begin() as tx:
        with pytest.raises(ValueError, match="zone"):
            await set_timer(tx, "offer:1", datetime(2027, 3, 1, 9), "offer_expired", {})  # noqa: DTZ001


def test_one_kind_has_one_handler() -> None:
    with pytest.raises(ValueError, match="offer_expired"):
        timers_of().on("offer_expired")(leave_effect)
    with pytest.raises(ValueError, match="offer_expired"):
        TimerPoller(None, [timers_of(), timers_of()])  # type: ignore[arg-type]

"""The demonstration loaded into real services, once, twice, and with mistakes in it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text

from deploy import demo_plan
from deploy.agents import agent_id
from deploy.demo import OPERATOR, load
from deploy.demo_plan import demo_id
from shared.bus import Caller
from shared.contracts.availability import GetAvailability
from shared.contracts.booking import Booking, BookingState, CancelBooking, ListBookings
from shared.contracts.catalog import GetSession, ListSessions, RescheduleSession
from shared.contracts.groups import GroupState, ListGroups
from shared.contracts.projects import GetPortfolio
from shared.contracts.series import DateState, GetSeries
from shared.database import Database
from tests.demo.conftest import Stack

Start = Callable[..., Awaitable[Stack]]
ALL = ("catalog", "booking", "projects", "gateway")
PITCH = demo_id("session", "pitch-mars")
PARIS = ZoneInfo("Europe/Paris")


async def counted(databases: dict[str, Database]) -> Counter[str]:
    """How often each fact was told, seats' announcements aside: they come when they come."""
    found: Counter[str] = Counter()
    for database in databases.values():
        async with database.connect() as connection:
            told = await connection.scalars(text("select subject from outbox where subject not like '%availability%'"))
            found.update(".".join(subject.split(".")[:4]) for subject in told)
    return found


async def settled(databases: dict[str, Database]) -> Counter[str]:
    """The counts once what was loaded has gone round: a session that catalog cancelled ends its bookings a little later."""
    before: Counter[str] = Counter()
    while (now := await counted(databases)) != before:
        before = now
        await asyncio.sleep(2)
    return now


async def place_in_pitch(stack: Stack, sub: str) -> Booking:
    bookings = (await stack.operator.ask(ListBookings(agent_id=agent_id(sub)), OPERATOR)).bookings
    return next(booking for booking in bookings if booking.session_id == PITCH)


async def test_the_demonstration_loads_whole_and_loading_it_again_changes_nothing(start: Start) -> None:
    stack = await start(*ALL)
    seen: list[tuple[str, int, int]] = []

    report = await load(stack.operator, progress=lambda *step: seen.append(step))

    assert [str(refused) for refused in report.refused] == []
    assert (report.exit_code, len(report.skipped), report.done["register_agent"]) == (0, 1, 180)
    assert report.turned_away == ["programme.toml: activities coulisses-d-un-fablab, sessions fablab-mars: overlap"]  # B5
    assert {step: (done, total) for step, done, total in seen} == {
        "agents": (180, 180), "programme": (32, 32), "bookings": (36, 36), "projects": (11, 11), "requests": (10, 10)
    }  # fmt: skip
    events = await settled(stack.databases)

    again = await load(stack.operator)
    assert (again.refused, again.exit_code, report.as_before) == ([], 0, 0)
    assert await counted(stack.databases) == events

    for database in stack.databases.values():  # as after 48 hours
        async with database.begin() as tx:
            await tx.execute(text("delete from idempotency_key"))
    much_later = await load(stack.operator)
    assert (much_later.refused, much_later.exit_code) == ([], 0)
    assert await counted(stack.databases) == events


async def test_what_people_find_on_1_march(start: Start) -> None:
    stack = await start(*ALL)
    await load(stack.operator)
    ask = stack.operator.ask

    sessions = (await ask(ListSessions(limit=200), OPERATOR)).sessions
    assert len(sessions) == 35
    moved = await ask(GetSession(session_id=demo_id("session", "jeudis-2027-02-11")), OPERATOR)
    assert (moved.version, moved.starts_at) == (2, datetime(2027, 3, 4, 12, 30, tzinfo=PARIS))
    assert (await ask(GetSession(session_id=demo_id("session", "jeudis-2027-05-20")), OPERATOR)).status == "cancelled"

    counters = {
        each.session_id: each
        for each in (await ask(GetAvailability(session_ids=tuple(each.session_id for each in sessions)), OPERATOR)).sessions
    }
    assert (counters[PITCH].held, counters[PITCH].waiting) == (12, 9)
    graphic = counters[demo_id("session", "facilitation-graphique-mars")]
    assert (graphic.held, graphic.waiting) == (12, 31)
    assert counters[demo_id("session", "codeveloppement-printemps")].held == 8
    assert counters[demo_id("session", "prototyper-dix-places")].held == 0

    (group,) = (await ask(ListGroups(contact_agent_id=agent_id("agent-0001")), OPERATOR)).groups
    assert (group.state, group.seats_needed, group.seats_held, group.rank) == (GroupState.WAITING, 14, 12, 1)

    first_in_queue = await place_in_pitch(stack, "agent-0002")
    assert (first_in_queue.state, first_in_queue.rank) == (BookingState.WAITING, 1)
    mine = (await ask(ListBookings(agent_id=agent_id("agent-0001")), OPERATOR)).bookings
    assert BookingState.CONFIRMED in {booking.state for booking in mine}

    lead = Caller(actor=str(agent_id("agent-0003")), roles=frozenset({"agent"}))
    portfolio = await ask(GetPortfolio(agent_id=agent_id("agent-0003")), lead)
    assert [engagement.title for engagement in portfolio.engagements] == ["Une carte partagée des friches"]


async def test_T2_the_thursdays_are_a_series_with_ascension_skipped_one_date_moved_and_one_cancelled(start: Start) -> None:
    stack = await start(*ALL)
    report = await load(stack.operator)

    thursdays = await stack.operator.ask(GetSeries(series_id=demo_id("series", "jeudis")), OPERATOR)

    assert report.skipped == ["programme.toml: series jeudis, dates 2027-05-06: Ascension"]
    assert [(each.on - thursdays.anchor).days for each in thursdays.dates] == list(range(0, 13 * 14, 14))
    assert Counter(each.state for each in thursdays.dates) == {DateState.SCHEDULED: 11, DateState.MOVED: 1, DateState.SKIPPED: 1}
    assert [f"{each.periods[0].local_start:%H:%M}" if each.periods else "" for each in thursdays.dates] == (
        ["12:30", "17:30"] * 4 + [""] + ["17:30", "12:30"] * 2
    )
    assert [(each.on.isoformat(), str(each.held_on)) for each in thursdays.dates if each.overridden] == [
        ("2027-02-11", "2027-03-04"), ("2027-05-20", "2027-05-20")
    ]  # fmt: skip
    assert [each.on.isoformat() for each in thursdays.dates if each.session_status == "cancelled"] == ["2027-05-20"]


async def test_T2_a_date_off_the_grid_is_refused_and_the_hole_it_leaves_is_told(start: Start, tmp_path: Path) -> None:
    stack = await start(*ALL)
    shutil.copytree(demo_plan.FOLDER, tmp_path / "demo")
    programme = tmp_path / "demo" / "programme.toml"
    written = programme.read_text(encoding="utf-8")
    programme.write_text(written.replace('date = "2027-04-08"', 'date = "2027-04-09"', 1), encoding="utf-8")

    report = await load(stack.operator, tmp_path / "demo")

    assert [(refused.entry, refused.field, refused.code) for refused in report.refused] == [
        ("programme.toml: series jeudis, dates 2027-04-09", "date", "data_file_invalid"),
        ("programme.toml: series jeudis, dates 2027-04-08", "date", "data_file_invalid"),
    ]
    thursdays = await stack.operator.ask(GetSeries(series_id=demo_id("series", "jeudis")), OPERATOR)
    assert [each.on.isoformat() for each in thursdays.dates if each.state is DateState.TO_DECIDE] == ["2027-04-08"]
    assert len((await stack.operator.ask(ListSessions(limit=200), OPERATOR)).sessions) == 34


async def test_a_session_the_lab_cancels_was_booked_before(start: Start, eventually: Callable[..., Awaitable[object]]) -> None:
    stack = await start(*ALL)
    await load(stack.operator)

    async def cancelled_by_lab() -> bool:
        bookings = (await stack.operator.ask(ListBookings(agent_id=agent_id("agent-0006")), OPERATOR)).bookings
        return BookingState.CANCELLED_BY_LAB in {booking.state for booking in bookings}

    await eventually(cancelled_by_lab)


async def test_what_people_did_since_survives_the_next_load(start: Start) -> None:
    stack = await start(*ALL)
    await load(stack.operator)
    moved = demo_id("session", "jeudis-2027-02-11")
    agent = Caller(actor=str(agent_id("agent-0001")), roles=frozenset({"agent"}))
    await stack.operator.ask(CancelBooking(booking_id=(await place_in_pitch(stack, "agent-0001")).booking_id), agent)
    there = await stack.operator.ask(GetSession(session_id=moved), OPERATOR)
    later = there.periods[0].model_copy(update={"local_start": datetime(2027, 3, 5, 12, 30), "local_end": datetime(2027, 3, 5, 13, 30)})  # noqa: DTZ001
    await stack.operator.ask(RescheduleSession(session_id=moved, periods=(later,)), OPERATOR)
    for database in stack.databases.values():
        async with database.begin() as tx:
            await tx.execute(text("delete from idempotency_key"))

    report = await load(stack.operator)

    assert report.exit_code == 0
    assert (await place_in_pitch(stack, "agent-0001")).state is BookingState.CANCELLED_BY_AGENT
    offer = (await place_in_pitch(stack, "agent-0002")).offer
    assert offer is not None, "the head of the queue is asked (W2)"
    assert (await stack.operator.ask(GetSession(session_id=moved), OPERATOR)).version == 3


async def test_a_mistake_in_the_files_costs_its_own_entry_and_the_exit_code(start: Start, tmp_path: Path) -> None:
    stack = await start(*ALL)
    shutil.copytree(demo_plan.FOLDER, tmp_path / "demo")
    programme = tmp_path / "demo" / "programme.toml"
    wrong = programme.read_text(encoding="utf-8")
    for old, new in (
        ('name = "Le Hangar du Bief"\nkind', 'nom = "Le Hangar du Bief"\nkind'),  # its venue is then without a host
        ("capacity = 14\nquorum = 8", "capacity = 44\nquorum = 8"),  # a room of 20
        ('"2027-05-18 09:00-12:30"', '"2027-05-17 09:00-12:30"'),  # a Monday, where it is closed
        ("quorum = 5", "quorum = 9"),
    ):
        assert old in wrong
        wrong = wrong.replace(old, new, 1)
    programme.write_text(wrong, encoding="utf-8")

    report = await load(stack.operator, tmp_path / "demo")

    assert {(refused.entry.removeprefix("programme.toml: "), refused.code) for refused in report.refused} == {
        ("hosts bief", "data_file_invalid"),
        ("venues bief-hangar", "host_unknown"),
        ("activities lean-arriere-guichet, sessions lean-avril", "venue_too_small"),
        ("activities parcours-d-accueil, sessions parcours-rodez", "venue_closed"),
        ("activities codeveloppement, sessions codeveloppement-printemps", "quorum_too_high"),
    }
    assert report.exit_code == 1
    assert len((await stack.operator.ask(ListSessions(limit=200), OPERATOR)).sessions) == 32


async def test_a_service_that_starts_late_is_waited_for(start: Start) -> None:
    stack = await start("catalog", "gateway", "projects")
    loading = asyncio.create_task(load(stack.operator))
    await asyncio.sleep(0.5)

    await start("booking")

    assert (await loading).exit_code == 0


async def test_a_service_that_never_comes_is_told_without_losing_the_rest(start: Start) -> None:
    stack = await start("catalog", "booking", "gateway")

    report = await load(stack.operator, patience=15)  # enough for what is there, on a busy machine

    assert Counter(refused.code for refused in report.refused)["unavailable"] == len(report.refused) > 0
    assert all(refused.entry.startswith("projects.toml") for refused in report.refused)
    assert report.exit_code == 1

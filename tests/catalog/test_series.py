"""Series on a real Postgres: what is made at once, what it says, what it refuses, and two editors at the same time (T1-T4)."""

from __future__ import annotations

from asyncio import gather
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from services.catalog.activities import domain as activities
from services.catalog.activities.handlers import schedule_session
from services.catalog.changes.handlers import change_series, preview_series_change
from services.catalog.series import domain
from services.catalog.series.handlers import decide_date, generate_series, get_series, plan_series
from shared.contracts.catalog import ActivityType
from shared.contracts.details import InnovationThursdayDetails
from shared.contracts.series import (
    ChangeSeries,
    DateContent,
    DateState,
    DecideDate,
    GetSeries,
    HolidayPolicy,
    PlanSeries,
    PreviewSeriesChange,
)
from shared.database import Database, constraint_of
from shared.errors import NotAllowed, Refused
from tests.catalog.givens import (
    AGENT,
    DEMONSTRATION,
    LAB_TEAM,
    OPERATOR,
    an_order,
    given_activity,
    given_venue,
    local,
    payloads,
    shift_to,
    told,
)
from tests.catalog.series_givens import an_order_of_seven, ask, given_series, preview, read

Open = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def catalog(database: Open) -> Database:
    shift_to(DEMONSTRATION)
    return await database("catalog")


# --- making one --------------------------------------------------------------------------------------------------------------------------


async def test_T2_a_series_and_its_sessions_are_made_and_told_together(catalog: Database) -> None:
    series = await given_series(catalog)

    assert [each.state.value for each in series.dates] == ["scheduled"] * 4 + ["skipped"] + ["scheduled"] * 2
    assert (series.dates[4].reason, series.dates[4].session_id) == ("Ascension", None)
    assert [f"{each.periods[0].local_start:%d/%m %H:%M}" for each in series.dates if each.periods] == [
        "11/03 12:30", "25/03 17:30", "08/04 12:30", "22/04 17:30", "20/05 17:30", "03/06 12:30"
    ]  # fmt: skip
    assert await told(catalog) == [("activity_published", 1), *[("session_scheduled", 1)] * 6, ("series_generated", 1)]
    assert [each["state"] for each in (await payloads(catalog))[-1]["dates"]] == [each.state for each in series.dates]


async def test_a_plan_says_the_same_and_writes_nothing(catalog: Database) -> None:
    order = await an_order_of_seven(catalog)

    plan = await plan_series(PlanSeries(**order.model_dump(exclude={"series_id"})), LAB_TEAM, catalog)
    before = await told(catalog)
    series = await ask(catalog, generate_series, order)

    assert before == [("activity_published", 1)]
    assert [(each.state, each.periods, each.reason) for each in plan.dates] == [
        (each.state, each.periods, each.reason) for each in series.dates
    ]
    assert [warning.code.value for warning in plan.dates[2].warnings] == ["school_holiday"]  # 8 April


async def test_a_plan_tells_whose_venue_and_whose_host_are_taken(catalog: Database) -> None:
    host = await _host(catalog)
    order = await an_order_of_seven(catalog, activity_id=await given_activity(catalog, host_id=host))
    other = {"periods": (local("2027-03-11", "13:00", "14:00"),), "capacity": 10}
    in_venue = an_order(activity_id=await given_activity(catalog), venue_id=order.venue_id, **other)
    of_host = an_order(activity_id=await given_activity(catalog, host_id=host), venue_id=await given_venue(catalog), **other)
    for each in (in_venue, of_host):
        await ask(catalog, schedule_session, each)

    plan = await plan_series(PlanSeries(**order.model_dump(exclude={"series_id"})), LAB_TEAM, catalog)

    assert {(each.code.value, each.session_id) for each in plan.dates[0].warnings} == {
        ("venue_taken", in_venue.session_id), ("host_taken", of_host.session_id)
    }  # fmt: skip
    assert plan.dates[1].warnings == ()


async def test_a_plan_tells_who_seems_to_speak_elsewhere_at_these_hours(catalog: Database) -> None:
    talk: Any = {"activity_type": ActivityType.INNOVATION_THURSDAY}
    said = [InnovationThursdayDetails(speakers=speakers) for speakers in (("une urbaniste", "un maire"), ("un maire",), ("une maire",))]
    order = await an_order_of_seven(catalog, activity_id=await given_activity(catalog, details=said[0], **talk))
    other: Any = {"periods": (local("2027-03-11", "13:00", "14:00"),), "capacity": 10}
    same, another = [
        an_order(activity_id=await given_activity(catalog, details=each, **talk), venue_id=await given_venue(catalog), **other)
        for each in said[1:]
    ]
    for each in (same, another):
        await ask(catalog, schedule_session, each)

    plan = await plan_series(PlanSeries(**order.model_dump(exclude={"series_id"})), LAB_TEAM, catalog)

    assert [(each.code.value, each.session_id) for each in plan.dates[0].warnings] == [("speaker_taken", same.session_id)]


async def test_a_series_asked_for_twice_or_by_ten_at_once_is_made_once(catalog: Database) -> None:
    order = await an_order_of_seven(catalog)

    answers = await gather(*(ask(catalog, generate_series, order) for _ in range(10)))

    assert {answer.model_dump_json() for answer in answers} == {answers[0].model_dump_json()}
    assert Counter(fact for fact, _ in await told(catalog)) == {"activity_published": 1, "session_scheduled": 6, "series_generated": 1}
    with pytest.raises(domain.SeriesExists):
        await ask(catalog, generate_series, order.model_copy(update={"capacity": 41}))


async def test_a_date_that_is_refused_refuses_the_series_and_says_which(catalog: Database) -> None:
    small = await given_venue(catalog, capacity=12)
    order = await an_order_of_seven(catalog, dates=(DateContent(on=date(2027, 4, 8), venue_id=small),))

    with pytest.raises(activities.VenueTooSmall) as refused:
        await ask(catalog, generate_series, order)

    assert refused.value.members["on"] == "2027-04-08"
    assert await told(catalog) == [("activity_published", 1)]
    with pytest.raises(domain.SeriesUnknown):
        await read(catalog, order.series_id)


async def test_only_an_operator_makes_a_series_that_has_begun(catalog: Database) -> None:
    order = await an_order_of_seven(catalog, anchor=date(2027, 2, 25), until=date(2027, 3, 25))

    with pytest.raises(activities.SessionInPast):
        await ask(catalog, generate_series, order, LAB_TEAM)

    assert len((await ask(catalog, generate_series, order, OPERATOR)).dates) == 3


async def test_a_session_of_before_series_is_taken_over_and_one_of_another_content_or_series_is_not(catalog: Database) -> None:
    order = await an_order_of_seven(catalog)
    first = an_order(
        activity_id=order.activity_id, venue_id=order.venue_id, periods=(local("2027-03-11", "12:30", "13:30"),), capacity=40
    )  # fmt: skip
    await ask(catalog, schedule_session, first)
    order = order.model_copy(update={"dates": (DateContent(on=date(2027, 3, 11), session_id=first.session_id),)})

    series = await ask(catalog, generate_series, order)

    assert series.dates[0].session_id == first.session_id
    assert Counter(fact for fact, _ in await told(catalog))["session_scheduled"] == 6
    with pytest.raises(activities.SessionExists):
        await ask(catalog, generate_series, order.model_copy(update={"series_id": uuid4()}))
    with pytest.raises(activities.SessionExists):
        await ask(
            catalog, generate_series, order.model_copy(update={"series_id": uuid4(), "capacity": 39, "dates": _on(await _alone(catalog))})
        )


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"activity_id": uuid4()}, "activity_unknown"),
        ({"venue_id": uuid4()}, "venue_unknown"),
        ({"zone": "Europe/Lutèce"}, "periods_invalid"),
        ({"until": date(2027, 3, 10)}, "series_empty"),
        ({"dates": (DateContent(on=date(2027, 3, 12)),)}, "date_off_grid"),
    ],
)
async def test_what_cannot_be_is_refused_by_the_plan_and_by_the_order(catalog: Database, changed: dict[str, Any], code: str) -> None:
    order = (await an_order_of_seven(catalog)).model_copy(update=changed)

    with pytest.raises(Refused) as planned:
        await plan_series(PlanSeries(**order.model_dump(exclude={"series_id"})), LAB_TEAM, catalog)
    with pytest.raises(Refused) as made:
        await ask(catalog, generate_series, order)

    assert (planned.value.code, made.value.code) == (code, code)


async def test_nobody_but_the_lab_sees_or_makes_series(catalog: Database) -> None:
    order = await an_order_of_seven(catalog)
    series = await ask(catalog, generate_series, order)
    change: dict[str, Any] = {"series_id": series.series_id, "scope": "all", "capacity": 30, "reason": "pour voir"}
    decision = DecideDate(series_id=series.series_id, grid_index=4, decision="skip", reason="pour voir")

    for refused in (
        lambda: ask(catalog, generate_series, order, AGENT),
        lambda: ask(catalog, decide_date, decision, AGENT),
        lambda: ask(catalog, change_series, ChangeSeries(**change, fingerprint="x"), AGENT),
        lambda: preview_series_change(PreviewSeriesChange(**change), AGENT, catalog),
        lambda: plan_series(PlanSeries(**order.model_dump()), AGENT, catalog),
        lambda: get_series(GetSeries(series_id=series.series_id), AGENT, catalog),
    ):
        with pytest.raises(NotAllowed):
            await refused()


# --- deciding a date ---------------------------------------------------------------------------------------------------------------------


async def test_T2_a_date_that_asks_is_decided_once_and_scheduled(catalog: Database) -> None:
    series = await given_series(catalog, policy=HolidayPolicy.ASK)
    assert series.dates[4].state is DateState.TO_DECIDE
    order = DecideDate(
        series_id=series.series_id, grid_index=4, decision="move", to=date(2027, 5, 11), reason="Le mardi suivant convient à tous."
    )  # fmt: skip

    decided = await ask(catalog, decide_date, order)
    assert await ask(catalog, decide_date, order) == decided

    one = decided.dates[4]
    assert (one.state, one.held_on, one.session_status, one.reason) == (DateState.MOVED, date(2027, 5, 11), "scheduled", order.reason)
    assert one.periods[0].local_start == datetime(2027, 5, 11, 12, 30)  # noqa: DTZ001 - wall clock
    assert (await told(catalog))[-2:] == [("session_scheduled", 1), ("series_changed", 2)]
    assert order.reason not in str((await payloads(catalog))[-1])  # what a person wrote stays out of events
    with pytest.raises(domain.DateAlreadyDecided):
        await ask(catalog, decide_date, order.model_copy(update={"decision": "skip"}))


async def test_T2_a_date_that_a_holiday_took_away_is_taken_back_with_a_session_of_its_own(catalog: Database) -> None:
    series = await given_series(catalog)
    gone = next(each for each in series.dates if each.state is DateState.SKIPPED)
    order = DecideDate(
        series_id=series.series_id, grid_index=gone.grid_index, decision="move", to=gone.on + timedelta(days=5), reason="Trop demandée"
    )  # fmt: skip

    back = (await ask(catalog, decide_date, order)).dates[gone.grid_index]

    assert (back.state, back.held_on, back.session_status) == (DateState.MOVED, order.to, "scheduled")
    assert (await told(catalog))[-2:] == [("session_scheduled", 1), ("series_changed", 2)]


async def test_two_who_decide_one_date_at_once_schedule_it_once(catalog: Database) -> None:
    series = await given_series(catalog, policy=HolidayPolicy.ASK)
    orders = [
        DecideDate(series_id=series.series_id, grid_index=4, decision="move", to=day, reason="Décidé en équipe")
        for day in (date(2027, 5, 4), date(2027, 5, 11))
    ]

    answers = await gather(*(ask(catalog, decide_date, order) for order in orders), return_exceptions=True)

    assert sorted(type(answer).__name__ for answer in answers) == ["DateAlreadyDecided", "SeriesState"]


# --- what the database swears ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        ("insert into series_date select * from series_date where state = 'skipped'", "series_date_pkey"),
        ("update series_date set session_id = null where grid_index = 0", "series_date_held_or_not"),
        ("update series_date set held_on = on_date where state = 'skipped'", "series_date_held_or_not"),
        ("update series_date set reason = null where state = 'skipped'", "series_date_explained"),
        ("update series_date set held_on = held_on + 1 where state = 'scheduled'", "series_date_scheduled_on_the_grid"),
        ("update series_date set root_id = gen_random_uuid()", "series_date_of_its_series"),
        (
            "update series_date set session_id = (select session_id from series_date where grid_index = 1) where grid_index = 0",
            "series_date_session_of_one",
        ),
        ("update series set every_weeks = 9", "series_every_one_to_eight_weeks"),
        ("update series set times = '[]'", "series_times_written"),
        ("update series set previous_series_id = series_id", "series_first_is_its_own_root"),
    ],
)
async def test_T2_the_database_swears_to_what_a_date_is(catalog: Database, statement: str, constraint: str) -> None:
    await given_series(catalog)

    with pytest.raises(IntegrityError) as broken:
        async with catalog.begin() as tx:
            await tx.execute(text(statement))

    assert constraint_of(broken.value) == constraint


async def test_T4_the_database_swears_that_linked_series_hold_a_date_once_and_continue_once(catalog: Database) -> None:
    series = await given_series(catalog)
    _, order = await preview(catalog, series, scope="following", grid_index=3, capacity=30)
    opened = await ask(catalog, change_series, order)

    for statement, constraint in (
        ("update series_date set grid_index = 0 where series_id = :id and grid_index = 3", "series_date_covered_once"),
        (
            """insert into series select (jsonb_populate_record(one, jsonb_build_object('series_id', gen_random_uuid()))).*
            from series one where series_id = :id""",
            "series_continued_once",
        ),
    ):
        with pytest.raises(IntegrityError) as broken:
            async with catalog.begin() as tx:
                await tx.execute(text(statement), {"id": opened.series_id})
        assert constraint_of(broken.value) == constraint


async def _alone(catalog: Database) -> UUID:
    """A session that was scheduled by itself, with another content."""
    order = an_order(activity_id=await given_activity(catalog), venue_id=await given_venue(catalog))
    return (await ask(catalog, schedule_session, order)).session_id


def _on(session_id: UUID) -> tuple[DateContent, ...]:
    return (DateContent(on=date(2027, 3, 11), session_id=session_id),)


async def _host(catalog: Database) -> UUID:
    async with catalog.connect() as connection:
        venue_id = await given_venue(catalog)
        return (await connection.execute(text("select host_id from venue where venue_id = :id"), {"id": venue_id})).scalar_one()

"""The demonstration's files: what they hold, and what a person is told who makes a mistake in them."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import pytest

from deploy import demo_plan
from deploy.agents import read_agents
from deploy.demo_plan import Plan, demo_id, read_plan
from deploy.demo_tables import RefusedEntry
from shared.contracts.catalog import ActivityType, DeliveryMode, LocalPeriod
from shared.contracts.series import HolidayPolicy

PLAN = read_plan()
SESSIONS = {session.schedule.session_id: session for activity in PLAN.activities for session in activity.sessions}


def session(slug: str) -> demo_plan.PlannedSession:
    return SESSIONS[demo_id("session", slug)]


def start(slug: str) -> datetime:
    return session(slug).schedule.periods[0].local_start


# --- what they hold ----------------------------------------------------------------------------------------------------------------------


def test_nothing_is_wrong_in_the_files_that_are_shipped() -> None:
    assert [str(refused) for refused in PLAN.refused] == []


def test_twelve_hosts_with_venues_from_8_to_45_seats_two_without_step_free_access_and_one_closed_on_mondays() -> None:
    venues = [venue for _, venue in PLAN.venues]

    assert len(PLAN.hosts) == 12
    assert {venue.host_id for venue in venues} == {host.host_id for _, host in PLAN.hosts}
    assert (min(venue.capacity for venue in venues), max(venue.capacity for venue in venues)) == (8, 45)
    assert sum(not venue.step_free_access for venue in venues) == 2
    assert [venue.closed_weekdays for venue in venues if venue.closed_weekdays] == [(1,)]


def test_the_five_types_are_there() -> None:
    activities = [*PLAN.activities, *(each.activity for series in PLAN.series for each in series.dates)]

    assert {activity.draft.activity_type for activity in activities} == set(ActivityType)


def test_T2_the_thursdays_are_asked_of_catalog_every_two_weeks_with_what_each_of_twelve_dates_holds() -> None:
    (thursdays,) = PLAN.series
    order, dates = thursdays.order, thursdays.dates
    on = [each.content.on for each in dates]

    assert (order.anchor, order.until, order.every_weeks, order.policy) == (date(2027, 1, 14), date(2027, 7, 1), 2, HolidayPolicy.SKIP)
    assert [f"{turn[0].start:%H:%M}-{turn[0].end:%H:%M}" for turn in order.times] == ["12:30-13:30", "17:30-18:30"]
    assert (order.capacity, order.remote_capacity, order.dates) == (40, 200, ())
    assert [(day - date(2027, 1, 14)).days // 14 for day in on] == [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12]
    assert {each.activity.draft.activity_type for each in dates} == {ActivityType.INNOVATION_THURSDAY}
    assert [each.content.session_id for each in dates] == [demo_id("session", f"jeudis-{day}") for day in on]
    assert [day.isoformat() for day, each in zip(on, dates, strict=True) if each.move] == ["2027-02-11"]
    assert [day.isoformat() for day, each in zip(on, dates, strict=True) if each.cancel] == ["2027-05-20"]


def test_the_six_trainings_have_the_seats_and_the_queues_that_were_asked_for() -> None:
    seats = {
        slug: (session(slug).schedule.capacity, len(session(slug).booked_by))
        for slug in (
            "pitch-mars",
            "codeveloppement-printemps",
            "lean-avril",
            "facilitation-graphique-mars",
            "creativite-mende",
            "animer-a-distance-avril",
        )
    }

    assert seats == {
        "pitch-mars": (12, 12 + 9),
        "codeveloppement-printemps": (8, 8),
        "lean-avril": (14, 9),
        "facilitation-graphique-mars": (12, 12 + 31),
        "creativite-mende": (16, 4),
        "animer-a-distance-avril": (25, 17),
    }
    assert start("pitch-mars") == datetime.fromisoformat("2027-03-18T14:00")
    assert (session("creativite-mende").schedule.quorum or 0) > 4
    assert session("prototyper-dix-places").schedule.capacity == 10
    assert session("prototyper-dix-places").booked_by == ()


def test_T1_one_booking_holds_a_lunch_before_and_one_after_the_change_to_summer_time() -> None:
    periods = session("dejeuner-printemps").schedule.periods

    assert [f"{period.local_start:%d/%m %H:%M}" for period in periods] == ["25/03 12:30", "08/04 12:30"]


def kept(one: demo_plan.PlannedSession) -> tuple[LocalPeriod, ...]:
    return (one.move.periods if one.move else None) or one.schedule.periods


def test_no_agent_is_booked_twice_at_the_same_time_nor_in_more_than_three_trainings_and_visits() -> None:
    """B5 and B10 will refuse it one day; the same slot is for the demonstration to try, not for the files."""
    limited = {
        activity.draft.activity_id
        for activity in PLAN.activities
        if activity.draft.activity_type in {ActivityType.TRAINING, ActivityType.LABTOUR}
    }
    remote = {activity.draft.activity_id for activity in PLAN.activities if activity.draft.delivery_mode is not DeliveryMode.IN_PERSON}
    count = Counter[object]()
    slots = dict[object, list[tuple[datetime, datetime]]]()
    for one in SESSIONS.values():
        for agent in one.booked_by:
            count[agent] += one.schedule.activity_id in limited
            if one.schedule.activity_id not in remote:
                slots.setdefault(agent, []).extend((period.local_start, period.local_end) for period in kept(one))

    assert max(count.values()) <= 3
    for mine in slots.values():
        ordered = sorted(mine)
        assert all(earlier[1] <= later[0] for earlier, later in itertools.pairwise(ordered))


def test_a_session_has_a_room_that_is_open_and_large_enough() -> None:
    venues = {venue.venue_id: venue for _, venue in PLAN.venues}
    for one in SESSIONS.values():
        if one.schedule.venue_id:
            venue = venues[one.schedule.venue_id]
            assert one.schedule.capacity <= venue.capacity, one.entry
            assert all(period.local_start.isoweekday() not in venue.closed_weekdays for period in kept(one)), one.entry
    for series in PLAN.series:
        for each in series.dates:
            assert each.content.venue_id
            assert series.order.capacity <= venues[each.content.venue_id].capacity, each.entry


def test_eight_projects_are_accompanied_and_every_agent_of_the_directory_is_registered() -> None:
    assert sum(project.decide is not None and project.decide.decision.startswith("accepted") for project in PLAN.projects) == 8
    assert {str(project.close.outcome) for project in PLAN.projects if project.close} == {"adopted", "abandoned"}
    assert {request.agent_id for _, request in PLAN.agents} == {agent.agent_id for agent in read_agents()}


def test_ids_do_not_depend_on_the_machine() -> None:
    assert str(demo_id("session", "pitch-mars")) == "ea626811-624d-55b8-871e-99383d0ec254"


# --- what is told of a mistake -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def spoil(tmp_path: Path) -> Callable[[str, str, str], Plan]:
    """`spoil(file, old, new)`: the plan of a copy in which `old` is written `new`."""
    shutil.copytree(demo_plan.FOLDER, tmp_path / "demo")

    def change(file: str, old: str, new: str) -> Plan:
        path = tmp_path / "demo" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return read_plan(tmp_path / "demo")

    return change


def size(plan: Plan) -> int:
    sessions = sum(len(activity.sessions) for activity in plan.activities)
    dates = 2 * sum(len(series.dates) for series in plan.series)  # an activity and a session each
    return len(plan.agents) + len(plan.hosts) + len(plan.venues) + len(plan.activities) + sessions + dates + len(plan.projects)


VENUE = "programme.toml: venues bief-hangar"
PITCH = "programme.toml: activities pitch-en-5-minutes, sessions pitch-mars"


@pytest.mark.parametrize(
    ("file", "old", "new", "entry", "field", "lost"),
    [
        ("programme.toml", "capacity = 24\nstep", 'capacity = "24"\nstep', VENUE, "capacity", 1),
        ("programme.toml", "capacity = 24\nstep", "capacity = true\nstep", VENUE, "capacity", 1),
        ("programme.toml", "capacity = 24\nstep", "capacity = 0\nstep", VENUE, "capacity", 1),
        ("programme.toml", "capacity = 24\nstep", "capacity = 24\ncapacite = 2\nstep", VENUE, "capacite", 1),
        ("programme.toml", 'host = "bief"\n', "", VENUE, "host", 1),
        ("programme.toml", 'host = "bief"\n', 'host = "bieff"\n', VENUE, "host", 1),
        ("programme.toml", 'closed = ["lundi"]', 'closed = ["monday"]', "programme.toml: venues fil-et-outil-atelier", "closed.0", 1),
        ("programme.toml", '["2027-03-18 14:00-17:30"]', '["2027-02-30 14:00-17:30"]', PITCH, "periods.0", 1),
        ("programme.toml", '["2027-03-18 14:00-17:30"]', '["le 18 mars à 14 h"]', PITCH, "periods.0", 1),
        ("programme.toml", '["2027-03-18 14:00-17:30"]', "[2027-03-18]", PITCH, "periods.0", 1),
        ("programme.toml", '"agent-0017..agent-0026"', '"agent-0026..agent-0017"', PITCH, "booked_by", 1),
        ("programme.toml", '"agent-0017..agent-0026"', '"agent-0190"', PITCH, "booked_by", 1),
        ("programme.toml", 'slug = "pitch-juin"', 'slug = "pitch-mars"', PITCH, "slug", 1),
        (
            "programme.toml",
            'slug = "fablab-mai"',
            'slug = "pitch-mars"',
            "programme.toml: activities coulisses-d-un-fablab, sessions pitch-mars",
            "slug",
            1,
        ),
        ("programme.toml", 'type = "training"', 'type = "party"', "programme.toml: activities pitch-en-5-minutes", "type", 3),
        (
            "programme.toml",
            'title = "La soirée des présentations courtes"',
            'title = "x"',
            "programme.toml: series jeudis, dates 2027-06-17",
            "title",
            2,
        ),
        ("agents.toml", 'email = "garonne.tilleul@exemple.invalid"', 'email = "garonne"', "agents.toml: agents agent-0001", "email", 1),
        ("agents.toml", 'org_unit = "DDT-46"', 'org_unit = "DDT-99"', "agents.toml: agents agent-0025", "org_unit", 1),
        ("projects.toml", 'lead = "agent-0043"', 'lead = "nobody"', "projects.toml: projects rappel-sms", "lead", 1),
        (
            "projects.toml",
            'outcome = "adopted"',
            'outcome = "gagné"',
            "projects.toml: projects veille-canicule",
            "engagement.closing.outcome",
            1,
        ),
        (
            "projects.toml",
            'starts_on = "2027-01-11"',
            "starts_on = 2027-01-11",
            "projects.toml: projects carte-des-friches",
            "engagement.starts_on",
            1,
        ),
    ],
)
def test_a_wrong_entry_is_named_with_its_field_and_spoils_only_itself(
    spoil: Callable[[str, str, str], Plan], file: str, old: str, new: str, entry: str, field: str, lost: int
) -> None:
    plan = spoil(file, old, new)

    (refused,) = plan.refused
    assert (refused.entry, refused.field, refused.code) == (entry, field, "data_file_invalid")
    assert refused.detail
    assert size(plan) == size(PLAN) - lost


def test_T2_a_date_that_does_not_exist_leaves_the_other_eleven(spoil: Callable[[str, str, str], Plan]) -> None:
    plan = spoil("programme.toml", 'date = "2027-04-08"', 'date = "2027-04-88"')

    assert [(each.entry, each.field) for each in plan.refused] == [("programme.toml: series jeudis, dates 2027-04-88", "date")]
    assert size(plan) == size(PLAN) - 2  # that activity and its session


@pytest.mark.parametrize(
    "spoilt", [b"hosts = [", b"\xff\xfe\x00", b"hosts = 3\n", b"[[hosts]]\nslug = 'a'\n[[hosts]]\nslug = 2027-02-30\n", None]
)
def test_a_file_that_cannot_be_read_spoils_no_other(tmp_path: Path, spoilt: bytes | None) -> None:
    shutil.copytree(demo_plan.FOLDER, tmp_path / "demo")
    programme = tmp_path / "demo" / "programme.toml"
    if spoilt is None:
        programme.unlink()
    else:
        programme.write_bytes(spoilt)

    plan = read_plan(tmp_path / "demo")

    assert plan.refused[0].entry.startswith("programme.toml")
    assert {refused.code for refused in plan.refused} == {"data_file_invalid"}
    assert (len(plan.agents), len(plan.projects), plan.activities) == (180, 11, [])


def test_a_table_that_nobody_knows_is_told(spoil: Callable[[str, str, str], Plan]) -> None:
    plan = spoil("programme.toml", "[[hosts]]", "[[hots]]")

    assert plan.refused[0] == RefusedEntry(
        "programme.toml: hots", "data_file_invalid", "unknown table; this file has hosts, venues, series, activities", "hots"
    )


def test_a_refusal_reads_as_one_line() -> None:
    assert str(RefusedEntry("programme.toml: venues x", "data_file_invalid", "wrong", "capacity")) == (
        "programme.toml: venues x, field capacity: data_file_invalid: wrong"
    )

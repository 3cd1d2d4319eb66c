"""Series and their dates, and what booking tells of the seats. Expands only: no table of before changes."""

from alembic import op

revision = "catalog_0002"
down_revision = "catalog_0001"
branch_labels = None
depends_on = None

TABLES = """
create table series (
    series_id uuid primary key,
    root_id uuid not null references series,
    previous_series_id uuid references series,
    version integer not null check (version > 0),
    anchor date not null,
    every_weeks smallint not null constraint series_every_one_to_eight_weeks check (every_weeks between 1 and 8),
    times jsonb not null constraint series_times_written check (jsonb_typeof(times) = 'array' and jsonb_array_length(times) > 0),
    zone text not null,
    policy text not null check (policy in ('skip', 'shift_one_week', 'shift_to_tuesday', 'ask')),
    activity_id uuid references activity,
    venue_id uuid references venue,
    capacity integer not null check (capacity > 0),
    remote_capacity integer check (remote_capacity > 0),
    quorum integer check (quorum between 1 and capacity),
    last_change text,
    asked jsonb not null,
    constraint series_continued_once unique (previous_series_id) deferrable initially deferred,
    constraint series_of_its_root unique (series_id, root_id),
    constraint series_first_is_its_own_root check ((previous_series_id is null) = (root_id = series_id))
);
comment on column series.root_id is 'The first of the series that continue each other';
comment on column series.asked is 'The GenerateSeries that made the first of them, so that asking again is recognised even after a change';

create table series_date (
    series_id uuid not null,
    root_id uuid not null,
    grid_index integer not null check (grid_index >= 0),
    on_date date not null,
    state text not null check (state in ('scheduled', 'shifted', 'moved', 'skipped', 'to_decide')),
    held_on date,
    reason text,
    activity_id uuid references activity,
    venue_id uuid references venue,
    opens_at timestamptz,
    session_id uuid references session,
    applied_version integer check (applied_version > 0),
    primary key (series_id, grid_index),
    constraint series_date_of_its_series foreign key (series_id, root_id) references series (series_id, root_id),
    constraint series_date_covered_once unique (root_id, grid_index),
    constraint series_date_session_of_one unique (session_id),
    constraint series_date_held_or_not check (
        case when state in ('scheduled', 'shifted', 'moved')
             then num_nulls(held_on, session_id, applied_version, activity_id) = 0
             else num_nonnulls(held_on, session_id, applied_version) = 0 end
    ),
    constraint series_date_explained check (state = 'scheduled' or reason is not null),
    constraint series_date_scheduled_on_the_grid check (state <> 'scheduled' or held_on = on_date)
);
comment on constraint series_date_covered_once on series_date is 'Linked series hold each date of the grid once between them';

create table session_seats (
    session_id uuid primary key,
    held integer not null check (held >= 0),
    waiting integer not null check (waiting >= 0)
);
comment on table session_seats is 'What booking told last; no foreign key, since it may speak before a restored catalog knows the session';
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("session_seats", "series_date", "series"):
        op.execute(f"drop table {table}")

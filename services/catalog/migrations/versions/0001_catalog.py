"""Hosts, venues, activities, sessions and their periods. The database swears to what the rules check."""

from alembic import op

revision = "catalog_0001"
down_revision = None
branch_labels = ("catalog",)
depends_on = None

TABLES = """
create table host (
    host_id uuid primary key,
    name text not null,
    kind text not null
);

create table venue (
    venue_id uuid primary key,
    host_id uuid not null references host,
    name text not null,
    address text not null,
    city text not null,
    department text not null check (department ~ '^([0-9]{2}|2[AB])$'),
    capacity integer not null check (capacity > 0),
    step_free_access boolean not null,
    public_transport text not null,
    closed_weekdays smallint[] not null check (closed_weekdays <@ array[1, 2, 3, 4, 5, 6, 7]::smallint[])
);
create index venue_host on venue (host_id);

create table activity (
    activity_id uuid primary key,
    activity_type text not null check (activity_type in ('labtour', 'innovation_thursday', 'training', 'workshop_support', 'coaching')),
    title text not null,
    summary text not null,
    description text not null,
    theme text not null,
    delivery_mode text not null check (delivery_mode in ('in_person', 'remote', 'hybrid')),
    host_id uuid references host,
    status text not null check (status in ('draft', 'published')),
    version integer not null check (version >= 0),
    constraint activity_draft_said_nothing check ((status = 'draft') = (version = 0))
);

create table session (
    session_id uuid primary key,
    activity_id uuid not null references activity,
    venue_id uuid references venue,
    capacity integer not null check (capacity > 0),
    remote_capacity integer check (remote_capacity > 0),
    quorum integer check (quorum between 1 and capacity),
    status text not null check (status in ('scheduled', 'cancelled')),
    cancellation_reason text,
    version integer not null check (version > 0),
    asked jsonb not null,
    constraint session_cancelled_with_reason check ((status = 'cancelled') = (cancellation_reason is not null))
);
create index session_activity on session (activity_id);
create index session_venue on session (venue_id);
comment on column session.asked is 'The ScheduleSession that made it, so that asking again is recognised even after a change';

create table period (
    session_id uuid not null references session,
    position smallint not null check (position > 0),
    local_start timestamp not null,
    local_end timestamp not null,
    zone text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    moved_forward boolean not null,
    primary key (session_id, position),
    constraint period_not_empty check (starts_at < ends_at),
    constraint period_no_overlap exclude using gist (session_id with =, tstzrange(starts_at, ends_at) with &&)
);
create index period_first on period (starts_at, session_id) where position = 1;
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("period", "session", "activity", "venue", "host"):
        op.execute(f"drop table {table}")

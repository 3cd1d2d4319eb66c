"""Seats: sessions with their counters, places (bookings and the queue), announcements of availability."""

from alembic import op

revision = "booking_0001"
down_revision = None
branch_labels = ("booking",)
depends_on = None

# What the code must keep and the database swears: never more seats held than the capacity, unless the capacity was lowered under them
# (`over_capacity` counts those, B8); one active place per session and agent (B3); one order of the queue (W1).
#
# `session` is updated by every decision: half of each page stays free, so that a new version of a row fits beside the old one and no
# index is touched. Nothing that changes with every decision is indexed.
TABLES = """
create table session (
    session_id uuid primary key,
    activity_type text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    cancellation_cutoff timestamptz not null,
    status text not null check (status in ('scheduled', 'cancelled')),
    capacity integer not null check (capacity >= 0),
    held integer not null default 0 check (held >= 0),
    waiting integer not null default 0 check (waiting >= 0),
    over_capacity integer not null default 0,
    sequence bigint not null default 0,
    catalog_version integer not null,
    constraint session_never_overbooked check (over_capacity = greatest(held - capacity, 0)),
    constraint session_ends_after_its_start check (ends_at > starts_at)
) with (fillfactor = 50);

create table booking (
    booking_id uuid primary key,
    session_id uuid not null references session,
    agent_id uuid not null,
    state text not null,
    session_sequence bigint not null,
    version integer not null check (version > 0),
    booked_at timestamptz not null,
    decided_at timestamptz not null,
    reason text,
    constraint booking_state_known check (
        state in ('confirmed', 'waiting', 'cancelled_by_agent', 'late_cancelled', 'cancelled_by_lab', 'left', 'closed')
    )
);
create unique index booking_one_active_place on booking (session_id, agent_id) where state in ('confirmed', 'waiting');
create unique index booking_queue on booking (session_id, session_sequence) where state = 'waiting';
create index booking_of_agent on booking (agent_id, booked_at);

create table announcement (
    session_id uuid primary key references session,
    version integer not null default 0,
    session_sequence bigint not null default 0,
    announced_at timestamptz not null default '-infinity'
) with (fillfactor = 50);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("announcement", "booking", "session"):
        op.execute(f"drop table {table}")

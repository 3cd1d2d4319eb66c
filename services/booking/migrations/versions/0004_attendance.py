"""Attendance: sheets and their half-days, who was there, what became of each booking."""

from alembic import op

revision = "booking_0004"
down_revision = "booking_0003"
branch_labels = None
depends_on = None

# Whoever decides holds the lock on the row of `attendance_sheet`. Presences are written once per booking and half-day, so two check-ins
# of one person at once are one; what was entered by hand is kept with author and reason (A4).
CHANGES = """
create table attendance_sheet (
    session_id uuid primary key,
    catalog_version integer not null,
    status text not null check (status in ('scheduled', 'cancelled')),
    title text not null,
    place text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    moved_at timestamptz,
    trainer_id uuid,
    secret bytea not null default decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'),
    state text not null default 'open' check (state in ('open', 'closed', 'given_up')),
    version integer not null default 0
);
create index attendance_sheet_open on attendance_sheet (ends_at) where state = 'open' and status = 'scheduled';
comment on column attendance_sheet.secret is 'of the codes shown in the room';

create table attendance_half_day (
    session_id uuid not null references attendance_sheet,
    number integer not null check (number > 0),
    day date not null,
    part text not null check (part in ('morning', 'afternoon')),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    closed_at timestamptz,
    closed_by text,
    primary key (session_id, number),
    constraint attendance_half_day_once unique (session_id, day, part),
    constraint attendance_half_day_signed check ((closed_at is null) = (closed_by is null))
);

create table attendance_presence (
    booking_id uuid not null references booking,
    half_day integer not null,
    session_id uuid not null,
    way text not null check (way in ('personal_qr', 'room_code', 'by_hand')),
    at timestamptz not null,
    author text not null,
    primary key (booking_id, half_day),
    constraint attendance_presence_of_a_half_day foreign key (session_id, half_day) references attendance_half_day (session_id, number)
);
create index attendance_presence_of_session on attendance_presence (session_id);

create table attendance_entry (
    entry_id uuid primary key,
    booking_id uuid not null references booking,
    session_id uuid not null,
    half_day integer not null,
    present boolean not null,
    author text not null,
    reason text not null constraint attendance_entry_has_a_reason check (length(reason) >= 3),
    entered_at timestamptz not null
);
comment on table attendance_entry is 'what was entered by hand, in order; author and reason (A4)';

create table attendance (
    booking_id uuid primary key references booking,
    session_id uuid not null references attendance_sheet,
    agent_id uuid not null,
    outcome text not null check (outcome in ('attended', 'absent', 'excused', 'unknown')),
    half_days integer[] not null,
    version integer not null check (version > 0),
    recorded_at timestamptz not null,
    decided_at timestamptz not null,
    constraint attendance_attended_means_present check ((outcome = 'attended') = (cardinality(half_days) > 0))
);
create index attendance_of_session on attendance (session_id);

create table attendance_excuse (
    booking_id uuid primary key references booking,
    declared_at timestamptz not null,
    declared_by text not null
)
"""

TABLES = ("attendance_excuse", "attendance", "attendance_entry", "attendance_presence", "attendance_half_day", "attendance_sheet")


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"drop table {table}")

"""Tables that the kernel keeps in every service's schema: outbox, inbox, cursors, failures, dead letters, timers, keys, heartbeats."""

from alembic import op

revision = "kernel_0001"
down_revision = None
branch_labels = ("kernel",)
depends_on = None

TABLES = """
create table outbox (
    id bigint generated always as identity primary key,
    event_id uuid not null unique,
    aggregate_type text not null,
    aggregate_id uuid not null,
    aggregate_version integer not null check (aggregate_version > 0),
    subject text not null,
    headers jsonb not null,
    payload bytea not null,
    occurred_at timestamptz not null,
    created_at timestamptz not null default clock_timestamp(),
    published_at timestamptz,
    stream_seq bigint,
    attempts integer not null default 0,
    last_error text,
    parked_at timestamptz,
    unique (aggregate_type, aggregate_id, aggregate_version)
);
create index outbox_unpublished on outbox (id) where published_at is null;
create index outbox_parked on outbox (aggregate_type, aggregate_id) where parked_at is not null;
create index outbox_by_sequence on outbox (stream_seq) where stream_seq is not null;
alter table outbox set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 1);

create table stream_identity (
    stream text primary key,
    identity text not null
);

create table inbox (
    consumer text not null,
    event_id uuid not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (consumer, event_id)
);

create table projection_cursor (
    consumer text not null,
    aggregate_id uuid not null,
    version integer not null,
    primary key (consumer, aggregate_id)
);

create table delivery_failure (
    consumer text not null,
    event_id uuid not null,
    first_failed_at timestamptz not null default clock_timestamp(),
    attempts integer not null default 1,
    last_error text not null,
    primary key (consumer, event_id)
);

create table dead_letter (
    id uuid primary key default uuidv7(),
    consumer text not null,
    event_id uuid not null,
    stream text not null,
    stream_seq bigint not null,
    subject text not null,
    headers jsonb not null,
    payload bytea not null,
    error_code text not null,
    error text not null,
    attempts integer not null,
    first_failed_at timestamptz not null,
    parked_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    resolution text check (resolution in ('replayed', 'discarded')),
    resolved_by text,
    unique (consumer, event_id)
);

create table timer (
    key text primary key,
    kind text not null,
    due_at timestamptz not null,
    payload jsonb not null default '{}',
    traceparent text,
    attempts integer not null default 0,
    retry_at timestamptz,
    first_failed_at timestamptz,
    last_error text,
    parked_at timestamptz
);
create index timer_due on timer (due_at) where parked_at is null;

create table idempotency_key (
    actor text not null,
    key text not null,
    operation text not null,
    fingerprint text not null,
    reply jsonb not null,
    created_at timestamptz not null default clock_timestamp(),
    primary key (actor, key)
);
create index idempotency_key_age on idempotency_key (created_at);

create table heartbeat (
    name text primary key,
    beat_at timestamptz not null
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in (
        "heartbeat", "idempotency_key", "timer", "dead_letter", "delivery_failure", "projection_cursor", "inbox", "stream_identity",
        "outbox",
    ):  # fmt: skip
        op.execute(f"drop table {table}")

"""Webhooks: subscriptions of other systems, and what became of each delivery. Secrets are readable by notify's role only."""

from alembic import op

revision = "notify_0008"
down_revision = "notify_0007"
branch_labels = None
depends_on = None

TABLES = """
create table webhook (
    webhook_id uuid primary key,
    url text not null,
    event_types text[] not null,
    secret text not null,
    previous_secret text,
    previous_until timestamptz,
    created_at timestamptz not null default clock_timestamp(),
    disabled_at timestamptz,
    disabled_reason text,
    failures integer not null default 0,
    failing_since timestamptz,
    resting_until timestamptz,
    check ((previous_secret is null) = (previous_until is null)),
    check ((disabled_at is null) = (disabled_reason is null)),
    check ((failures = 0) = (failing_since is null))
);
comment on column webhook.resting_until is 'a receiver that fails is left alone until then, all its deliveries included';

create table webhook_delivery (
    delivery_id uuid primary key default uuidv7(),
    webhook_id uuid not null references webhook,
    event_id uuid not null,
    event_type text not null,
    document text not null,
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'failed')),
    created_at timestamptz not null default clock_timestamp(),
    tried_since timestamptz not null default clock_timestamp(),
    next_attempt_at timestamptz not null default clock_timestamp(),
    attempts integer not null default 0,
    status integer,
    last_error text,
    delivered_at timestamptz,
    traceparent text,
    instance text,
    lease uuid,
    leased_until timestamptz,
    constraint webhook_delivery_once unique (webhook_id, event_id)
);
comment on column webhook_delivery.tried_since is 'its birth or its last replay: three days from then on, it is given up';
create index webhook_delivery_waiting on webhook_delivery (webhook_id, next_attempt_at) where state = 'waiting';
create index webhook_delivery_failed on webhook_delivery (webhook_id) where state = 'failed';
create index webhook_delivery_log on webhook_delivery (webhook_id, delivery_id desc);
create index webhook_delivery_age on webhook_delivery (created_at);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop table webhook_delivery")
    op.execute("drop table webhook")

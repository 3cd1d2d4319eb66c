"""Tables of notify: what it knows of sessions and bookings, mails and what became of them, calendar entries.

No name and no address in any of them (P4): a mail knows an opaque agent id, and the directory is asked when it leaves.
"""

from alembic import op

revision = "notify_0001"
down_revision = None
branch_labels = ("notify",)
depends_on = None

TABLES = """
create table session (
    session_id uuid primary key,
    version integer not null,
    state jsonb not null,
    heard_at timestamptz not null default clock_timestamp()
);

create table booking (
    booking_id uuid primary key,
    session_id uuid not null,
    agent_id uuid not null,
    version integer not null,
    state text not null
);
create index booking_of_session on booking (session_id, agent_id);

create table mail (
    id uuid primary key default uuidv7(),
    key text not null unique,
    kind text not null,
    agent_id uuid not null,
    booking_id uuid,
    session_id uuid,
    application_id uuid,
    engagement_id uuid,
    details jsonb not null default '{}',
    state text not null default 'new'
        check (state in ('new', 'sending', 'sent', 'deferred', 'uncertain', 'failed', 'bounced', 'dropped')),
    created_at timestamptz not null default clock_timestamp(),
    next_attempt_at timestamptz,
    attempts integer not null default 0,
    last_error text,
    session_version integer,
    message_id text,
    traceparent text,
    instance text,
    lease uuid,
    leased_until timestamptz,
    sending_since timestamptz,
    sent_at timestamptz,
    check ((booking_id is null) = (session_id is null))
);
comment on column mail.key is 'one mail per fact and recipient: whatever is replayed, nobody is written to twice (M5)';
comment on column mail.session_version is 'version of the session that the mail told of, set when it leaves';
create index mail_waiting on mail (created_at) where state in ('new', 'deferred');
create index mail_sending on mail (sending_since) where state = 'sending';
create index mail_about on mail (session_id, agent_id) where session_id is not null;
create index mail_of_agent on mail (agent_id, id desc);
alter table mail set (autovacuum_vacuum_scale_factor = 0.05);

create table calendar_entry (
    session_id uuid not null,
    period_index integer not null,
    agent_id uuid not null,
    uid text not null unique,
    sequence integer not null default 0,
    status text not null check (status in ('confirmed', 'cancelled')),
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    place text not null,
    mail_id uuid not null references mail (id),
    primary key (session_id, agent_id, period_index)
);
comment on table calendar_entry is 'never deleted: a booking made again after a cancellation goes on with the UID and the SEQUENCE (K1)';
comment on column calendar_entry.mail_id is 'the mail that carried the last change';
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("calendar_entry", "mail", "booking", "session"):
        op.execute(f"drop table {table}")

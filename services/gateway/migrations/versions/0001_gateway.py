"""The directory of people, their sessions and tokens, and the programme as the portal shows it."""

from alembic import op

revision = "gateway_0001"
down_revision = None
branch_labels = ("gateway",)
depends_on = None

TABLES = """
create table agents (
    agent_id uuid primary key,
    sub text not null unique,
    given_name text not null,
    usual_name text not null,
    email text not null,
    siret text check (siret ~ '^[0-9]{14}$'),
    org_unit text not null,
    roles text[] not null check (roles <@ array['agent', 'coach', 'committee', 'lab_team', 'operator']),
    version integer not null check (version > 0)
);
create index agents_email on agents (lower(email));
comment on table agents is 'The only place of the system where people have names (P4)';

create table workplace (
    siret text primary key check (siret ~ '^[0-9]{14}$'),
    org_unit text not null
);
comment on table workplace is 'Which administration a SIRET belongs to, learned from the people whom the operator records';

create table api_token (
    token_hash bytea primary key,
    agent_id uuid not null references agents on delete cascade,
    created_at timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);
create index api_token_agent on api_token (agent_id);

create table web_session (
    session_hash bytea primary key,
    agent_id uuid not null references agents on delete cascade,
    id_token text not null,
    flashes jsonb not null default '[]',
    created_at timestamptz not null default clock_timestamp(),
    last_seen timestamptz not null default clock_timestamp(),
    expires_at timestamptz not null
);
create index web_session_agent on web_session (agent_id);
create index web_session_expiry on web_session (expires_at);

create table login_attempt (
    attempt_hash bytea primary key,
    state text not null,
    nonce text not null,
    verifier text not null,
    next text not null,
    expires_at timestamptz not null
);
create index login_attempt_expiry on login_attempt (expires_at);

create table programme_activity (
    activity_id uuid primary key,
    description text not null,
    search text not null
);

create table programme_session (
    session_id uuid primary key,
    activity_id uuid not null,
    activity_type text not null,
    delivery_mode text not null,
    department text,
    status text not null,
    starts_at timestamptz not null,
    capacity integer not null,
    search text not null,
    state jsonb not null
);
create index programme_session_date on programme_session (starts_at, session_id);

create table programme_availability (
    session_id uuid primary key,
    held integer not null,
    waiting integer not null
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in (
        "programme_availability",
        "programme_session",
        "programme_activity",
        "login_attempt",
        "web_session",
        "api_token",
        "workplace",
        "agents",
    ):
        op.execute(f"drop table {table}")

"""Search by French stems and by theme; and what was searched in vain. Expands only."""

from alembic import op

revision = "gateway_0002"
down_revision = "gateway_0001"
branch_labels = None
depends_on = None

CHANGES = """
alter table programme_session
    add column theme text generated always as (state ->> 'theme') stored,
    add column lexemes tsvector generated always as (to_tsvector('pg_catalog.french', search)) stored;
alter table programme_activity
    add column lexemes tsvector generated always as (to_tsvector('pg_catalog.french', search)) stored;

create table demand_signal (
    signal_id uuid primary key,
    words text not null,
    activity_type text,
    delivery_mode text,
    department text,
    theme text,
    hidden integer not null check (hidden >= 0),
    heard_at timestamptz not null
);
create index demand_signal_heard on demand_signal (heard_at);
comment on table demand_signal is 'Searches that found no seat; nothing says whose they were'
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table demand_signal")
    op.execute("alter table programme_activity drop column lexemes")
    op.execute("alter table programme_session drop column lexemes, drop column theme")

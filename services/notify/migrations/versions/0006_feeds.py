"""Personal calendar feeds, and since when each booking is what it is."""

from alembic import op

revision = "notify_0006"
down_revision = "notify_0005"
branch_labels = None
depends_on = None

CHANGES = """
alter table booking add column decided_at timestamptz;
comment on column booking.decided_at is 'domain time of its last decision; null for those heard of before there were feeds';
create index booking_of_agent on booking (agent_id);

create table calendar_feed (
    feed_id uuid primary key default uuidv7(),
    agent_id uuid not null,
    label text not null,
    token_hash text not null unique,
    created_at timestamptz not null default clock_timestamp(),
    last_used_at timestamptz
);
comment on column calendar_feed.token_hash is 'the secret stands in the address that the agent was shown once';
create index calendar_feed_of_agent on calendar_feed (agent_id)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table calendar_feed")
    op.execute("drop index booking_of_agent")
    op.execute("alter table booking drop column decided_at")

"""The room that is told of the programme: what it will be told, gathered for some minutes, and the messages made of it."""

from alembic import op

revision = "notify_0012"
down_revision = "notify_0011"
branch_labels = None
depends_on = None

TABLES = """
create table tchap_news (
    session_id uuid not null,
    version integer not null,
    kind text not null check (kind in ('scheduled', 'moved', 'cancelled')),
    session jsonb not null,
    heard_at timestamptz not null default clock_timestamp(),
    primary key (session_id, version)
);

create table tchap_post (
    post_id uuid primary key default uuidv7(),
    body text not null,
    formatted_body text not null,
    state text not null default 'waiting' check (state in ('waiting', 'sent', 'failed')),
    created_at timestamptz not null default clock_timestamp(),
    next_attempt_at timestamptz not null default clock_timestamp(),
    attempts integer not null default 0,
    status integer,
    lease uuid,
    leased_until timestamptz
);
comment on column tchap_post.post_id is 'also its transaction id: the server takes a second attempt for the first one';
create index tchap_post_waiting on tchap_post (post_id) where state = 'waiting';
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop table tchap_post")
    op.execute("drop table tchap_news")

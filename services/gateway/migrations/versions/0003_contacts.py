"""Contacts: people who are no agents of ours, known by an address."""

from alembic import op

revision = "gateway_0003"
down_revision = "gateway_0002"
branch_labels = None
depends_on = None

TABLE = """
create table contacts (
    contact_id uuid primary key,
    email text not null,
    named_at timestamptz not null default clock_timestamp()
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("comment on table contacts is 'With agents, the only place that knows how to reach people (P4)'")


def downgrade() -> None:
    op.execute("drop table contacts")

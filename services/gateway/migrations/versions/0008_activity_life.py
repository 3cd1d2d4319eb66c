"""Activities that were archived, and sessions found by what their activity says now."""

from alembic import op

revision = "gateway_0008"
down_revision = "gateway_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table programme_activity add column archived boolean not null default false")
    op.execute("alter table programme_session add column whereabouts text")
    op.execute("comment on column programme_session.whereabouts is 'Null until it is heard of again: `search` then says it, too'")


def downgrade() -> None:
    op.execute("alter table programme_session drop column whereabouts")
    op.execute("alter table programme_activity drop column archived")

"""Whether an agent wants to be asked what they think of a session."""

from alembic import op

revision = "notify_0010"
down_revision = "notify_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table preference add column surveys text not null default 'immediate' check (surveys in ('immediate', 'none'))")


def downgrade() -> None:
    op.execute("alter table preference drop column surveys")

"""All that catalog says of an activity, beside its description."""

from alembic import op

revision = "gateway_0007"
down_revision = "gateway_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table programme_activity add column content jsonb")
    op.execute("comment on column programme_activity.content is 'Null until catalog is heard of it again: what was heard before had less'")


def downgrade() -> None:
    op.execute("alter table programme_activity drop column content")

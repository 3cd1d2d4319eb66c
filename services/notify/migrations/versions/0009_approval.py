"""What a seat still awaits, as far as a mail has to know before it leaves."""

from alembic import op

revision = "notify_0009"
down_revision = "notify_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table booking add column pending text")


def downgrade() -> None:
    op.execute("alter table booking drop column pending")

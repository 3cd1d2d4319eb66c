"""What participants said of an activity, and what the lab did since."""

from alembic import op

revision = "catalog_0007"
down_revision = "catalog_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table activity add column improvements jsonb not null default '[]'")


def downgrade() -> None:
    op.execute("alter table activity drop column improvements")

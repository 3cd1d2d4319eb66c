"""How long before a session a place wants to know of it."""

from alembic import op

revision = "catalog_0008"
down_revision = "catalog_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table venue add column notice_days integer not null default 0 check (notice_days between 0 and 365)")


def downgrade() -> None:
    op.execute("alter table venue drop column notice_days")

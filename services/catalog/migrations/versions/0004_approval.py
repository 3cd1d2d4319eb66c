"""Whether line managers are asked for the bookings of an activity; a session may say otherwise in what was asked for it."""

from alembic import op

revision = "catalog_0004"
down_revision = "catalog_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table activity add column needs_approval boolean not null default false")


def downgrade() -> None:
    op.execute("alter table activity drop column needs_approval")

"""Places at a distance of hybrid sessions, as booking last announced them (B9)."""

from alembic import op

revision = "gateway_0009"
down_revision = "gateway_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table programme_availability add column remote jsonb")


def downgrade() -> None:
    op.execute("alter table programme_availability drop column remote")

"""What booking says of a session's quorum, beside its counters."""

from alembic import op

revision = "gateway_0005"
down_revision = "gateway_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table programme_availability add column quorum jsonb")


def downgrade() -> None:
    op.execute("alter table programme_availability drop column quorum")

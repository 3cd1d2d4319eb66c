"""When each part of the programme was last heard, so that feeds can say what has changed."""

from alembic import op

revision = "gateway_0006"
down_revision = "gateway_0005"
branch_labels = None
depends_on = None

TABLES = ("programme_activity", "programme_session")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"alter table {table} add column heard_at timestamptz not null default clock_timestamp()")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"alter table {table} drop column heard_at")

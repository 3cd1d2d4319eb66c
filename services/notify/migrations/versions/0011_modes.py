"""Who follows a hybrid session at a distance: they are told of no place (B9)."""

from alembic import op

revision = "notify_0011"
down_revision = "notify_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table booking add column remote boolean not null default false")


def downgrade() -> None:
    op.execute("alter table booking drop column remote")

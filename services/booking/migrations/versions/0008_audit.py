"""What the standing audit found and is still so."""

from alembic import op

revision = "booking_0008"
down_revision = "booking_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create table audit_finding (
            session_id uuid not null,
            code text not null,
            found_at timestamptz not null default clock_timestamp(),
            primary key (session_id, code)
        )
        """
    )


def downgrade() -> None:
    op.execute("drop table audit_finding")

"""When and where each session was when its agents agreed to it last: what a move is measured from."""

from alembic import op

revision = "booking_0010"
down_revision = "booking_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("create table session_dates (session_id uuid primary key references session, city text, times jsonb not null)")


def downgrade() -> None:
    op.execute("drop table session_dates")

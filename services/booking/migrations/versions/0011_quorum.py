"""What is decided by the number of seats taken seven days before a session."""

from alembic import op

revision = "booking_0011"
down_revision = "booking_0010"
branch_labels = None
depends_on = None

TABLE = """
create table session_quorum (
    session_id uuid primary key references session,
    needed integer not null check (needed > 0),
    day date not null,
    decides_at timestamptz not null,
    state text not null,
    reason text,
    kept_by text,
    constraint session_quorum_known check (state in ('open', 'met', 'missed', 'kept', 'none')),
    constraint session_quorum_kept_by_somebody check ((state = 'kept') = (reason is not null and kept_by is not null))
)
"""


def upgrade() -> None:
    op.execute(TABLE)


def downgrade() -> None:
    op.execute("drop table session_quorum")

"""Strikes of no-shows and late cancellations, erased after six months (N3)."""

from alembic import op

revision = "booking_0007"
down_revision = "booking_0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        create table strike (
            booking_id uuid primary key references booking,
            agent_id uuid not null,
            session_id uuid not null,
            reason text not null,
            halves smallint not null,
            given_at timestamptz not null,
            expires_at timestamptz not null,
            constraint strike_counts_what_it_is check ((reason, halves) in (('absent', 2), ('late_cancelled', 1)))
        )
        """
    )
    op.execute("create index strike_of_agent on strike (agent_id)")
    op.execute("create index strike_of_session on strike (session_id)")


def downgrade() -> None:
    op.execute("drop table strike")

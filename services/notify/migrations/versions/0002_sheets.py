"""A mail may be about a session and about nobody's booking: that of whoever keeps its attendance sheet."""

from alembic import op

revision = "notify_0002"
down_revision = "notify_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table mail drop constraint mail_check")
    op.execute("alter table mail add constraint mail_booking_of_a_session check (booking_id is null or session_id is not null)")


def downgrade() -> None:
    op.execute("alter table mail drop constraint mail_booking_of_a_session")
    op.execute("alter table mail add constraint mail_check check ((booking_id is null) = (session_id is null)) not valid")

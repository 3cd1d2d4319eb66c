"""Groups, kept beside the bookings as a place of their contact."""

from alembic import op

revision = "notify_0003"
down_revision = "notify_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table booking add column of_group boolean not null default false")
    op.execute("comment on column booking.of_group is 'booking_id is that of a group, agent_id that of its contact, who may have no seat'")


def downgrade() -> None:
    op.execute("alter table booking drop column of_group")

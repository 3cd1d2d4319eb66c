"""Seats that some agents may book before everybody else (W1)."""

from alembic import op

revision = "booking_0017"
down_revision = "booking_0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("alter table session add column quota jsonb")
    op.execute("comment on column session.quota is 'as catalog published it: seats, until when, for whom (W1)'")
    op.execute("alter table agent_unit add column department text")
    op.execute("comment on column agent_unit.department is 'where it is, as the directory last said it: seats may be reserved by it (W1)'")


def downgrade() -> None:
    op.execute("alter table agent_unit drop column department")
    op.execute("alter table session drop column quota")

"""Names on the seats of groups: until when they may have none, and in which administration agents work."""

from alembic import op

revision = "booking_0013"
down_revision = "booking_0012"
branch_labels = None
depends_on = None

# A group that was booked before has no date: its seats stay without names as they did, until its session moves or it gets more of them.
CHANGES = """
alter table group_booking add column names_due_at timestamptz;
comment on column group_booking.names_due_at is 'seats without a name go to the queue then (G2)';

create table agent_unit (
    agent_id uuid primary key,
    org_unit text not null
);
comment on table agent_unit is 'as the directory last said it: seats are transferred inside one administration (G2)';
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop table agent_unit")
    op.execute("alter table group_booking drop column names_due_at")

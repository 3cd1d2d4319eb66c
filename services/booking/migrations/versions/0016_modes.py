"""A hybrid session has places at a distance beside those in the room, counted in the same row and under the same lock (B9)."""

from alembic import op

revision = "booking_0016"
down_revision = "booking_0015"
branch_labels = None
depends_on = None

# `remote_capacity` is null where there are no such places. Every booking so far is in the room.
CHANGES = """
alter table session
    add column remote_capacity integer check (remote_capacity >= 0),
    add column remote_held integer not null default 0 check (remote_held >= 0),
    add column remote_waiting integer not null default 0 check (remote_waiting >= 0),
    add column remote_over_capacity integer not null default 0,
    add constraint session_never_overbooked_at_a_distance
        check (remote_over_capacity = greatest(remote_held - coalesce(remote_capacity, 0), 0));
comment on column session.remote_capacity is 'places at a distance of a hybrid session, beside `capacity`, those in the room (B9)';

alter table booking add column remote boolean not null default false;
comment on column booking.remote is 'one of the places at a distance of a hybrid session (B9)';
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("alter table booking drop column remote")
    op.execute("alter table session drop constraint session_never_overbooked_at_a_distance")
    for column in ("remote_capacity", "remote_held", "remote_waiting", "remote_over_capacity"):
        op.execute(f"alter table session drop column {column}")

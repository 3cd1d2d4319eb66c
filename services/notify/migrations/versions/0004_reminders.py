"""Since when a booking holds its seat, what people need to come, and the next reminder of each session that is known already."""

from alembic import op

revision = "notify_0004"
down_revision = "notify_0003"
branch_labels = None
depends_on = None

# Only the text of somebody from the lab, and a link: no name, no address of a person.
CHANGES = """
alter table booking add column seated_at timestamptz;
comment on column booking.seated_at is 'domain time since when it has its seat without a break; null without one';

create table joining_instructions (
    session_id uuid primary key references session,
    version integer not null default 1,
    bring text not null,
    access text not null,
    venue_id uuid,
    video_url text
);
comment on column joining_instructions.venue_id is 'the place that `access` speaks of: it is not said of another one';

insert into timer (key, kind, due_at, payload)
select 'reminders/' || session_id, 'session_reminders',
       clock_timestamp() + make_interval(secs => coalesce((select offset_seconds from platform.clock), 0)),
       jsonb_build_object('session_id', session_id)
from session where state ->> 'status' = 'scheduled'
on conflict (key) do nothing;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("delete from timer where kind = 'session_reminders'")
    op.execute("drop table joining_instructions")
    op.execute("alter table booking drop column seated_at")

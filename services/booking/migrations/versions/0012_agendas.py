"""When and where a session takes its agents, what an agent has at one instant, and who may have more than is fair."""

from alembic import op

revision = "booking_0012"
down_revision = "booking_0011"
branch_labels = None
depends_on = None

# `places_of` is volatile, so it reads with a snapshot of its own: called after the locks of the same statement, it sees what was committed
# while that statement waited for them, and a booking stays two statements. It returns whole rows, hence a new column needs no new function.
# Written to be joined with, never to decide: which states count is said by who calls it.
#
# Sessions heard of before have no spans yet: they overlap with nothing until catalog says something of them again.
CHANGES = """
alter table session
    add column delivery_mode text,
    add column city text,
    add column spans tstzmultirange;

create function places_of(agents uuid[], since timestamptz) returns table (place booking, session session)
language sql volatile parallel unsafe
as $body$
    select place, session from booking place join session using (session_id)
    where place.agent_id = any(agents) and session.ends_at > since
$body$;

create table fair_use_lifted (
    agent_id uuid not null,
    session_id uuid not null references session,
    reason text not null,
    lifted_by text not null,
    lifted_at timestamptz not null,
    primary key (agent_id, session_id)
);
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop table fair_use_lifted")
    op.execute("drop function places_of")
    op.execute("alter table session drop column delivery_mode, drop column city, drop column spans")

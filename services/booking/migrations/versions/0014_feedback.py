"""Who is asked what they think of a session, and, apart from it, what they answered."""

from alembic import op

revision = "booking_0014"
down_revision = "booking_0013"
branch_labels = None
depends_on = None

TABLES = """
create table feedback_invitation (
    invitation_id uuid primary key,
    booking_id uuid not null references booking,
    session_id uuid not null,
    agent_id uuid not null,
    survey text not null check (survey in ('hot', 'cold')),
    open_until timestamptz not null,
    answered boolean not null default false,
    constraint feedback_invitation_once unique (booking_id, survey)
);
create index feedback_invitation_of_session on feedback_invitation (session_id, survey);
create table feedback (
    session_id uuid not null,
    survey text not null check (survey in ('hot', 'cold')),
    shown jsonb not null default '[]',
    waiting jsonb not null default '[]',
    primary key (session_id, survey),
    constraint feedback_shown_by_fives check (jsonb_array_length(shown) % 5 = 0 and jsonb_array_length(waiting) < 5)
)
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table feedback")
    op.execute("drop table feedback_invitation")

"""Attendance certificates: what each says for ever, and what became of it."""

from alembic import op

revision = "booking_0005"
down_revision = "booking_0004"
branch_labels = None
depends_on = None

CHANGES = """
create table certificate (
    certificate_id uuid primary key,
    booking_id uuid not null references booking,
    session_id uuid not null,
    agent_id uuid not null,
    state text not null check (state in ('valid', 'revoked', 'reissued')),
    title text not null,
    place text not null,
    half_days jsonb not null constraint certificate_certifies_something check (jsonb_array_length(half_days) > 0),
    "of" integer not null,
    issued_at timestamptz not null,
    ended_at timestamptz,
    replaced_by uuid,
    version integer not null,
    constraint certificate_ends_once check ((state = 'valid') = (ended_at is null) and (state = 'reissued') = (replaced_by is not null))
);
create unique index certificate_one_valid on certificate (booking_id) where state = 'valid';
create index certificate_of_agent on certificate (agent_id, certificate_id)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop table certificate")

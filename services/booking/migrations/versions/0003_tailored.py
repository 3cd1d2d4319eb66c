"""Tailored requests, the dates proposed for them, and the versions of their framing notes."""

from alembic import op

revision = "booking_0003"
down_revision = "booking_0002"
branch_labels = None
depends_on = None

TABLES = """
create table tailored_request (
    tailored_request_id uuid primary key,
    asked jsonb not null,
    agent_id uuid not null,
    version integer not null check (version > 0),
    state text not null check (
        state in ('submitted', 'framing', 'proposed', 'agreed', 'scheduled', 'held', 'closed', 'declined', 'withdrawn')
    ),
    submitted_at timestamptz not null,
    answer_due_at timestamptz,
    priority boolean not null default false,
    round integer not null default 0,
    proposals_expire_at timestamptz,
    agreed_proposal_id uuid,
    session_id uuid,
    session_ends_at timestamptz,
    closes_at timestamptz,
    reason text,
    redirection text,
    constraint tailored_request_session_of_one unique (session_id),
    constraint tailored_request_agreed_whole check (
        num_nonnulls(session_id, agreed_proposal_id) = case when state in ('agreed', 'scheduled', 'held', 'closed') then 2 else 0 end
    ),
    constraint tailored_request_proposals_expire check (proposals_expire_at is null or state = 'proposed'),
    constraint tailored_request_answer_owed check (
        case when state in ('submitted', 'framing') then answer_due_at is not null
             when state = 'proposed' then (answer_due_at is null) <> (proposals_expire_at is null)
             else answer_due_at is null end
    ),
    constraint tailored_request_declined_with_words check (state <> 'declined' or (reason is not null and redirection is not null))
);
create index tailored_request_of_agent on tailored_request (agent_id);
create index tailored_request_owed on tailored_request (priority desc, answer_due_at) where answer_due_at is not null;
comment on column tailored_request.asked is 'the SubmitTailoredRequest that made it, so that asking again is recognised';
comment on constraint tailored_request_answer_owed on tailored_request is 'either the lab owes its next step, or others their answer (G5)';

create table proposal (
    proposal_id uuid primary key,
    tailored_request_id uuid not null references tailored_request,
    round integer not null,
    position smallint not null constraint proposal_one_to_three check (position between 1 and 3),
    state text not null check (state in ('asked', 'ready', 'refused', 'withdrawn', 'impossible', 'closed')),
    content jsonb not null,
    constraint proposal_place unique (tailored_request_id, round, position)
);
comment on column proposal.round is 'version of the request at which it was proposed';

create table framing_note (
    tailored_request_id uuid not null references tailored_request,
    version integer not null check (version > 0),
    written_by text not null,
    written_at timestamptz not null,
    objective text not null,
    decision_rights text not null,
    participants text not null,
    deliverables text not null,
    constraints text not null,
    primary key (tailored_request_id, version)
);
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("framing_note", "proposal", "tailored_request"):
        op.execute(f"drop table {table}")

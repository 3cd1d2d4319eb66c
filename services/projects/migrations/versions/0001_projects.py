"""Applications, engagements and their logbooks. The database swears to what the rules check."""

from alembic import op

revision = "projects_0001"
down_revision = None
branch_labels = ("projects",)
depends_on = None

TABLES = """
create table application (
    application_id uuid primary key,
    project_lead_id uuid not null,
    title text not null check (title <> ''),
    problem text not null check (problem <> ''),
    state text not null check (state in ('submitted', 'accepted', 'accepted_with_conditions', 'redirected', 'declined')),
    submitted_at timestamptz not null,
    decided_at timestamptz,
    decision_reason text check (decision_reason <> ''),
    redirection text check (redirection <> ''),
    version integer not null check (version > 0),
    constraint application_decided_with_reason check ((state = 'submitted') = (decision_reason is null)),
    constraint application_decided_once check ((state = 'submitted') = (decided_at is null)),
    constraint application_redirected check ((state in ('redirected', 'declined')) = (redirection is not null))
);
create index application_lead on application (project_lead_id, submitted_at);

create table engagement (
    engagement_id uuid primary key,
    application_id uuid not null references application,
    coach_id uuid not null,
    state text not null check (state in ('active', 'closed')),
    starts_on date not null,
    planned_end_on date not null,
    outcome text check (outcome in ('adopted', 'piloted', 'merged', 'handed_over', 'abandoned')),
    closing_reason text check (closing_reason <> ''),
    lessons_learned text check (lessons_learned <> ''),
    closed_at timestamptz,
    version integer not null check (version > 0),
    constraint engagement_once_per_application unique (application_id),
    constraint engagement_planned_3_to_6_months check (
        planned_end_on between starts_on + interval '3 months' and starts_on + interval '6 months'
    ),
    constraint engagement_closed_with_outcome check ((state = 'closed') = (outcome is not null)),
    constraint engagement_closed_with_reason check ((state = 'closed') = (closing_reason is not null)),
    constraint engagement_closed_once check ((state = 'closed') = (closed_at is not null)),
    constraint engagement_closed_with_lessons check (
        case state
            when 'closed' then lessons_learned is not null
                               or outcome = 'abandoned' and cast(closed_at at time zone 'Europe/Paris' as date) >= starts_on + 15
            else lessons_learned is null
        end
    )
);
create index engagement_coach on engagement (coach_id);

create table logbook_entry (
    entry_id uuid primary key,
    engagement_id uuid not null references engagement,
    engagement_version integer not null check (engagement_version > 1),
    kind text not null check (kind in ('decision', 'obstacle', 'learning')),
    text text not null check (text <> ''),
    author_id uuid not null,
    written_at timestamptz not null,
    constraint logbook_entry_one_per_version unique (engagement_id, engagement_version)
);
comment on column logbook_entry.engagement_version is 'Version of the engagement that this entry made: their order, whatever the clock said'
"""


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    for table in ("logbook_entry", "engagement", "application"):
        op.execute(f"drop table {table}")

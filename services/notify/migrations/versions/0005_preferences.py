"""What agents want to be written to about, and since when a session is in the programme."""

from alembic import op

revision = "notify_0005"
down_revision = "notify_0004"
branch_labels = None
depends_on = None

CHANGES = """
create table preference (
    agent_id uuid primary key,
    version integer not null,
    reminders text not null check (reminders in ('immediate', 'none')),
    waitlist text not null check (waitlist in ('immediate', 'digest', 'none')),
    news text not null check (news in ('digest', 'none')),
    themes text[] not null,
    departments text[] not null
);
create index preference_news on preference (agent_id) where news = 'digest';

alter table session add column announced_at timestamptz;
comment on column session.announced_at is 'real time of the first word of catalog about it; null for what was known before there was news';
create index session_announced on session (announced_at);

alter table mail add column gathered_into uuid references mail (id);
comment on column mail.gathered_into is 'the digest that tells this mail, which is dropped for itself';
create index mail_gathered on mail (gathered_into) where gathered_into is not null
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("alter table mail drop column gathered_into")
    op.execute("alter table session drop column announced_at")
    op.execute("drop table preference")

"""Mails that came back, agents whose address does not work, and what is needed to forget mails after a year."""

from alembic import op

revision = "notify_0007"
down_revision = "notify_0006"
branch_labels = None
depends_on = None

CHANGES = """
alter table mail add column bounces integer not null default 0;
comment on column mail.bounces is 'how often a server refused its recipient: an operator may have tried it again';
update mail set bounces = 1 where state = 'bounced';
create index mail_message on mail (message_id) where message_id is not null;
create index mail_age on mail (created_at);
create index calendar_entry_mail on calendar_entry (mail_id);

create table undeliverable (
    agent_id uuid primary key,
    since timestamptz not null default clock_timestamp(),
    mail_id uuid not null
);
comment on table undeliverable is 'agents whose address a server refused for good, until it changes or an operator says that it works'
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("drop table undeliverable")
    for index in ("mail_message", "mail_age", "calendar_entry_mail"):
        op.execute(f"drop index {index}")
    op.execute("alter table mail drop column bounces")

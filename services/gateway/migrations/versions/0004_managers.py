"""Contacts that an agent named, such as their line manager; and which agents are innovation referents."""

from alembic import op

revision = "gateway_0004"
down_revision = "gateway_0003"
branch_labels = None
depends_on = None

CHANGES = """
alter table contacts add column named_by uuid references agents on delete cascade;
create unique index contacts_once on contacts (named_by, lower(email));
comment on column contacts.named_by is 'The agent who named them, and with whom they go; null for those whom the lab knows';
alter table agents add column innovation_referent boolean not null default false;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop index contacts_once")
    op.execute("alter table contacts drop column named_by")
    op.execute("alter table agents drop column innovation_referent")

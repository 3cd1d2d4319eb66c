"""For whom an activity is, and what only its type has."""

from alembic import op

revision = "catalog_0005"
down_revision = "catalog_0004"
branch_labels = None
depends_on = None

CHANGE = """
alter table activity
    add column audience text not null default '',
    add column details jsonb,
    add constraint activity_details_of_its_type check (details ->> 'activity_type' = activity_type)
"""


def upgrade() -> None:
    op.execute(CHANGE)


def downgrade() -> None:
    op.execute("alter table activity drop column audience, drop column details")

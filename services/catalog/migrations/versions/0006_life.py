"""Activities that are edited and archived; what was first asked for stays known, so that asking again is recognised."""

from alembic import op

revision = "catalog_0006"
down_revision = "catalog_0005"
branch_labels = None
depends_on = None

CHANGES = """
alter table activity drop constraint activity_status_check;
alter table activity
    add constraint activity_status_check check (status in ('draft', 'published', 'archived')),
    add column revision integer not null default 1 check (revision > 0),
    add column asked jsonb;
comment on column activity.asked is 'The DraftActivity that made it; null where it was made before anything could be edited'
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("update activity set status = 'published' where status = 'archived'")
    op.execute("alter table activity drop constraint activity_status_check")
    op.execute("alter table activity drop column revision, drop column asked")
    op.execute("alter table activity add constraint activity_status_check check (status in ('draft', 'published'))")

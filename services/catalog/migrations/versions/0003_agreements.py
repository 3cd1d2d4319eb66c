"""The private sessions that were agreed with a group, each taken up once."""

from alembic import op

revision = "catalog_0003"
down_revision = "catalog_0002"
branch_labels = None
depends_on = None

TABLE = """
create table agreement (
    session_id uuid primary key,
    tailored_request_id uuid not null
)
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("comment on table agreement is 'Sessions of which booking has spoken: made, refused, or given up before they were made'")


def downgrade() -> None:
    op.execute("drop table agreement")

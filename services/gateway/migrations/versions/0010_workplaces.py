"""Where a workplace is: seats may be reserved for agents of some départements (W1)."""

from alembic import op

revision = "gateway_0010"
down_revision = "gateway_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("workplace", "agents"):
        op.execute(f"alter table {table} add column department text check (department ~ '^([0-9]{{2}}|2[AB])$')")
    op.execute("comment on column workplace.department is 'two-character code, as far as an operator told it'")


def downgrade() -> None:
    for table in ("agents", "workplace"):
        op.execute(f"alter table {table} drop column department")

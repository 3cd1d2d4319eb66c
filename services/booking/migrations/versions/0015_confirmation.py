"""A third question that a seat may await: whether somebody with two strikes comes to a full session (N3)."""

from alembic import op

revision = "booking_0015"
down_revision = "booking_0014"
branch_labels = None
depends_on = None


KNOWN = "booking_pending_kind_known"


def upgrade() -> None:
    known_to("'pending_approval', 'to_reconfirm', 'to_confirm'")
    op.execute(f"alter table booking validate constraint {KNOWN}")


def downgrade() -> None:
    known_to("'pending_approval', 'to_reconfirm'")


def known_to(kinds: str) -> None:
    op.execute(f"alter table booking drop constraint {KNOWN}")
    op.execute(f"alter table booking add constraint {KNOWN} check (pending_kind in ({kinds})) not valid")

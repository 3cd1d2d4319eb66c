"""Seats that are held while somebody is asked, and whom to ask."""

from alembic import op

revision = "booking_0009"
down_revision = "booking_0008"
branch_labels = None
depends_on = None

# As an offer is something that a waiting place has, a question is something that a seat has: `held` still counts the confirmed places and
# the live offers. `booking_pending_holds_a_seat` swears to it, and stops a process of the release before, which knows of no questions,
# from ending a seat without ending its question.
CHANGES = """
alter table session add column needs_approval boolean not null default false;

alter table booking
    add column pending_kind text,
    add column pending_state text,
    add column pending_since timestamptz,
    add column pending_until timestamptz,
    add column pending_silence_keeps boolean,
    add column manager_id uuid,
    add column booked_by text,
    add constraint booking_pending_kind_known check (pending_kind in ('pending_approval', 'to_reconfirm')),
    add constraint booking_pending_known check (pending_state in ('open', 'granted', 'refused', 'expired', 'kept', 'closed')),
    add constraint booking_pending_whole check (
        num_nonnulls(pending_kind, pending_state, pending_since, pending_until, pending_silence_keeps) in (0, 5)
    ),
    add constraint booking_pending_holds_a_seat check (pending_state is distinct from 'open' or state = 'confirmed');
comment on column booking.manager_id is 'the contact who is asked for an approval (B7); the address is in the directory (P4)';
comment on column booking.booked_by is 'opaque id of who booked, when it was not the agent';
create index booking_pending on booking (session_id) where pending_state = 'open';
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop index booking_pending")
    op.execute(
        "alter table booking drop column pending_kind, drop column pending_state, drop column pending_since, drop column pending_until, "
        "drop column pending_silence_keeps, drop column manager_id, drop column booked_by"
    )
    op.execute("alter table session drop column needs_approval")

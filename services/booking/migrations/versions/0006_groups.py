"""Groups: seats that one contact asks for, given without a name, kept while they gather, or awaited in the queue."""

from alembic import op

revision = "booking_0006"
down_revision = "booking_0005"
branch_labels = None
depends_on = None

# A group's seats are numbers on its own row; a seat that has a name is a booking of that agent. `session.held` counts both, and
# `session.waiting` counts a group that awaits seats as one, so that a booking of a free seat looks at the session's row alone.
#
# A process of the release before knows of no groups: it would serve the agents of the queue first, but cannot seat one too many.
CHANGES = """
alter table session
    add column private boolean not null default false,
    add column passed integer not null default 0,
    add constraint session_passed_seats_are_free check (passed between 0 and greatest(capacity - held, 0));
comment on column session.passed is 'free seats that the groups of the queue did not take: whoever comes next may have them (W6)';

create table group_booking (
    group_id uuid primary key,
    session_id uuid not null references session,
    contact_agent_id uuid not null,
    state text not null,
    choice text not null,
    seats_needed integer not null check (seats_needed > 0),
    seats_unnamed integer not null check (seats_unnamed >= 0),
    seats_awaited integer not null,
    seats_held integer not null,
    session_sequence bigint not null,
    given_sequence bigint,
    bypassed_sequence bigint,
    version integer not null check (version > 0),
    requested_at timestamptz not null,
    decided_at timestamptz not null,
    holds_until timestamptz,
    offer_deadline timestamptz,
    offered_at timestamptz,
    reason text,
    constraint group_state_known check (state in ('waiting', 'partly_confirmed', 'confirmed', 'cancelled', 'released', 'closed')),
    constraint group_choice_known check (choice in ('all_or_nothing', 'partial')),
    constraint group_holds_no_more_than_it_awaits check (seats_held between 0 and seats_awaited),
    constraint group_never_silently_partial check (choice = 'all_or_nothing' or seats_held = 0),
    constraint group_holds_end check ((seats_held > 0) = (holds_until is not null)),
    constraint group_offers_what_it_holds check (offer_deadline is null or seats_held > 0),
    constraint group_offer_whole check ((offer_deadline is null) = (offered_at is null)),
    constraint group_over_has_nothing check (state not in ('cancelled', 'released', 'closed') or seats_unnamed + seats_awaited = 0)
);
create unique index group_one_of_a_contact on group_booking (session_id, contact_agent_id)
    where state in ('waiting', 'partly_confirmed', 'confirmed');
create unique index group_queue on group_booking (session_id, session_sequence) where seats_awaited > 0;
create index group_of_contact on group_booking (contact_agent_id, requested_at);
comment on column group_booking.given_sequence is 'the last decision that gave it seats or kept some for it; null as long as it has none';
comment on column group_booking.bypassed_sequence is 'the last decision that passed seats on to those behind it';

create table group_bypass (
    group_id uuid not null references group_booking,
    version integer not null,
    seats integer not null,
    decided_at timestamptz not null,
    reason text not null,
    primary key (group_id, version)
);

alter table booking add column group_id uuid references group_booking;
create index booking_of_group on booking (group_id) where group_id is not null;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("alter table booking drop column group_id")
    op.execute("drop table group_bypass, group_booking")
    op.execute("alter table session drop column private, drop column passed")

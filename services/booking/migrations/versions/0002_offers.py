"""Seat offers on a place, the dates that they and the bookings keep, priority tokens."""

from alembic import op

revision = "booking_0002"
down_revision = "booking_0001"
branch_labels = None
depends_on = None

# An offer is not a state of its own but something that a waiting place has: the indexes of the active places and of the queue stay what
# they are, and so does everything that a booking without a queue does. `booking_offer_waits` makes the release before, which knows of no
# offers, fail rather than promote somebody who holds a seat already.
#
# Sessions heard of before keep what people were told: open as they were, closing by rule (B6). The next word of catalog sets all dates.
CHANGES = """
alter table session
    add column series_id uuid,
    add column opens_at timestamptz,
    add column closes_at timestamptz,
    add column promotions_until timestamptz,
    add column offers_until timestamptz;
comment on column session.series_id is 'what a priority token is good for: the activity, as long as catalog says no series';

update session set
    closes_at = case when activity_type = 'training' then cancellation_cutoff
                     when activity_type in ('labtour', 'workshop_support') then starts_at - interval '24 hours'
                     else starts_at - interval '2 hours' end,
    promotions_until = case when activity_type in ('innovation_thursday', 'coaching') then starts_at - interval '24 hours' end,
    offers_until = case when activity_type in ('training', 'labtour', 'workshop_support') then starts_at - interval '24 hours'
                        else starts_at - interval '2 hours' end;

alter table booking
    add column offer_state text,
    add column offer_deadline timestamptz,
    add column offered_at timestamptz,
    add column given_sequence bigint,
    add column priority boolean not null default false,
    add constraint booking_offer_known check (offer_state in ('offered', 'accepted', 'declined', 'expired', 'closed')),
    add constraint booking_offer_whole check (num_nonnulls(offer_state, offer_deadline, offered_at) in (0, 3)),
    add constraint booking_offer_waits check (offer_state is distinct from 'offered' or state = 'waiting');
comment on column booking.given_sequence is 'the decision that gave or offered the seat to one who waited; null for a seat booked directly';
create index booking_first on booking (session_id, session_sequence) where state = 'waiting' and priority;
create index booking_offered on booking (session_id) where offer_state = 'offered';

create table priority_token (
    token_id uuid primary key,
    agent_id uuid not null,
    series_id uuid not null,
    session_id uuid not null references session,
    granted_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz,
    used_by uuid references booking,
    constraint priority_token_one_for_a_session unique (session_id, agent_id),
    constraint priority_token_used_once check ((used_at is null) = (used_by is null))
);
create index priority_token_of_agent on priority_token (agent_id, series_id) where used_at is null;
comment on column priority_token.session_id is 'the session that the lab cancelled (W7)';
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("drop table priority_token")
    op.execute("drop index booking_first, booking_offered")
    op.execute(
        "alter table booking drop column offer_state, drop column offer_deadline, drop column offered_at, drop column given_sequence, "
        "drop column priority"
    )
    op.execute(
        "alter table session drop column series_id, drop column opens_at, drop column closes_at, drop column promotions_until, "
        "drop column offers_until"
    )

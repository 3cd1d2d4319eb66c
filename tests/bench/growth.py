"""A large past, laid into the tables by SQL: sessions that are full, their places, and what was published of them."""

from __future__ import annotations

from tests.bench.house import House

SEATS = 1000
STATEMENTS = (
    """
    insert into booking.session (session_id, activity_type, starts_at, ends_at, cancellation_cutoff, status, capacity, held, sequence,
                                 catalog_version)
    select uuidv7(), activity_type, starts_at, ends_at, cancellation_cutoff, 'scheduled', {seats}, {seats}, {seats}, 1
    from generate_series(1, {sessions}), (select * from booking.session limit 1) as model
    """,
    "insert into booking.announcement (session_id, session_sequence) select session_id, sequence from booking.session where held = {seats}",
    """
    insert into booking.booking (booking_id, session_id, agent_id, state, session_sequence, version, booked_at, decided_at)
    select uuidv7(), session_id, gen_random_uuid(), 'confirmed', place, 1, clock_timestamp(), clock_timestamp()
    from booking.session cross join generate_series(1, {seats}) as place where held = {seats}
    """,
    """
    insert into booking.outbox (event_id, aggregate_type, aggregate_id, aggregate_version, subject, headers, payload, occurred_at,
                                published_at, stream_seq)
    select uuidv7(), 'booking', booking_id, 1, 'evt.booking.booking_confirmed.v1.' || booking_id,
           (select headers from booking.outbox limit 1), (select payload from booking.outbox limit 1), booked_at, booked_at, 1
    from booking.booking where session_id in (select session_id from booking.session where held = {seats})
    """,
    """
    insert into notify.booking (booking_id, session_id, agent_id, version, state)
    select booking_id, session_id, agent_id, 1, state from booking.booking on conflict do nothing
    """,
)


async def grow(house: House, bookings: int) -> None:
    await house.book(1, seconds=0.5)  # a model for each row
    for statement in STATEMENTS:
        await house.execute(statement.format(seats=SEATS, sessions=bookings // SEATS))
    house.filler += bookings

"""Reads: SQL straight to the reply."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.groups import GroupBooking, GroupBypass, GroupChoice, GroupMember, GroupOffer, GroupState

COLUMNS = """
    place.group_id, place.session_id, contact_agent_id, place.state, choice, seats_needed, seats_unnamed, seats_awaited, seats_held,
    place.session_sequence, place.version, requested_at, holds_until, place.offer_deadline, place.offered_at, place.reason,
    names_due_at,
    (select count(*) from booking named where named.group_id = place.group_id and named.state = 'confirmed') as seats_named
"""

# Before a group are those who joined earlier, and agents with a priority token (W1).
_GROUP = f"""
    select {COLUMNS}, case when seats_awaited > 0 then session.waiting end as waiting, case when seats_awaited > 0 then 1 + (
               select count(*) from booking ahead
               where ahead.session_id = place.session_id and ahead.state = 'waiting' and ahead.offer_state is null
                 and (ahead.priority or ahead.session_sequence < place.session_sequence)
           ) + (
               select count(*) from group_booking ahead
               where ahead.session_id = place.session_id and ahead.seats_awaited > 0 and ahead.session_sequence < place.session_sequence
           ) end as rank,
           (select jsonb_agg(jsonb_build_object('seats', seats, 'decided_at', decided_at, 'reason', reason) order by version)
            from group_bypass bypass where bypass.group_id = place.group_id) as bypasses,
           (select jsonb_agg(jsonb_build_object('booking_id', booking_id, 'agent_id', agent_id) order by booked_at, booking_id)
            from booking named where named.group_id = place.group_id and named.state = 'confirmed') as members
    from group_booking place join session using (session_id)
"""  # noqa: S608 - lists of columns, never values
_ONE = text(f"{_GROUP} where place.group_id = :group_id")
_OF_CONTACT = text(f"{_GROUP} where contact_agent_id = :contact order by requested_at desc, place.group_id desc limit :number")


async def group(connection: AsyncConnection, group_id: UUID) -> GroupBooking | None:
    row = (await connection.execute(_ONE, {"group_id": group_id})).one_or_none()
    return None if row is None else group_of(row)


async def groups_of(connection: AsyncConnection, contact: UUID, number: int) -> tuple[GroupBooking, ...]:
    rows = await connection.execute(_OF_CONTACT, {"contact": contact, "number": number})
    return tuple(group_of(row) for row in rows)


def group_of(row: Row[Any]) -> GroupBooking:
    """A group as its row says it; rank, bypasses and members are known where they were asked for."""
    offer = None
    if row.offer_deadline is not None:
        offer = GroupOffer(seats=row.seats_held, deadline=row.offer_deadline, offered_at=row.offered_at)
    return GroupBooking(
        group_id=row.group_id,
        session_id=row.session_id,
        contact_agent_id=row.contact_agent_id,
        state=GroupState(row.state),
        choice=GroupChoice(row.choice),
        seats_needed=row.seats_needed,
        seats_unnamed=row.seats_unnamed,
        seats_named=row.seats_named,
        seats_awaited=row.seats_awaited,
        seats_held=row.seats_held,
        session_sequence=row.session_sequence,
        version=row.version,
        requested_at=row.requested_at,
        rank=getattr(row, "rank", None),
        waiting=getattr(row, "waiting", None),
        holds_until=row.holds_until,
        offer=offer,
        reason=row.reason,
        bypasses=tuple(GroupBypass.model_validate(each) for each in getattr(row, "bypasses", None) or ()),
        names_due_at=row.names_due_at,
        members=tuple(GroupMember.model_validate(each) for each in getattr(row, "members", None) or ()),
    )

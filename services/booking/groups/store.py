"""Tables `group_booking` and `group_bypass`, and the only SQL that writes them. Whoever does holds the lock on the session's row."""

# ruff: noqa: S608 - what is joined into the statements are lists of columns, never values

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.booking.deadlines.france import is_holiday
from services.booking.groups.queries import COLUMNS, group_of
from services.booking.names.domain import reminder_at
from services.booking.queue.domain import holds_until_after, offer_after
from services.booking.seats.domain import Session
from shared.contracts.groups import (
    GroupBooking,
    GroupBookingBypassed,
    GroupBookingConfirmed,
    GroupBookingRequested,
    GroupEvent,
    GroupSeatsHeld,
    GroupSeatsOffered,
)
from shared.contracts.names import GroupNamesDue
from shared.database import fetch
from shared.timers import set_timer

HOLDS_END, GROUP_OFFER_EXPIRES = "group_holds_end", "group_offer_expires"
NAMES_REMINDER, NAMES_DUE = "group_names_reminder", "group_names_due"

_SELECT = f"select {COLUMNS} from group_booking place"
_ONE = text(f"{_SELECT} where group_id = :group_id")
_WAITING = text(f"{_SELECT} where session_id = :session_id and seats_awaited > 0 order by session_sequence")
_ACTIVE = text(
    f"{_SELECT} where session_id = :session_id and state in ('waiting', 'partly_confirmed', 'confirmed') order by session_sequence"
)
_SESSION_OF = text("select session_id from group_booking where group_id = :group_id")
_SHARE = text(
    """
    select session.private,
           (select group_id from group_booking mine
            where mine.session_id = session.session_id and mine.contact_agent_id = :contact
              and mine.state in ('waiting', 'partly_confirmed', 'confirmed')) as already,
           (select coalesce(sum(seats_unnamed + seats_awaited), 0) from group_booking other
            where other.session_id = session.session_id and other.contact_agent_id <> :contact)
           + (select count(*) from booking named join group_booking other using (group_id)
              where named.session_id = session.session_id and named.state = 'confirmed' and other.contact_agent_id <> :contact) as others
    from session where session_id = :session_id
    """
)

_COUNT = """
    update session set held = $2, waiting = $3, sequence = $4, passed = $5, over_capacity = least(over_capacity, greatest($2 - capacity, 0))
    where session_id = $1
"""
_OPEN = """
    insert into group_booking
        (group_id, session_id, contact_agent_id, state, choice, seats_needed, seats_unnamed, seats_awaited, seats_held,
         session_sequence, given_sequence, version, requested_at, decided_at, names_due_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $11, $12, $12, $13)
"""
_CHANGE = """
    update group_booking
    set state = $2, seats_needed = $3, seats_unnamed = $4, seats_awaited = $5, seats_held = $6,
        given_sequence = coalesce($7, given_sequence), bypassed_sequence = coalesce($8, bypassed_sequence), version = $9, decided_at = $10,
        reason = $11, holds_until = $12, offer_deadline = $13, offered_at = $14, names_due_at = $15
    where group_id = $1
"""
_BYPASS = "insert into group_bypass (group_id, version, seats, decided_at, reason) values ($1, $2, $3, $4, $5)"


@dataclass(frozen=True, slots=True)
class Share:
    """What a new or larger group of a contact has to fit in (G4)."""

    private: bool
    already: UUID | None
    """The contact's own group in this session."""
    others: int
    """Seats that the groups of others have or await."""


async def share_of(tx: AsyncConnection, session: Session, contact: UUID) -> Share:
    row = (await tx.execute(_SHARE, {"session_id": session.session_id, "contact": contact})).one()
    return Share(row.private, row.already, row.others)


async def session_of(tx: AsyncConnection, group_id: UUID) -> UUID | None:
    return await tx.scalar(_SESSION_OF, {"group_id": group_id})


async def group(tx: AsyncConnection, group_id: UUID) -> GroupBooking:
    return group_of((await tx.execute(_ONE, {"group_id": group_id})).one())


async def waiting_groups(tx: AsyncConnection, session: Session) -> list[GroupBooking]:
    return [group_of(row) for row in await tx.execute(_WAITING, {"session_id": session.session_id})]


async def active_groups(tx: AsyncConnection, session: Session) -> list[GroupBooking]:
    return [group_of(row) for row in await tx.execute(_ACTIVE, {"session_id": session.session_id})]


async def record(tx: AsyncConnection, session: Session, facts: Sequence[GroupEvent]) -> None:
    """Write what the facts made of their groups, in their order, and the counters of the session; set what ends holds and offers, and
    what asks for names.

    One timer of a kind per group: it looks again whether there is something to end.
    """
    await fetch(tx, _COUNT, session.session_id, session.held, session.waiting, session.sequence, session.passed)
    for fact in facts:
        if fact.version == 1 and isinstance(fact, GroupBookingRequested | GroupBookingConfirmed):
            await fetch(tx, _OPEN, *_first(fact))
        else:
            await fetch(tx, _CHANGE, *await _later(tx, fact))
        if isinstance(fact, GroupBookingBypassed):
            await fetch(tx, _BYPASS, fact.group_id, fact.version, fact.seats_passed, fact.decided_at, fact.reason)
        elif isinstance(fact, GroupSeatsHeld):
            await set_timer(tx, f"group/{fact.group_id}/holds", fact.holds_until, HOLDS_END, {"group_id": fact.group_id})
        elif isinstance(fact, GroupSeatsOffered):
            await set_timer(tx, f"group/{fact.group_id}/offer", fact.deadline, GROUP_OFFER_EXPIRES, {"group_id": fact.group_id})
        if fact.names_due_at:
            await _ask_for_names(tx, fact)


async def _ask_for_names(tx: AsyncConnection, fact: GroupEvent) -> None:
    """A reminder only where there is time for one: it is a fact with this date too."""
    about, due = {"group_id": fact.group_id}, (await group(tx, fact.group_id)).names_due_at
    if due is None:
        return
    await set_timer(tx, f"group/{fact.group_id}/names", due, NAMES_DUE, about)
    if (reminder := reminder_at(due, is_holiday)) > fact.decided_at:
        await set_timer(tx, f"group/{fact.group_id}/reminder", reminder, NAMES_REMINDER, about)


def _first(fact: GroupBookingRequested | GroupBookingConfirmed) -> Sequence[Any]:
    given = fact.session_sequence if fact.seats_unnamed else None
    return (
        fact.group_id, fact.session_id, fact.contact_agent_id, fact.state.value, fact.choice.value, fact.seats_needed, fact.seats_unnamed,
        fact.seats_awaited, fact.session_sequence, given, fact.version, fact.decided_at, fact.names_due_at,
    )  # fmt: skip


async def _later(tx: AsyncConnection, fact: GroupEvent) -> Sequence[Any]:
    before = await group(tx, fact.group_id)
    offer = offer_after(before, fact)
    added = isinstance(fact, GroupBookingConfirmed | GroupSeatsHeld) and fact.seats_unnamed + fact.seats_held > (
        before.seats_unnamed + before.seats_held
    )
    return (
        fact.group_id, fact.state.value, fact.seats_needed, fact.seats_unnamed, fact.seats_awaited, fact.seats_held,
        fact.session_sequence if added else None, fact.session_sequence if isinstance(fact, GroupBookingBypassed) else None, fact.version,
        fact.decided_at, fact.reason or None, holds_until_after(before, fact), offer and offer.deadline, offer and offer.offered_at,
        names_due_after(before, fact),
    )  # fmt: skip


def names_due_after(before: GroupBooking, fact: GroupEvent) -> datetime | None:
    """A move sets another date; more seats never bring the date of the others forward."""
    if isinstance(fact, GroupNamesDue) or before.names_due_at is None or fact.names_due_at is None:
        return fact.names_due_at or before.names_due_at
    return max(before.names_due_at, fact.names_due_at)
